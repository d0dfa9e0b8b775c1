"""An ingest that ended early goes on where it was, and nothing of it can be found before it is whole."""

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineGone
from engine.fake import FakeEmbedder, FakeEngine
from ingest import pipeline, progress, reading, sandbox
from ingest.document import Start
from ingest.pipeline import Pipeline
from storage.errors import JobLost
from storage.records import JobRow
from storage.store import Store
from tests.ingest.contents import contents, differences
from tests.ingest.make_pdf import make_pdf, text_sheet

PAGES = 40
SHEETS = make_pdf(
    *(
        text_sheet("ACME MASTER AGREEMENT", f"{n}. DELIVERY OF PART", f"Item {n} is due in {1900 + n}.")
        for n in range(PAGES)
    )
)
CLAUSES = "\n\n".join(f"# Clause {n}\n\nItem {n} is delivered in the year {2000 + n}." for n in range(PAGES))


class Counted(FakeEmbedder):
    """Calls `then` before its `at`-th batch."""

    def __init__(self, at: int = 0, then: Callable[[], object] = lambda: None) -> None:
        self.at, self.then, self.texts = at, then, 0
        self._calls = 0

    def embed(self, texts: Any) -> Any:
        self._calls += 1
        self.texts += len(texts)
        if self._calls == self.at:
            self.then()
        return super().embed(texts)


@pytest.fixture(autouse=True)
def starts(monkeypatch: pytest.MonkeyPatch) -> list[Start]:
    """Where reading processes were told to begin. Stretches of eight pages, every report written."""
    monkeypatch.setattr(reading, "PAGES", 8)
    monkeypatch.setattr(progress, "REPORT_SECONDS", 0.0)
    seen: list[Start] = []
    real = sandbox.read

    def read(path: Path, **named: Any) -> Any:
        seen.append(named["start"])
        return real(path, **named)

    monkeypatch.setattr(reading.sandbox, "read", read)
    return seen


def claim(store: Store, owner: str = "w") -> JobRow:
    job = store.jobs.claim(owner)
    assert job is not None
    return job


def drain(store: Store, embedder: FakeEmbedder | None = None) -> None:
    line = Pipeline(store, FakeEngine(), embedder or FakeEmbedder(), "w")
    while job := store.jobs.claim("w"):
        line.run(job)


@pytest.mark.parametrize(("name", "content"), [("sheets.pdf", SHEETS), ("clauses.md", CLAUSES)])
def test_a_cancelled_ingest_goes_on_at_its_checkpoint(
    store: Store, tmp_path: Path, keep, starts: list[Start], name: str, content: bytes | str
) -> None:
    path = keep(name, content)
    document_id = store.documents.add(path, "law")[0].id
    first = Counted(3, lambda: store.jobs.cancel(1))
    drain(store, first)
    document = store.documents.get(document_id)
    assert (document.status, document.reference_count) == ("cancelled", 16)
    kept = store.references.of_document(document_id)
    assert store.pages.numbers(document_id) == list(range(1, 17))
    assert store.search("fake", 64).hybrid("item", FakeEmbedder().embed(["item"])[0]) == []

    store.jobs.retry(1)
    second = Counted()
    drain(store, second)
    assert [start.after for start in starts] == [0, 16]
    assert store.references.of_document(document_id)[:16] == kept
    assert first.texts + second.texts == PAGES + 8  # the stretch that was under way is embedded again
    assert store.documents.get(document_id).status == "ready"

    with Store.open(tmp_path / "undisturbed") as other:
        other.collections.add("law", "legal")
        other.documents.add(path, "law")
        drain(other)
    assert differences(contents(tmp_path / "undisturbed"), contents(store.home)) == []


def test_other_readers_begin_anew(
    store: Store, keep, starts: list[Start], monkeypatch: pytest.MonkeyPatch
) -> None:
    document_id = store.documents.add(keep("sheets.pdf", SHEETS), "law")[0].id
    drain(store, Counted(3, lambda: store.jobs.cancel(1)))
    monkeypatch.setattr(pipeline, "readers_version", lambda: "another")
    store.jobs.retry(1)
    drain(store)
    assert [start.after for start in starts] == [0, 0]
    document = store.documents.get(document_id)
    assert (document.status, document.reference_count, document.page_count) == ("ready", PAGES, PAGES)


