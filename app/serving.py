"""`attest serve`: the web page, the API, their models and their worker, in one foreground process."""

import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import click
import psutil
import uvicorn

from app.api.server import api_routes
from app.errors import AttestError
from app.service import Service
from app.settings import Settings
from app.supervisor import Supervisor
from app.web.security import LOOPBACK_HOSTS
from app.web.server import build_app

log = logging.getLogger(__name__)

SAMPLES = {"Sample contracts": "legal", "Sample guidance": "medical"}
# The model answers in a thread of this process, and a request changes threads many times: each time it waits
# this long for its turn, not Python's 5 ms.
SWITCH_SECONDS = 0.0005
LOOPBACK = ("127.0.0.1", "::1", "localhost")
EVERY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - only where there are users


def serve(
    settings: Settings, host: str, port: int, workers: int, samples: bool, names: Sequence[str] = ()
) -> None:
    """Run until interrupted. names: by which it may be called, besides its own addresses.

    Raises AttestError if the address cannot be taken, or is not this machine's own while there are no users.
    """
    # uvicorn ends in order and then raises the signal again, which must not skip what is closed below
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Service(settings) as service, contextlib.suppress(KeyboardInterrupt):
        check_address(service, host)
        if samples:
            add_samples(service)
        listener = _listen(host, port)
        port = listener.getsockname()[1]
        # before the models are loaded, for which a page should not wait
        allowed = known_as(host, names)
        app = build_app(service, routes=api_routes(service), allowed_hosts=allowed)
        sys.setswitchinterval(SWITCH_SECONDS)
        service.warm()
        with Supervisor(settings, workers) as supervisor:
            service.work_with(supervisor)
            shown = f"[{host}]" if ":" in host else host
            click.echo(f"Attest is ready at http://{shown}:{port}", err=True)
            # a tab asks every few seconds, and need not connect anew each time
            config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_keep_alive=30)
            uvicorn.Server(config).run(sockets=[listener])


def check_address(service: Service, host: str) -> None:
    """Raises AttestError if other machines would see the documents of a home without users."""
    if host in LOOPBACK:
        return
    if not service.accounts.demanded():
        raise AttestError(
            f"serving on {host} would show these documents to other machines, and nobody has to sign in; "
            "add a user first (`attest users add NAME`), or use 127.0.0.1"
        )
    click.echo(
        "passwords and documents travel unencrypted from here; put a proxy that speaks https in front of it "
        "(docs/users.md)",
        err=True,
    )


def known_as(host: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names and addresses by which a browser may call, as its Host header has them."""
    if host in LOOPBACK and not names:
        return LOOPBACK_HOSTS
    found = [host]
    if host in EVERY_ADDRESS:
        found = [socket.gethostname()]
        for addresses in psutil.net_if_addrs().values():
            found += [each.address for each in addresses if each.family in (socket.AF_INET, socket.AF_INET6)]
    short = (name.partition("%")[0] for name in (*found, *names))
    return (*LOOPBACK_HOSTS, *(f"[{name}]" if ":" in name else name for name in short if name))


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
