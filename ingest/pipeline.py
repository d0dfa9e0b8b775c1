"""One document's way from a stored file to memories, stage by stage, reporting to its job row.

Reading and chunking run together, page by page; then every reference is embedded, and the document is
answerable. Its memories are written by a second job, batch by batch, which gives way to documents that
cannot be asked yet and goes on where it stopped: what is left to do is always "references without memory".
"""

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np

from engine.errors import EngineError
from engine.memory import ExplicitMemory
from engine.packing import packs
from engine.protocol import Embedder, Engine
from ingest import sandbox
from ingest.bank import MemoryBank
from ingest.chunk import Reference, chunk
from ingest.document import DocumentInfo, Page, PageWarning, Read
from ingest.errors import EmptyFile, IngestError, UnreadableDocument
from ingest.readers.version import readers_version
from storage.errors import DocumentNotFound, JobLost, StorageError, StoreUnavailable
from storage.records import DocumentRow, JobRow, NewReference, PageHeading, PageRow, Stage
from storage.store import Store

log = logging.getLogger(__name__)

PAGES_PER_WRITE = 16
TEXTS_PER_EMBEDDING = 64
MEMORIES_PER_SHARD = 64
REPORT_SECONDS = 0.3  # progress is written at most this often
WRITE_PRIORITY = 0  # behind reading: a document that cannot be asked yet goes first
NO_MEMORIES = "no memories were written, so this document can be asked in text mode only: {}"


class Stopped(Exception):
    """The job was cancelled, or its document is gone."""


class GivenBack(Exception):
    """The worker was told to stop; the job goes back into the queue."""


class Progress:
    """Reports a job's stage to its row.

    Raises Stopped once cancelling was asked for, and GivenBack once `stop` is set.
    """

    def __init__(self, store: Store, job: JobRow, owner: str, stop: threading.Event) -> None:
        self._store, self._job, self._owner, self._stop = store, job, owner, stop
        self._stage: Stage | None = None
        self._reported = 0.0

    def __call__(self, stage: Stage, done: int, total: int) -> None:
        if self._stop.is_set():
            raise GivenBack
        now = time.monotonic()
        if stage == self._stage and done < total and now - self._reported < REPORT_SECONDS:
            return
        self._stage, self._reported = stage, now
        if self._store.jobs.progress(self._job.id, stage, done, total, owner=self._owner):
            raise Stopped


