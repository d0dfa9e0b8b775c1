"""`attest ingest`: files and folders in, one outcome per document as each is finished.

Uses the worker that runs already (the served page's, say), else one of its own until all is done.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from app.errors import for_people
from app.library.folders import Stamp, look_into, stamp_of
from app.library.forecast import Forecast, check, forecast
from app.library.standing import settled_error, settled_status
from app.service import Service
from app.supervisor import OwnWorkers
from storage.errors import DocumentNotFound
from storage.records import FINISHED, DocumentRow
from storage.sources import path_key

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
AT_A_TIME = 500  # documents asked about in one go


@dataclass(frozen=True)
class Outcome:
    """What became of one path.

    status: ready, partial, failed, duplicate or cancelled (queued if nobody waits).

    error: why it is not ready; of a duplicate, why the same content could not be read before.
    bytes: the file's size. seconds: from the start of its reading to the end of its writing.
    version: how many different contents were found at this path, this one included. replaces: the document
        that was found there before, now an older version.
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
    version: int | None = None
    replaces: str | None = None


@dataclass(frozen=True)
class IngestOptions:
    """Into which collection, and how.

    profile: of the collection, if it is new. wait: for outcomes; else files are queued only. passwords: tried
    on files that are locked, and forgotten. workers: processes to start where none runs. despite_disk: begin
    even if the disk would clearly not do. say: takes what people should know beside the outcomes.
    """

    collection: str
    profile: str | None = None
    memories: bool = True
    wait: bool = True
    passwords: Sequence[str] = ()
    workers: int = 1
    despite_disk: bool = False
    say: Callable[[str], None] = log.info


def ingest_paths(service: Service, paths: Sequence[Path], options: IngestOptions) -> Iterator[Outcome]:
    """Outcomes in the order in which documents are finished; what cannot even be queued comes at once.

    Raises AttestError.
    """
    with Intake(service, options) as intake:
        files, problems = _files(paths)
        intake.expect(files)
        yield from problems
        for file in files:
            outcome = intake.take_in(file)
            if outcome is not None:
                yield outcome
            yield from intake.finished()
        yield from intake.all_finished()


