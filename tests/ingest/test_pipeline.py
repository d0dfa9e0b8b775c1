"""Jobs run on the fake engine: what a document becomes, and what is kept when its worker dies."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import MemoryMismatch
from engine.fake import FakeEmbedder, FakeEngine, text_of
from engine.memory import ExplicitMemory
from ingest import pipeline as pipeline_of
from ingest import progress
from ingest.pipeline import Pipeline
from ingest.readers.version import readers_version
from storage.errors import JobLost
from storage.records import DocumentRow, JobRow
from storage.store import Store
from tests.ingest.make_pdf import Sheet, make_pdf, text_sheet

CLAUSES = "\n\n".join(
    f"# Clause {n}\n\nThe contractor delivers item {n} to warehouse {n * 7} before the {n}th of May."
    for n in range(12)
)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four memories a shard, two a step, every report written."""
    monkeypatch.setattr(pipeline_of, "MEMORIES_PER_SHARD", 4)
    monkeypatch.setattr(pipeline_of, "packs", _pairs)
    monkeypatch.setattr(progress, "REPORT_SECONDS", 0.0)


def drain(store: Store, engine: FakeEngine, owner: str = "w", stop: threading.Event | None = None) -> None:
    line = Pipeline(store, engine, FakeEmbedder(), owner, stop)
    while job := store.jobs.claim(owner):
        line.run(job)


def add(store: Store, path: Path, *, memories: bool = True) -> str:
    return store.documents.add(path, "law", memories=memories)[0].id


def claim(store: Store, owner: str = "w") -> JobRow:
    job = store.jobs.claim(owner)
    assert job is not None
    return job


def jobs(store: Store) -> list[tuple[str, str]]:
    """(kind, status), the oldest first."""
    return [(job.kind, job.status) for job in reversed(store.jobs.list())]


def everything(store: Store, engine: FakeEngine, document_id: str) -> tuple[DocumentRow, list[Any]]:
    """The document and its references with their memories, without what differs from run to run."""
    document = store.documents.get(document_id)
    bank = store.banks.open(engine.fingerprint.id, engine.fingerprint.to_json())
    ids = store.references.of_document(document_id)
    memories = bank.read(ids)
    references = [
        (
            (row.page, row.start, row.end, row.text, row.heading_path, row.header_tokens),
            row.token_ids.tolist(),
            row.token_offsets.tolist(),
            {name: (value.dtype, value.tolist()) for name, value in sorted(memories.get(row.id, {}).items())},
        )
        for row in store.references.get(ids)
    ]
    return replace(document, created_at=0.0, finished_at=None), references


def test_a_file_becomes_a_ready_document_in_two_jobs(store: Store, engine: FakeEngine, keep) -> None:
    document_id = add(store, keep("clauses.md", CLAUSES))
    line = Pipeline(store, engine, FakeEmbedder(), "w")
    line.run(claim(store))
    document = store.documents.get(document_id)
    assert (document.status, document.reference_count, document.memory_count) == ("answerable", 12, 0)
    assert document.job is not None
    assert (document.job.kind, document.job.stage) == ("memories", "waiting")
    line.run(claim(store))
    document = store.documents.get(document_id)
    assert (document.status, document.job, document.error) == ("ready", None, None)
    assert document.memory_count == document.reference_count
    assert jobs(store) == [("ingest", "done"), ("memories", "done")]
    for row in store.references.get(store.references.of_document(document_id)):
        page = store.documents.page(document_id, row.page)
        assert page.text[row.start : row.end] == row.text
        words = [page.text[start:end] for start, end in row.token_offsets.tolist()]
        assert [text_of([token]).lstrip() for token in row.token_ids[row.header_tokens :].tolist()] == words


def test_without_memories_a_document_is_ready_when_it_can_be_asked(
    store: Store, engine: FakeEngine, keep
) -> None:
    document_id = add(store, keep("clauses.md", CLAUSES), memories=False)
    drain(store, engine)
    document = store.documents.get(document_id)
    assert (document.status, document.memory_count) == ("ready", 0)
    assert jobs(store) == [("ingest", "done")]


