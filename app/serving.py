"""`attest serve`: the web page, the API, their models and their worker, in one foreground process."""

import contextlib
import logging
import os
import signal
import socket
import sys
from importlib import resources
from pathlib import Path

import click
import uvicorn

from app.api.server import api_routes
from app.errors import AttestError
from app.service import Service
from app.settings import Settings
from app.supervisor import Supervisor
from app.web.server import build_app

log = logging.getLogger(__name__)

SAMPLES = {"Sample contracts": "legal", "Sample guidance": "medical"}
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(settings: Settings, host: str, port: int, workers: int, samples: bool) -> None:
    """Run until interrupted. Raises AttestError if the address cannot be taken."""
    if host not in LOOPBACK:
        raise AttestError(
            f"serving on {host} would show these documents to other machines, and there are no user accounts "
            "yet; use 127.0.0.1"
        )
    # uvicorn ends in order and then raises the signal again, which must not skip what is closed below
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Service(settings) as service, contextlib.suppress(KeyboardInterrupt):
        if samples:
            add_samples(service)
        listener = _listen(host, port)
        port = listener.getsockname()[1]
        # before the models are loaded, for which a page should not wait
        app = build_app(service, routes=api_routes(service))
        service.warm()
        with Supervisor(settings, workers):
            shown = f"[{host}]" if ":" in host else host
            click.echo(f"Attest is ready at http://{shown}:{port}", err=True)
            config = uvicorn.Config(app, log_level="warning", access_log=False)
            uvicorn.Server(config).run(sockets=[listener])


def add_samples(service: Service) -> None:
    """The sample documents of `assets/samples`, each profile in a collection of its own."""
    for collection, profile in SAMPLES.items():
        with resources.as_file(resources.files("assets") / "samples" / profile) as folder:
            files = sorted(path for path in Path(folder).iterdir() if path.suffix in (".pdf", ".docx"))
            service.add_documents(files, collection, profile)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    if os.name != "nt":  # there it would take the port away from another program
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # two sockets may be bound to one port, but only one can listen
    except OSError as error:
        listener.close()
        raise AttestError(
            f"port {port} cannot be used ({error.strerror}); choose another with --port"
        ) from error
    return listener
