"""One document's way from a stored file to memories, stage by stage, reporting to its job row.

A stretch of pages is read, chunked, embedded and stored before the next one is read, and the place behind it
is a checkpoint: an ingest that ended in whatever way goes on there. When all are stored, the document is
answerable. Its memories are written by a second job, shard by shard, which goes on where it stopped: what is
left to do is always "references without memory". Between stretches, and between shards, a job gives way to
much smaller documents, and memories to documents that cannot be asked yet.
"""

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import numpy as np

from engine.errors import EngineAway, EngineError, EngineGone
from engine.format import REFERENCE_TOKENS
from engine.memory import ExplicitMemory
from engine.packing import packs
from engine.protocol import Embedder, Engine
from ingest.bank import MemoryBank
from ingest.document import Read
from ingest.errors import EmptyFile, IngestError, ReadingStopped, UnreadableDocument
from ingest.progress import GivenBack, Progress, Stopped
from ingest.readers.version import readers_version
from ingest.reading import Reading, Stretch, page_row
from storage.errors import DocumentNotFound, JobLost, StorageError, StoreUnavailable
from storage.records import DocumentRow, JobRow, NewReference
from storage.store import Store

log = logging.getLogger(__name__)

TEXTS_PER_EMBEDDING = 32
MEMORIES_PER_SHARD = 64
WRITE_PRIORITY = 0  # behind reading: a document that cannot be asked yet goes first
NO_MEMORIES = "no memories were written, so this document can be asked in text mode only: {}"