class Intake:
    """Takes files in, and tells what becomes of them; with a worker of its own while no other one lives.

    pending: the path of each document that is waited for. Use as a context manager; leaving ends our worker,
    which gives its job back.
    """

    def __init__(
        self, service: Service, options: IngestOptions, pending: dict[str, Path] | None = None
    ) -> None:
        self.pending = pending or {}
        self._service, self._options = service, options
        self._collection = options.collection.strip()
        self._expected: dict[Path, int] = {}
        self._workers = OwnWorkers(service.settings, options.workers)
        self._started: dict[str, float] = {}
        self._looked = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workers.end()

    def expect(self, files: Mapping[Path, Stamp]) -> None:
        """Say what these files will take, those left out that were read before.

        Raises AttestError if the disk would clearly not do.
        """
        with for_people():
            known = self._read_before(files)
        self._expected = {path: stamp.size for path, stamp in files.items() if path_key(path) not in known}
        expected = self._forecast()
        if not self._options.despite_disk:
            check(expected, self._service.settings.home)

    def _forecast(self) -> Forecast:
        expected = forecast(self._service.store, self._expected, memories=self._options.memories)
        if len(self._expected) > 1:
            self._options.say(expected.words())
        if expected.memory_bytes is not None:
            self._expected = {}  # nothing is left to be found out
        return expected

    def _read_before(self, files: Mapping[Path, Stamp]) -> set[str]:
        store = self._service.store
        if not files or not store.collections.has(self._collection):
            return set()
        folder = Path(os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in files]))
        known = store.sources.under(self._collection, folder)
        stamps = {path_key(path): stamp for path, stamp in files.items()}
        return {
            path
            for path, stamp in stamps.items()
            if path in known and (known[path].mtime_ns, known[path].size) == (stamp.mtime_ns, stamp.size)
        }

    def take_in(self, file: Path) -> Outcome | None:
        """Add one file. Its outcome comes from `finished`, unless it is known already."""
        added = self._service.add_documents(
            [file],
            self._collection,
            self._options.profile,
            memories=self._options.memories,
            stays=True,
            passwords=self._options.passwords,
        )[0]
        if added.document_id is None:
            return Outcome(str(file), None, "failed", error=added.error)
        row = _row(self._service, added.document_id)
        if added.status != "queued" and row is not None and _finished(row):
            return _outcome(str(file), row, "duplicate", 0.0, self._collection)
        if added.document_id in self.pending:
            return Outcome(str(file), added.document_id, "duplicate")
        if not self._options.wait:
            return Outcome(str(file), added.document_id, "queued")
        self.pending[added.document_id] = file
        return None

    def all_finished(self) -> Iterator[Outcome]:
        """Outcomes until none is pending."""
        while self.pending:
            yield from self.finished()
            if self.pending:
                time.sleep(POLL_SECONDS)

    def finished(self) -> Iterator[Outcome]:
        """Outcomes of what is finished by now; asks at most every `POLL_SECONDS`. Raises AttestError."""
        now = time.monotonic()
        if not self.pending or now - self._looked < POLL_SECONDS:
            return
        self._looked = now
        for document_ids in _batches(self.pending):
            with for_people():
                rows = self._service.store.documents.of_ids(document_ids)
            for document_id in document_ids:
                row = rows.get(document_id)
                if row is None:
                    path = str(self.pending.pop(document_id))
                    error = f"{path}: deleted while it was read"
                    yield Outcome(path, document_id, "cancelled", error=error)
                    continue
                if row.status != "queued":
                    self._started.setdefault(document_id, now)
                if _finished(row):
                    self._workers.something_was_done()
                    seconds = now - self._started.pop(document_id, now)
                    path = str(self.pending.pop(document_id))
                    yield _outcome(path, row, settled_status(row), seconds, self._collection)
                    if self._expected and row.memory_count:
                        self._forecast()  # the size of a memory is known now
        if self.pending:
            self._workers.keep_running(self._service.store)


def _batches(pending: dict[str, Path]) -> Iterator[list[str]]:
    every = iter(list(pending))
    while batch := list(islice(every, AT_A_TIME)):
        yield batch


def _files(paths: Sequence[Path]) -> tuple[dict[Path, Stamp], list[Outcome]]:
    """The files, and the files of folders; what cannot be looked at is a failed outcome."""
    files: dict[Path, Stamp] = {}
    problems: list[Outcome] = []
    for path in paths:
        if not os.path.isdir(path):  # unlike Path.is_dir, it raises nothing
            files[path] = stamp_of(path)
            continue
        found = look_into(path)
        files |= found.files
        for link in found.links:
            log.warning("%s is a link to another folder, which is left out; name that folder itself", link)
        for folder, reason in found.problems:
            error = f"{folder} cannot be read ({reason}); change its permissions"
            problems.append(Outcome(str(folder), None, "failed", error=error))
        if not found.files and not found.problems:
            problems.append(
                Outcome(str(path), None, "failed", error=f"{path}: there are no files in this folder")
            )
    return files, problems


def _row(service: Service, document_id: str) -> DocumentRow | None:
    """None if it was deleted."""
    with for_people():
        try:
            return service.store.documents.get(document_id)
        except DocumentNotFound:
            return None


def _finished(row: DocumentRow) -> bool:
    return settled_status(row) in FINISHED and row.job is None


def _outcome(path: str, row: DocumentRow, status: str, seconds: float, collection: str) -> Outcome:
    here = (collection, path_key(Path(path)))
    source = next((each for each in row.sources if (each.collection, each.path) == here), None)
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
        version=source.version if source else None,
        replaces=source.replaces if source else None,
    )