def test_a_page_without_text_makes_it_partial(store: Store, engine: FakeEngine, keep) -> None:
    picture = Sheet(drawing="0 0 200 200 re f\n")
    document_id = add(store, keep("mixed.pdf", make_pdf(text_sheet("Some words to cite."), picture)))
    drain(store, engine)
    document = store.documents.get(document_id)
    assert (document.status, document.page_count) == ("partial", 2)
    assert [warning.page for warning in document.warnings] == [2]
    assert document.memory_count == document.reference_count == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", b"", "empty.txt: the file is empty"),
        ("blank.md", b"  \n\n ", "blank.md: "),
        ("none.pdf", make_pdf(), "none.pdf: "),
        ("fake.pdf", b"\x89PNG\r\n\x1a\n" + bytes(99), "fake.pdf: cannot be decoded as a picture"),
    ],
)
def test_a_bad_file_fails_alone(
    store: Store, engine: FakeEngine, keep, name: str, content: bytes, message: str
) -> None:
    bad, good = add(store, keep(name, content)), add(store, keep("good.md", CLAUSES))
    drain(store, engine)
    document = store.documents.get(bad)
    assert document.status == "failed"
    assert str(document.error).startswith(message)
    assert store.jobs.list(status="failed")[0].error == document.error
    assert document.unreadable_by == readers_version()
    assert (store.documents.get(good).status, store.documents.get(good).unreadable_by) == ("ready", None)


def test_a_name_as_long_as_it_can_be_still_tells_the_format(store: Store, engine: FakeEngine, keep) -> None:
    path = keep("a.md", CLAUSES)
    document, _ = store.documents.add(path, "law", name="漢" * 300 + "/x.md")
    drain(store, engine)
    assert store.documents.get(document.id).status == "ready"
    assert store.documents.get(document.id).media_type == "text/markdown"


class Interrupting(FakeEngine):
    """Calls `then` before its `at`-th write."""

    def __init__(self, at: int, then: Callable[[], object]) -> None:
        super().__init__()
        self.at, self.then, self.writes = at, then, 0

    def write(self, references: Any) -> list[ExplicitMemory]:
        self.writes += 1
        if self.writes == self.at:
            self.then()
        return super().write(references)


def test_cancelled_while_it_is_read(store: Store, keep) -> None:
    document_id = add(store, keep("clauses.md", CLAUSES))
    engine = FakeEngine()
    tokenize = engine.tokenize

    def cancel(text: str) -> Any:
        store.jobs.cancel(1)
        return tokenize(text)

    engine.tokenize = cancel  # type: ignore[method-assign]
    drain(store, engine)
    assert jobs(store) == [("ingest", "cancelled")]
    assert store.documents.get(document_id).status == "cancelled"
    engine.tokenize = tokenize  # type: ignore[method-assign]
    store.jobs.retry(1)
    drain(store, engine)
    assert store.documents.get(document_id).status == "ready"


def test_cancelled_while_its_memories_are_written(store: Store, keep) -> None:
    document_id = add(store, keep("clauses.md", CLAUSES))
    engine = Interrupting(4, lambda: store.jobs.cancel(2))
    drain(store, engine)
    assert jobs(store) == [("ingest", "done"), ("memories", "cancelled")]
    document = store.documents.get(document_id)
    assert document.status == "answerable"
    assert 0 < document.memory_count < document.reference_count
    store.jobs.retry(2)
    drain(store, engine)
    document = store.documents.get(document_id)
    assert (document.status, document.memory_count) == ("ready", document.reference_count)


@pytest.mark.parametrize("at", [1, 2, 4])
def test_deleted_while_its_memories_are_written(store: Store, keep, at: int) -> None:
    document_id = add(store, keep("clauses.md", CLAUSES))
    other = add(store, keep("other.txt", "Some other words."))
    engine = Interrupting(at, lambda: store.documents.delete(document_id))
    drain(store, engine)
    assert [row.id for row in store.documents.list()] == [other]
    assert store.documents.get(other).status == "ready"
    assert sum(bank.memories for bank in store.banks.status()) == 1


