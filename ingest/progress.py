"""How far a job is, told to its row; and whether it should go on, asked of its row all the time.

A thread asks while a page is read, texts are embedded or memories are written, so that a step that takes
long neither loses the lease nor delays a cancel. The work itself learns of it at its next report, or, while
it waits for the reading process, through `interrupted`.
"""

import logging
import threading
import time
from types import TracebackType
from typing import Self

from storage.errors import StorageError
from storage.records import JobRow, Stage
from storage.store import Store

log = logging.getLogger(__name__)

REPORT_SECONDS = 0.3  # progress is written at most this often
LOOK_SECONDS = 0.25
RENEW_SECONDS = 10.0


class Stopped(Exception):
    """The job was cancelled, or its document is gone."""


class GivenBack(Exception):
    """The job goes back into the queue: the worker was told to stop, or lets a smaller document pass."""


class Progress:
    """Reports of one job, and the watch over it. Use as a context manager.

    Raises Stopped once cancelling was asked for, GivenBack once `stop` is set, JobLost when another worker
    has the job.
    """

    def __init__(self, store: Store, job: JobRow, owner: str, stop: threading.Event) -> None:
        self._store, self._job, self._owner, self._stop = store, job, owner, stop
        self._reported: float | None = None
        self._unwanted = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def __call__(self, stage: Stage, done: int, total: int, *, kept: bool = False) -> None:
        """Report, if it is time. kept: see `Jobs.progress`."""
        if self._stop.is_set():
            raise GivenBack
        now = time.monotonic()
        due = self._reported is None or now - self._reported >= REPORT_SECONDS
        if not (due or kept or self._unwanted.is_set()):
            return
        self._reported = now
        if self._store.jobs.progress(self._job.id, stage, done, total, owner=self._owner, kept=kept):
            raise Stopped

    def interrupted(self) -> bool:
        """Whether the next report will raise."""
        return self._stop.is_set() or self._unwanted.is_set()

    def _look(self) -> None:
        renewed = time.monotonic()
        while not self._over.wait(LOOK_SECONDS):
            try:
                if time.monotonic() - renewed < RENEW_SECONDS:
                    wanted = self._store.jobs.wanted(self._job.id, self._owner)
                else:
                    wanted = self._store.jobs.renew(self._job.id, self._owner)
                    renewed = time.monotonic()
            except StorageError as error:  # the work itself will meet it too
                log.warning("job %d could not be looked at: %s", self._job.id, error)
                continue
            if not wanted:
                self._unwanted.set()
                return