def test_a_page_that_takes_long_does_not_delay_a_cancel(
    store: Store, keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = threading.Event()
    monkeypatch.setattr(sandbox, "COMMAND", [sys.executable, "-c", "import time; time.sleep(500)"])
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.01)
    document_id = store.documents.add(keep("sheets.pdf", SHEETS), "law")[0].id
    job = claim(store)
    begin = store.checkpoints.begin

    def begun(*arguments: Any) -> Any:
        ready.set()
        return begin(*arguments)

    monkeypatch.setattr(store.checkpoints, "begin", begun)
    line = Pipeline(store, FakeEngine(), FakeEmbedder(), "w")
    thread = threading.Thread(target=line.run, args=(job,))
    thread.start()
    ready.wait(60)
    store.jobs.cancel(job.id)
    thread.join(50)  # the reader's own limit is 60 s
    assert not thread.is_alive()
    assert (store.jobs.get(job.id).status, store.documents.get(document_id).status) == (
        "cancelled",
        "cancelled",
    )


def test_a_lease_is_renewed_while_a_step_takes_long(
    store: Store, keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(progress, "RENEW_SECONDS", 0.0)
    store.documents.add(keep("clauses.md", CLAUSES), "law")
    job = claim(store)
    with progress.Progress(store, job, "w", threading.Event()):
        limit = threading.Event()
        while store.jobs.get(job.id).lease_until == job.lease_until:
            limit.wait(0.01)


def test_nothing_is_kept_by_a_worker_that_lost_its_job(store: Store, keep) -> None:
    document_id = store.documents.add(keep("sheets.pdf", SHEETS), "law")[0].id

    def lose() -> None:
        store.jobs.requeue(1)
        claim(store, "another")

    with pytest.raises(JobLost):
        Pipeline(store, FakeEngine(), Counted(1, lose), "w").run(claim(store))
    assert store.references.of_document(document_id) == []
    assert store.pages.numbers(document_id) == []
    assert (store.jobs.get(1).owner, store.jobs.get(1).status) == ("another", "running")


def test_a_big_document_lets_a_small_one_pass_between_stretches(store: Store, keep) -> None:
    big = store.documents.add(keep("big.pdf", SHEETS + b"\n" + b"%" * 2_000_000 + b"\n%%EOF"), "law")[0].id
    small: list[str] = []
    embedder = Counted(
        2, lambda: small.append(store.documents.add(keep("small.txt", "A small note."), "law")[0].id)
    )
    line = Pipeline(store, FakeEngine(), embedder, "w")
    line.run(claim(store))
    waiting = store.jobs.get(1)
    assert (waiting.status, waiting.attempts, waiting.reasons) == ("queued", 0, ())
    assert store.documents.get(big).reference_count == 16
    passing = claim(store)
    assert passing.document_id == small[0]
    line.run(passing)
    drain(store, embedder)
    assert {store.documents.get(each).status for each in (big, small[0])} == {"ready"}
    assert embedder.texts == PAGES + 1  # nothing was done twice


def test_what_may_pass_is_tried_again_and_every_reason_kept(store: Store, keep) -> None:
    def gone() -> None:
        raise EngineGone("the process that held the model ended")

    document_id = store.documents.add(keep("clauses.md", CLAUSES), "law")[0].id
    engine = FakeEngine()
    tokenize = engine.tokenize
    tries = []

    def failing(text: str) -> Any:
        if "Clause 3" in text and len(tries) < 2:
            tries.append(1)
            gone()
        return tokenize(text)

    engine.tokenize = failing  # type: ignore[method-assign]
    line = Pipeline(store, engine, FakeEmbedder(), "w")
    while job := store.jobs.claim("w"):
        line.run(job)
    assert store.documents.get(document_id).status == "ready"
    ingest = store.jobs.get(1)
    assert [reason.message for reason in ingest.reasons] == ["the process that held the model ended"] * 2
    assert ingest.status == "done"


def test_counts_that_do_not_reconcile_make_it_partial(store: Store, keep, monkeypatch) -> None:
    document_id = store.documents.add(keep("clauses.md", CLAUSES), "law", memories=False)[0].id
    real = store.checkpoints.counts
    monkeypatch.setattr(
        store.checkpoints, "counts", lambda key: replace(real(key), pages=PAGES - 2, words=39)
    )
    drain(store)
    document = store.documents.get(document_id)
    assert document.status == "partial"
    assert document.error == (
        "clauses.md: 2 of 40 pages, 1 of 40 passages in the word index are missing; ingest it again"
    )