@pytest.mark.parametrize("method", ["set_info", "set_status", "readable"])
def test_deleted_while_it_is_read(store: Store, engine: FakeEngine, keep, monkeypatch, method: str) -> None:
    document_id = add(store, keep("clauses.md", CLAUSES))
    other = add(store, keep("other.txt", "Some other words."))
    real = getattr(store.documents, method)

    def deleted_first(wanted: str, *arguments: Any, **named: Any) -> Any:
        if wanted == document_id and any(row.id == wanted for row in store.documents.list()):
            store.documents.delete(wanted)
        return real(wanted, *arguments, **named)

    monkeypatch.setattr(store.documents, method, deleted_first)
    drain(store, engine)
    assert [row.id for row in store.documents.list()] == [other]
    assert store.documents.get(other).status == "ready"


@pytest.mark.parametrize("method", ["begin", "keep"])
def test_deleted_before_a_checkpoint(
    store: Store, engine: FakeEngine, keep, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    document_id = add(store, keep("clauses.md", CLAUSES))
    real = getattr(store.checkpoints, method)

    def deleted_first(*arguments: Any) -> Any:
        store.documents.delete(document_id)
        return real(*arguments)

    monkeypatch.setattr(store.checkpoints, method, deleted_first)
    with suppress(JobLost):  # its job went with it
        drain(store, engine)
    assert store.documents.list() == []
    assert store.jobs.claim("w") is None


def test_deleted_while_its_references_are_embedded(store: Store, engine: FakeEngine, keep) -> None:
    document_id = add(store, keep("clauses.md", CLAUSES))

    class Deleting(FakeEmbedder):
        def embed(self, texts: Any) -> Any:
            store.documents.delete(document_id)
            return super().embed(texts)

    Pipeline(store, engine, Deleting(), "w").run(claim(store))
    assert store.documents.list() == []
    assert store.jobs.claim("w") is None


def test_a_collection_deleted_meanwhile_does_not_lose_a_document_of_another(
    store: Store, engine: FakeEngine, keep
) -> None:
    path = keep("clauses.md", CLAUSES)
    store.collections.add("later", "legal")
    document_id = add(store, path)
    store.documents.add(path, "later")

    class Deleting(FakeEmbedder):
        def embed(self, texts: Any) -> Any:
            if any(row.name == "law" for row in store.collections.list()):
                store.collections.delete("law")
            return super().embed(texts)

    line = Pipeline(store, engine, Deleting(), "w")
    line.run(claim(store))
    line.run(claim(store))
    assert store.documents.get(document_id).status == "ready"


def test_memories_give_way_to_a_document_that_cannot_be_asked_yet(store: Store, keep) -> None:
    first = add(store, keep("clauses.md", CLAUSES))
    dropped: list[str] = []
    engine = Interrupting(4, lambda: dropped.append(add(store, keep("dropped.txt", "A dropped document."))))
    line = Pipeline(store, engine, FakeEmbedder(), "w")
    line.run(claim(store))
    line.run(claim(store))
    interrupted = store.documents.get(first)
    assert interrupted.job is not None
    assert (interrupted.status, interrupted.job.status, interrupted.job.attempts) == (
        "answerable",
        "queued",
        0,
    )
    assert 0 < interrupted.memory_count < interrupted.reference_count
    job = claim(store)
    assert (job.kind, job.document_id) == ("ingest", dropped[0])
    line.run(job)
    written = engine.writes
    drain(store, engine)
    assert {store.documents.get(each).status for each in (first, dropped[0])} == {"ready"}
    left = interrupted.reference_count - interrupted.memory_count + 1
    assert engine.writes - written <= left  # nothing is written twice


def test_told_to_stop_it_gives_the_job_back(store: Store, keep) -> None:
    document_id = add(store, keep("clauses.md", CLAUSES))
    stop = threading.Event()
    engine = Interrupting(2, stop.set)
    line = Pipeline(store, engine, FakeEmbedder(), "w", stop)
    line.run(claim(store))
    line.run(claim(store))
    job = store.documents.get(document_id).job
    assert job is not None
    assert (job.kind, job.status, job.owner, job.attempts) == ("memories", "queued", None, 0)
    assert engine.writes == 2
    drain(store, engine)
    assert store.documents.get(document_id).status == "ready"


def test_told_to_stop_while_it_reads(store: Store, engine: FakeEngine, keep) -> None:
    document_id = add(store, keep("clauses.md", CLAUSES))
    stop = threading.Event()
    stop.set()
    Pipeline(store, engine, FakeEmbedder(), "w", stop).run(claim(store))
    assert jobs(store) == [("ingest", "queued")]
    drain(store, engine)
    assert store.documents.get(document_id).status == "ready"


def test_an_error_of_the_engine_fails_the_job_and_not_the_worker(store: Store, keep) -> None:
    def refuse() -> None:
        raise MemoryMismatch("this reference does not fit")

    document_id = add(store, keep("clauses.md", CLAUSES))
    other = add(store, keep("other.txt", "Some other words."))
    drain(store, Interrupting(1, refuse))
    assert store.jobs.list(status="failed")[0].error == "this reference does not fit"
    assert store.documents.get(document_id).status == "answerable"
    assert store.documents.get(other).status == "ready"


def test_a_job_taken_over_is_left_alone(store: Store, keep) -> None:
    document_id = add(store, keep("clauses.md", CLAUSES))

    def lose() -> None:
        _expire(store)
        assert store.jobs.claim("another") is not None

    engine = Interrupting(2, lose)
    line = Pipeline(store, engine, FakeEmbedder(), "w")
    line.run(claim(store))
    with pytest.raises(JobLost):
        line.run(claim(store))
    job = store.documents.get(document_id).job
    assert job is not None
    assert (job.owner, job.status, job.attempts) == ("another", "running", 2)


@pytest.mark.parametrize("at", [1, 4])
def test_killed_in_the_middle_the_next_worker_finishes_as_if_nothing_had_been(
    store: Store, tmp_path: Path, keep, at: int
) -> None:
    path = keep("clauses.md", CLAUSES)
    with Store.open(tmp_path / "undisturbed") as other:
        other.collections.add("law", "legal")
        undisturbed = FakeEngine()
        expected = everything(other, undisturbed, _done(other, undisturbed, path))
    document_id = add(store, path)
    home = store.home
    store.close()
    process = multiprocessing.get_context("spawn").Process(target=_work_and_die, args=(home, at))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    with Store.open(home) as again:
        killed = again.documents.get(document_id)
        assert killed.job is not None
        assert (killed.job.kind, killed.job.status) == ("memories", "running")
        assert killed.memory_count < killed.reference_count
        assert again.jobs.claim("w2") is None  # not before the lease ends
        _expire(again)
        drain(again, undisturbed, "w2")
        assert everything(again, undisturbed, document_id) == expected
        (reason,) = again.jobs.get(2).reasons
        assert reason.message.startswith("nothing was heard of the worker any more (writing, ")


def _done(store: Store, engine: FakeEngine, path: Path) -> str:
    document_id = add(store, path)
    drain(store, engine)
    return document_id


def _pairs(lengths: Sequence[int]) -> Iterator[list[int]]:
    yield from ([*range(first, min(first + 2, len(lengths)))] for first in range(0, len(lengths), 2))


def _work_and_die(home: Path, at: int) -> None:
    pipeline_of.MEMORIES_PER_SHARD, pipeline_of.packs = 4, _pairs
    with Store.open(home) as store:
        drain(store, Interrupting(at, lambda: os.kill(os.getpid(), signal.SIGKILL)))


def _expire(store: Store) -> None:
    """Let an hour pass on the queue's clock."""
    store.jobs._clock = lambda: time.time() + 3600
