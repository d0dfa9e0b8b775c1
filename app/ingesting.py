"""`attest ingest`: files and folders in, one outcome per document as each is finished.

Uses the worker that runs already (the served page's, say), else one of its own until all is done.
"""

import logging
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from app.errors import AttestError, for_people
from app.service import Service
from app.standing import settled_error, settled_status
from app.supervisor import worker_command
from storage.errors import DocumentNotFound
from storage.records import FINISHED, DocumentRow

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
AT_A_TIME = 500  # documents asked about in one go
WORKER_TRIES = 3
STDERR = 2  # stdout is for outcomes only


@dataclass(frozen=True)
class Outcome:
    """What became of one path.

    status: ready, partial, failed, duplicate or cancelled (queued if nobody waits).

    error: why it is not ready; of a duplicate, why the same content could not be read before.
    bytes: the file's size. seconds: from the start of its reading to the end of its writing.
    """

    path: str
    document_id: str | None
    status: str
    pages: int = 0
    references: int = 0
    memories: int = 0
    bytes: int = 0
    seconds: float = 0.0
    warnings: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None


def ingest_paths(
    service: Service,
    paths: Sequence[Path],
    collection: str,
    profile: str | None,
    *,
    memories: bool = True,
    wait: bool = True,
    workers: int = 1,
) -> Iterator[Outcome]:
    """Outcomes in the order in which documents are finished; what cannot even be queued comes first.

    workers: processes to start where none runs.
    """
    pending: dict[str, Path] = {}
    for path in paths:
        for file in _walk(path):
            if isinstance(file, Outcome):
                yield file
                continue
            added = service.add_documents([file], collection, profile, memories=memories)[0]
            if added.document_id is None:
                yield Outcome(str(file), None, "failed", error=added.error)
                continue
            row = _row(service, added.document_id)
            if added.status != "queued" and row is not None and _finished(row):
                yield _outcome(str(file), row, "duplicate", 0.0)
            elif added.document_id in pending:
                yield Outcome(str(file), added.document_id, "duplicate")
            elif not wait:
                yield Outcome(str(file), added.document_id, "queued")
            else:
                pending[added.document_id] = file
    if pending:
        yield from _wait(service, pending, workers)


def _walk(path: Path) -> Iterator[Path | Outcome]:
    """Files of a folder, hidden ones left out; a folder that cannot be read becomes a failed outcome."""
    if not os.path.isdir(path):  # unlike Path.is_dir, it raises nothing
        yield path
        return
    problems: list[OSError] = []
    empty = True
    for folder, folders, files in os.walk(path, onerror=problems.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                empty = False
                yield Path(folder) / name
    for problem in problems:
        yield Outcome(
            str(problem.filename),
            None,
            "failed",
            error=f"{problem.filename} cannot be read ({problem.strerror}); change its permissions",
        )
    if empty and not problems:
        yield Outcome(str(path), None, "failed", error=f"{path}: there are no files in this folder")


def _wait(service: Service, pending: dict[str, Path], count: int = 1) -> Iterator[Outcome]:
    workers = _Workers(service, count)
    started: dict[str, float] = {}
    try:
        while pending:
            for document_ids in _batches(pending):
                with for_people():
                    rows = service.store.documents.of_ids(document_ids)
                for document_id in document_ids:
                    row = rows.get(document_id)
                    if row is None:
                        path = str(pending.pop(document_id))
                        error = f"{path}: deleted while it was read"
                        yield Outcome(path, document_id, "cancelled", error=error)
                        continue
                    if row.status != "queued":
                        started.setdefault(document_id, time.monotonic())
                    if _finished(row):
                        seconds = time.monotonic() - started[document_id]
                        yield _outcome(str(pending.pop(document_id)), row, settled_status(row), seconds)
            if pending:
                workers.keep_running()
                time.sleep(POLL_SECONDS)
    finally:
        workers.end()


def _batches(pending: dict[str, Path]) -> Iterator[list[str]]:
    every = iter(list(pending))
    while batch := list(islice(every, AT_A_TIME)):
        yield batch


class _Workers:
    """Worker processes of our own, where nobody else's run."""

    def __init__(self, service: Service, count: int) -> None:
        self._service, self._count = service, count
        self._command = worker_command(service.settings, "--until-idle")
        self._running: list[subprocess.Popen[bytes]] = []
        self._deaths = 0

    def keep_running(self) -> None:
        """Start what is missing. Raises AttestError when they end again and again."""
        ended = [process for process in self._running if process.poll() is not None]
        self._running = [process for process in self._running if process not in ended]
        self._deaths += sum(bool(process.returncode) for process in ended)
        if self._deaths >= WORKER_TRIES:
            raise AttestError(
                "the worker ended three times; what it said stands above, and `attest doctor` checks the "
                "installation. Nothing is lost: `attest ingest` goes on from there"
            )
        if self._running:
            return
        with for_people():
            alive = self._service.store.workers.alive()
        if not alive:
            for _ in range(self._count):
                process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=STDERR)
                self._running.append(process)

    def end(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait()


def _row(service: Service, document_id: str) -> DocumentRow | None:
    """None if it was deleted."""
    with for_people():
        try:
            return service.store.documents.get(document_id)
        except DocumentNotFound:
            return None


def _finished(row: DocumentRow) -> bool:
    return settled_status(row) in FINISHED and row.job is None


def _outcome(path: str, row: DocumentRow, status: str, seconds: float) -> Outcome:
    return Outcome(
        path=path,
        document_id=row.id,
        status=status,
        pages=row.page_count or 0,
        references=row.reference_count,
        memories=row.memory_count,
        bytes=row.bytes,
        seconds=round(seconds, 3),
        warnings=[{"page": warning.page, "message": warning.message} for warning in row.warnings],
        error=settled_error(row),
    )