class Pipeline:
    """Runs jobs with one engine and one embedder.

    owner: the worker's id in the job rows. stop: once set, the job that runs is given back at its next step.
    read: a reader to use in this process, for files that are known to be harmless. tokens: of references
    embedded, and again of those whose memories were written, so far.
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
        self.tokens = 0
        self._bank = MemoryBank(store, engine.fingerprint)

    def run(self, job: JobRow) -> None:
        """Do a claimed job. Its failure is written to its row and its document, not raised.

        Raises JobLost when another worker has taken the job over, and StoreUnavailable.
        """
        started = time.monotonic()
        try:
            with Progress(self._store, job, self._owner, self._stop) as progress:
                self._do(job, progress)
        except DocumentNotFound:
            log.info("document %s was deleted while job %d ran", job.document_id, job.id)
        log.info(
            "job %d (%s) of %s took %.1f s", job.id, job.kind, job.document_id, time.monotonic() - started
        )

    def _do(self, job: JobRow, progress: Progress) -> None:
        try:
            if job.kind == "ingest":
                self._ingest(job, progress)
            else:
                self._write_memories(job, progress)
        except GivenBack:
            self._store.jobs.requeue(job.id, owner=self._owner)
            log.info("job %d (%s) of %s: given back", job.id, job.kind, job.document_id)
        except Stopped:
            self._end(job, "cancelled", None)
        except (DocumentNotFound, JobLost):
            raise
        except StoreUnavailable as error:
            with suppress(
                StorageError
            ):  # not the document's fault; if the store cannot even note it, so be it
                self._store.jobs.requeue(job.id, owner=self._owner, reason=str(error))
            raise
        except (EngineError, IngestError, StorageError) as error:
            if _passing(error) and self._try_again(job, str(error)):
                return
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
        if unreadable_by is not None:
            self._store.checkpoints.forget(job.document_id)
        self._store.jobs.finish(job.id, status, error, owner=self._owner, unreadable_by=unreadable_by)

    def _try_again(self, job: JobRow, reason: str) -> bool:
        """False if it was tried often enough."""
        again = self._store.jobs.requeue(job.id, owner=self._owner, reason=reason, failed=True)
        if again:
            log.info("job %d (%s) of %s: to be tried again", job.id, job.kind, job.document_id)
        return again

    def _ingest(self, job: JobRow, progress: Progress) -> None:
        document = self._store.documents.get(job.document_id)
        checkpoint = self._store.checkpoints.begin(job, self._owner, self._made_with())
        reading = Reading(self._store, document, checkpoint, progress, self._read)
        with _named(self._store.documents.readable(document.id), document.name) as path:
            try:
                for stretch in reading.stretches(path, self._engine.tokenize, _title(document)):
                    self._keep(job, reading, stretch, document, progress)
                    if reading.last < reading.total and self._store.jobs.should_give_way(job):
                        raise GivenBack
            except ReadingStopped:
                progress("reading", reading.last, reading.total)  # says why
                raise
        counts = self._store.checkpoints.counts(document.id)
        if not counts.references:
            raise EmptyFile(f"{document.name}: no text to cite was found in it")
        if counts.pages > reading.total:  # not every format knows at its beginning
            self._store.documents.set_info(document.id, page_count=counts.pages)
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

    def _keep(
        self, job: JobRow, reading: Reading, stretch: Stretch, document: DocumentRow, progress: Progress
    ) -> None:
        """Embed and store one stretch."""
        done, total = stretch.after.page, reading.total
        title = reading.title or document.name
        texts = ["\n".join((title, " > ".join(each.heading_path), each.text)) for each in stretch.references]
        found: list[NewReference] = []
        for first in range(0, len(texts), TEXTS_PER_EMBEDDING):
            progress("embedding", done, total)
            vectors = self._embedder.embed(texts[first : first + TEXTS_PER_EMBEDDING])
            for each, vector in zip(stretch.references[first:], vectors, strict=False):
                found.append(
                    NewReference(
                        each.page,
                        each.start,
                        each.end,
                        each.heading_path,
                        np.array(each.token_ids, dtype=np.uint32),
                        each.header_tokens,
                        each.token_offsets,
                        vector,
                    )
                )
        progress("storing", done, total)
        self._store.checkpoints.keep(
            job,
            self._owner,
            [page_row(page) for page in stretch.pages],
            found,
            self._embedder.name,
            stretch.after,
        )
        self.tokens += sum(len(each.token_ids) for each in stretch.references)

    def _write_memories(self, job: JobRow, progress: Progress) -> None:
        if self._refuses(job.document_id):
            self._finish_document(job.document_id)
            return
        fingerprint_id = self._bank.fingerprint_id
        total = len(self._store.references.of_document(job.document_id))
        left = self._store.references.count_without_memory(job.document_id, fingerprint_id)
        while left:
            if self._should_give_way(job):
                raise GivenBack
            rows = self._store.references.without_memory(job.document_id, fingerprint_id, MEMORIES_PER_SHARD)
            steps = list(packs([len(row.token_ids) for row in rows]))
            if len(rows) < left and len(steps) > 1:
                steps.pop()  # half empty; its references come first next time
            memories: list[tuple[int, ExplicitMemory]] = []
            try:
                for pack in steps:  # between them the worker reports, stops or gives way
                    if memories and self._store.jobs.waiting("ingest"):
                        break
                    progress("writing", total - left + len(memories), total)
                    step = [rows[i] for i in pack]
                    written = self._engine.write([row.token_ids.tolist() for row in step])
                    memories += [(row.id, new) for row, new in zip(step, written, strict=True)]
                    self.tokens += sum(len(row.token_ids) for row in step)
            finally:
                self._bank.write(memories)
            left = self._store.references.count_without_memory(job.document_id, fingerprint_id)
            progress("writing", total - left, total, kept=True)
        progress("writing", total, total)
        self._finish_document(job.document_id)

    def _should_give_way(self, job: JobRow) -> bool:
        return self._store.jobs.waiting("ingest") > 0 or self._store.jobs.should_give_way(job)

    def _refuses(self, document_id: str) -> bool:
        """Whether the model cannot write memories; the document then says why."""
        refusal = self._engine.info.refusal
        if refusal is not None:
            self._store.documents.add_warning(document_id, None, NO_MEMORIES.format(refusal))
        return refusal is not None

    def _finish_document(self, document_id: str) -> None:
        """Ready if nothing is missing; what is, is counted, not remembered."""
        document = self._store.documents.get(document_id)
        counts = self._store.checkpoints.counts(document_id)
        missing = [
            f"{lacking} of {whole} {what}"
            for lacking, whole, what in (
                ((document.page_count or 0) - counts.pages, document.page_count, "pages"),
                (document.reference_count - counts.references, document.reference_count, "passages"),
                (counts.references - counts.words, counts.references, "passages in the word index"),
            )
            if lacking > 0
        ]
        error = f"{document.name}: {', '.join(missing)} are missing; ingest it again" if missing else None
        partial = missing or any(warning.page is not None for warning in document.warnings)
        self._store.documents.set_status(document_id, "partial" if partial else "ready", error)

    def _made_with(self) -> str:
        """What references and vectors depend on beside the file."""
        tokenizer = self._engine.fingerprint.tokenizer
        return f"{readers_version()} | {tokenizer} {REFERENCE_TOKENS} | {self._embedder.name}"


def _passing(error: Exception) -> bool:
    """Whether it may go well when it is tried again at once."""
    return isinstance(error, EngineGone | EngineAway) or (
        isinstance(error, UnreadableDocument) and error.passing
    )


@contextmanager
def _named(original: Path, name: str) -> Iterator[Path]:
    """The stored file under its own name: errors quote it, and its suffix tells text formats apart."""
    with tempfile.TemporaryDirectory(prefix="attest-") as folder:
        plain = name.replace("/", "_").replace("\0", "_").encode()[-200:].decode(errors="ignore")
        link = Path(folder) / (plain or "document")
        link.symlink_to(original.absolute())
        yield link


def _title(document: DocumentRow) -> str:
    return Path(document.name).stem.replace("_", " ")


def _first(names: Sequence[str]) -> str | None:
    return names[0] if names else None
