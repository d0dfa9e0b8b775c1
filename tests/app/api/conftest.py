"""The API over the fake model: through a client in this process, and on a real loopback port."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.types import ASGIApp

from app.api.server import api_routes
from app.service import Service
from app.web.security import Guard

HERE = "http://127.0.0.1:7861"
QUESTION = "How can the tenant terminate the lease?"


@pytest.fixture
def ready(service: Service) -> Service:
    """The service with its models loaded."""
    service.models()
    return service


@pytest.fixture
def guarded(ready: Service) -> ASGIApp:
    """The API behind the guard, without the page, which takes seconds to build."""
    return Guard(Starlette(routes=api_routes(ready)))


def local_client(app: ASGIApp) -> TestClient:
    """A program of this machine."""
    return TestClient(app, base_url=HERE, client=("127.0.0.1", 50000), raise_server_exceptions=False)


@pytest.fixture
def client(guarded: ASGIApp) -> Iterator[TestClient]:
    with local_client(guarded) as opened:
        yield opened


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """`app` on a port of its own, as `attest serve` has it; its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
