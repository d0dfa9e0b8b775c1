"""`attest desktop`: one window with its server, models and worker, from the start to the last process.

The window comes first and says that it is opening. Server and worker are started behind it, in a thread, and
end when it is closed, also in the middle of an ingest (which goes on from there at the next start). The
server listens on a random loopback port and answers this window only (`door.py`).
"""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import click
import uvicorn
from starlette.types import ASGIApp

from app.desktop import toolkit
from app.desktop.door import Door
from app.desktop.instance import Instance
from app.desktop.window import Window
from app.errors import AttestError
from app.settings import Settings

GOODBYE_SECONDS = 2  # for requests that are on their way when the window closes


def desktop(settings: Settings, samples: bool) -> None:
    """Show the window until it is closed, or bring forward the one that is open.

    Raises AttestError if no window can be opened, or if what is behind it cannot be started; then the window
    has said so, too.
    """
    toolkit.demand()
    with Instance(settings.home) as instance:
        if not instance.claim():
            click.echo("Attest is open already; its window was brought to the front", err=True)
            return
        Desktop(settings, samples, instance).run()


class Desktop:
    """One run."""

    def __init__(self, settings: Settings, samples: bool, instance: Instance) -> None:
        self._settings = settings
        self._samples = samples
        self._instance = instance
        self._closed = threading.Event()
        self._window = Window(settings.home / "window" / "place.json", self._closed.set)

    def run(self) -> None:
        """In the main thread."""
        for name in ("SIGTERM", "SIGHUP"):
            if number := getattr(signal, name, None):
                signal.signal(number, self._asked_to_end)
        with ThreadPoolExecutor(1, "server") as pool:
            work = pool.submit(self._serve)
            work.add_done_callback(lambda _: self._window.close())
            self._window.run()
        work.result()

    def _asked_to_end(self, _: int, __: FrameType | None) -> None:
        self._window.close()

    def _serve(self) -> None:
        if not self._window.opened():
            return
        try:
            self._run_server()
        except AttestError as error:
            self._window.say("Attest cannot start", str(error))
            self._closed.wait()
            raise

    def _run_server(self) -> None:
        # imported here, while the window is already there: the page alone takes seconds
        from app.api.server import api_routes
        from app.service import Service
        from app.serving import add_samples
        from app.supervisor import Supervisor
        from app.web.server import build_app

        with Service(self._settings) as service:
            if self._samples:
                add_samples(service)
            door = Door(build_app(service, routes=api_routes(service)), self._window.bring_forward)
            if self._closed.is_set():
                return
            service.warm()
            with Supervisor(self._settings) as supervisor, listening(door) as port:
                service.work_with(supervisor)
                self._instance.announce(port, door.knock_secret)
                self._window.go(f"http://127.0.0.1:{port}{door.entrance}")
                self._closed.wait()


@contextlib.contextmanager
def listening(app: ASGIApp) -> Iterator[int]:
    """Serve `app` on a free loopback port, in a thread; the port."""
    listener = socket.create_server(("127.0.0.1", 0))  # takes connections from now on
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=GOODBYE_SECONDS
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="uvicorn")
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
