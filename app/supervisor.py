"""Starts the worker process and keeps it running: a worker that dies is started again.

The worker is `python -m ingest.worker` with this process's settings. It stops by itself when this process
is gone.
"""

import logging
import os
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Self

from app.errors import AttestError, for_people
from app.settings import Settings
from storage.store import Store

log = logging.getLogger(__name__)

RESTART_SECONDS = (1.0, 5.0, 30.0)  # after the first, second, and every later death in a row
HEALTHY_SECONDS = 120.0
WORKER_TRIES = 3
STDERR = 2  # stdout is for what a command prints


def worker_command(settings: Settings, *extra: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "ingest.worker",
        "--home",
        str(settings.home),
        "--model",
        settings.model,
        "--embedder",
        settings.embedder,
        "--device",
        settings.device,
        "--quantisation",
        settings.quantisation,
        "--format",
        settings.memory_format,
        "--backend",
        settings.backend,
        "--adapter",
        settings.adapter,
        "--parent",
        str(os.getpid()),
        *extra,
    ]


class OwnWorkers:
    """Workers for as long as something is waited for, started only where none runs. A context manager."""

    def __init__(self, settings: Settings, count: int = 1) -> None:
        self._count = count
        self._command = worker_command(settings, "--until-idle")
        self._running: list[subprocess.Popen[bytes]] = []
        self._deaths = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def keep_running(self, store: Store) -> None:
        """Make sure that somebody works. Raises AttestError if our workers fail again and again."""
        ended = [process for process in self._running if process.poll() is not None]
        self._running = [process for process in self._running if process not in ended]
        self._deaths += sum(bool(process.returncode) for process in ended)
        if self._deaths >= WORKER_TRIES:
            raise AttestError(
                "the worker ended three times; what it said stands above, and `attest doctor` checks the "
                "installation. Nothing is lost: the same command goes on from there"
            )
        if self._running:
            return
        with for_people():
            alive = store.workers.alive()
        if not alive:
            for _ in range(self._count):
                process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=STDERR)
                self._running.append(process)

    def something_was_done(self) -> None:
        """Only deaths without anything between them are held against the installation."""
        self._deaths = 0

    def end(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait()


class Supervisor:
    """Runs `count` workers while it is open. Use as a context manager."""

    def __init__(self, settings: Settings, count: int = 1) -> None:
        self._settings, self._count = settings, count
        self._crew: _Crew | None = None
        self._closed = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.start(self._settings)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._closed = True
        self.end()

    @property
    def pids(self) -> list[int]:
        with self._lock:
            return self._crew.pids if self._crew else []

    def start(self, settings: Settings) -> None:
        """Workers with these settings, unless some run already or this is closed."""
        with self._lock:
            if self._crew is None and not self._closed:
                self._crew = _Crew(worker_command(settings), self._count)

    def end(self) -> None:
        """End the workers; what they had begun is given back, to be done by the next."""
        with self._lock:
            crew, self._crew = self._crew, None
        if crew is not None:
            crew.end()


class _Crew:
    """Workers of one command, from now until `end`."""

    def __init__(self, command: list[str], count: int) -> None:
        self._command = command
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._threads = [threading.Thread(target=self._keep, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._stop.set()
        with self._lock:
            running = list(self._running)
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for thread in self._threads:
            thread.join(5)

    @property
    def pids(self) -> list[int]:
        with self._lock:
            return [process.pid for process in self._running]

    def _keep(self) -> None:
        deaths = 0
        while not self._stop.is_set():
            started = time.monotonic()
            with self._lock:
                if self._stop.is_set():  # closed meanwhile: nobody would end a worker started now
                    return
                process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
                self._running.add(process)
            status = process.wait()
            with self._lock:
                self._running.discard(process)
            if self._stop.is_set():
                return
            deaths = 1 if time.monotonic() - started > HEALTHY_SECONDS else deaths + 1
            pause = RESTART_SECONDS[min(deaths, len(RESTART_SECONDS)) - 1]
            log.warning("the worker ended with status %d; starting it again in %.0f s", status, pause)
            self._stop.wait(pause)