class Pipeline:
    """Runs jobs with one engine and one embedder.

    owner: the worker's id in the job rows. stop: once set, the job that runs is given back at its next step.
    read: a reader to use in this process, for files that are known to be harmless.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        embedder: Embedder,
        owner: str,
        stop: threading.Event | None = None,
        read: Callable[[Path], Read] | None = None,
    ) -> None:
        self._store, self._engine, self._embedder, self._owner = store, engine, embedder, owner
        self._read = read
        self._stop = stop or threading.Event()
        self._bank = MemoryBank(store, engine.fingerprint)

    def run(self, job: JobRow) -> None:
        """Do a claimed job. Its failure is written to its row and its document, not raised.

        Raises JobLost when another worker has taken the job over, and StoreUnavailable.
        """
        started = time.monotonic()
        try:
            self._do(job, Progress(self._store, job, self._owner, self._stop))
        except DocumentNotFound:
            log.info("document %s was deleted while job %d ran", job.document_id, job.id)
        log.info(
            "job %d (%s) of %s took %.1f s", job.id, job.kind, job.document_id, time.monotonic() - started
        )

    def _do(self, job: JobRow, progress: Progress) -> None:
        try:
            if job.kind == "ingest":
                self._ingest(job, progress)
            elif not self._write_memories(job, progress):
                self._store.jobs.requeue(job.id)
                return
        except GivenBack:
            self._store.jobs.requeue(job.id)
            log.info("job %d (%s) of %s: given back", job.id, job.kind, job.document_id)
        except Stopped:
            self._end(job, "cancelled", None)
        except (DocumentNotFound, JobLost, StoreUnavailable):
            raise
        except (EngineError, IngestError, StorageError) as error:
            lasting = isinstance(error, UnreadableDocument) and error.lasting
            self._end(job, "failed", str(error), readers_version() if lasting else None)
        else:
            self._store.jobs.finish(job.id, "done", owner=self._owner)

    def _end(
        self,
        job: JobRow,
        status: Literal["cancelled", "failed"],
        error: str | None,
        unreadable_by: str | None = None,
    ) -> None:
        log.info("job %d (%s) of %s: %s", job.id, job.kind, job.document_id, status)
        if not self._store.jobs.finish(job.id, status, error, owner=self._owner):
            return  # deleted meanwhile, with its document
        if job.kind == "ingest":
            self._store.documents.set_status(job.document_id, status, error, unreadable_by=unreadable_by)

    def _ingest(self, job: JobRow, progress: Progress) -> None:
        document = self._store.documents.get(job.document_id)
        self._store.documents.set_status(document.id, "reading")
        with _named(self._store.documents.original(document.id), document.name) as path:
            reading = Reading(self._store, document, progress)
            items = (self._read or sandbox.read)(path)
            references = list(chunk(reading.pages(items), self._engine.tokenize, _title(document)))
        if not references:
            raise EmptyFile(f"{document.name}: no text to cite was found in it")
        self._store.references.replace(
            document.id, list(self._embedded(document, reading, references, progress)), self._embedder.name
        )
        self._store.documents.set_status(document.id, "answerable")
        if job.memories and not self._refuses(document.id):
            self._store.jobs.enqueue(
                "memories",
                document.id,
                collection=_first(self._store.documents.get(document.id).collections),
                path=job.path,
                priority=WRITE_PRIORITY,
            )
        else:
            self._finish_document(document.id)

    def _embedded(
        self, document: DocumentRow, reading: "Reading", references: Sequence[Reference], progress: Progress
    ) -> Iterator[NewReference]:
        title = reading.title or document.name
        for first in range(0, len(references), TEXTS_PER_EMBEDDING):
            progress("embedding", first, len(references))
            batch = references[first : first + TEXTS_PER_EMBEDDING]
            texts = [
                "\n".join((title, " > ".join(r.heading_path), reading.texts[r.page][r.start : r.end]))
                for r in batch
            ]
            for reference, vector in zip(batch, self._embedder.embed(texts), strict=True):
                yield NewReference(
                    reference.page,
                    reference.start,
                    reference.end,
                    reference.heading_path,
                    np.array(reference.token_ids, dtype=np.uint32),
                    reference.header_tokens,
                    reference.token_offsets,
                    vector,
                )
        progress("embedding", len(references), len(references))

    def _write_memories(self, job: JobRow, progress: Progress) -> bool:
        """Returns False if it stopped to let another document be read first."""
        if self._refuses(job.document_id):
            self._finish_document(job.document_id)
            return True
        total = len(self._store.references.of_document(job.document_id))
        left = self._store.references.count_without_memory(job.document_id, self._bank.fingerprint_id)
        while left:
            if self._store.jobs.waiting("ingest"):
                return False
            rows = self._store.references.without_memory(
                job.document_id, self._bank.fingerprint_id, MEMORIES_PER_SHARD
            )
            steps = list(packs([len(row.token_ids) for row in rows]))
            if len(rows) < left and len(steps) > 1:
                steps.pop()  # half empty; its references come first next time
            memories: list[tuple[int, ExplicitMemory]] = []
            for pack in steps:  # between them the worker reports, stops or gives way
                if memories and self._store.jobs.waiting("ingest"):
                    break
                progress("writing", total - left + len(memories), total)
                step = [rows[i] for i in pack]
                written = self._engine.write([row.token_ids.tolist() for row in step])
                memories += [(row.id, new) for row, new in zip(step, written, strict=True)]
            self._bank.write(memories)
            left = self._store.references.count_without_memory(job.document_id, self._bank.fingerprint_id)
        progress("writing", total, total)
        self._finish_document(job.document_id)
        return True

    def _refuses(self, document_id: str) -> bool:
        """Whether the model cannot write memories; the document then says why."""
        refusal = self._engine.info.refusal
        if refusal is not None:
            self._store.documents.add_warning(document_id, None, NO_MEMORIES.format(refusal))
        return refusal is not None

    def _finish_document(self, document_id: str) -> None:
        warnings = self._store.documents.get(document_id).warnings
        partial = any(warning.page is not None for warning in warnings)
        self._store.documents.set_status(document_id, "partial" if partial else "ready")


class Reading:
    """Streams a file's pages into the store and on to the chunker, keeping only their text."""

    def __init__(self, store: Store, document: DocumentRow, progress: Progress) -> None:
        self._store, self._document, self._progress = store, document, progress
        self.title: str | None = None
        self.texts: dict[int, str] = {}

    def pages(self, items: Read) -> Iterator[Page]:
        total = 0
        waiting: list[PageRow] = []
        for item in items:
            if isinstance(item, DocumentInfo):
                total, self.title = item.page_count, item.title
                self._store.documents.set_info(
                    self._document.id, media_type=item.media_type, title=item.title, page_count=total
                )
                self._progress("reading", 0, total)
            elif isinstance(item, PageWarning):
                self._store.documents.add_warning(self._document.id, item.page, item.message)
            else:
                self.texts[item.number] = item.text
                waiting.append(_page_row(item))
                if len(waiting) == PAGES_PER_WRITE:
                    self._store.documents.add_pages(self._document.id, waiting)
                    waiting = []
                self._progress("reading", item.number, max(total, item.number))
                yield item
        self._store.documents.add_pages(self._document.id, waiting)
        self._store.documents.set_info(self._document.id, page_count=len(self.texts))


@contextmanager
def _named(original: Path, name: str) -> Iterator[Path]:
    """The stored file under its own name: errors quote it, and its suffix tells text formats apart."""
    with tempfile.TemporaryDirectory(prefix="attest-") as folder:
        plain = name.replace("/", "_").replace("\0", "_").encode()[-200:].decode(errors="ignore")
        link = Path(folder) / (plain or "document")
        link.symlink_to(original.absolute())
        yield link


def _page_row(page: Page) -> PageRow:
    headings = tuple(PageHeading(h.start, h.level, h.text) for h in page.headings)
    return PageRow(page.number, page.label, page.text, page.width, page.height, page.boxes, headings)


def _title(document: DocumentRow) -> str:
    return Path(document.name).stem.replace("_", " ")


def _first(names: Sequence[str]) -> str | None:
    return names[0] if names else None
