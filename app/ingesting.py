"""`attest ingest`: files and folders in, one outcome per document as each is finished.

Uses the worker that runs already (the served page's, say), else one of its own until all is done.
"""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.errors import for_people
from app.service import Service
from app.standing import settled_error, settled_status
from app.supervisor import OwnWorker
from storage.errors import DocumentNotFound
from storage.records import FINISHED, DocumentRow

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
AT_A_TIME = 500  # documents asked about in one go; those added first are finished first


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
) -> Iterator[Outcome]:
    """Outcomes in the order in which documents are finished; what cannot even be queued comes first."""
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
        yield from _wait(service, pending)


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


def _wait(service: Service, pending: dict[str, Path]) -> Iterator[Outcome]:
    started: dict[str, float] = {}
    with OwnWorker(service.settings) as worker:
        while pending:
            with for_people():
                rows = service.store.documents.of_ids(list(pending)[:AT_A_TIME])
            for document_id in list(pending)[:AT_A_TIME]:
                row = rows.get(document_id)
                if row is None:
                    path = str(pending.pop(document_id))
                    yield Outcome(path, document_id, "cancelled", error=f"{path}: deleted while it was read")
                    continue
                if row.status != "queued":
                    started.setdefault(document_id, time.monotonic())
                if _finished(row):
                    seconds = time.monotonic() - started[document_id]
                    yield _outcome(str(pending.pop(document_id)), row, settled_status(row), seconds)
            if not pending:
                return
            worker.see_to(service.store)
            time.sleep(POLL_SECONDS)


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
