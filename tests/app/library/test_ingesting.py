"""`attest ingest` with a worker process of its own: outcomes, and what other processes do meanwhile."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from app.library import adding, ingesting
from app.library.ingesting import IngestOptions, Intake, ingest_paths
from app.service import Service
from app.web.documents import added_html
from tests.app.conftest import DOSE, LEASE, WARRANTY, add, answer, attest, attest_process, drain
from tests.ingest.make_pdf import Sheet, make_pdf, text_sheet

pytestmark = pytest.mark.usefixtures("fake_model")

MIXED = make_pdf(text_sheet("The warranty period is sixty months."), Sheet(drawing="0 0 200 200 re f\n"))
# the words differ by more than numbers, Roman ones included, or they would be taken for a running head
LETTERS = str.maketrans("0123456789", "abefghjkno")
MANY_PAGES = make_pdf(
    *(text_sheet(f"Page {n} is about item {f'{n:03}'.translate(LETTERS)}.") for n in range(600))
)


def until(happened: Callable[[], object], seconds: float = 60.0) -> None:
    limit = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.05)


def test_a_worker_of_its_own_writes_the_memories_and_goes(service: Service, keep) -> None:
    done = attest_process(
        "ingest", keep("w.pdf", WARRANTY), "--json", "--collection", "law", "--profile", "legal"
    )
    assert done.status == 0
    (line,) = done.lines
    assert (line["status"], line["pages"], line["warnings"]) == ("ready", 2, [])
    assert service.collections()[0].profile == "legal"
    assert answer(service, "How long is the warranty of the turbine?", collection="law").citations
    assert line["memories"] == line["references"] > 0
    assert not service.store.workers.alive()


def test_the_same_file_twice_in_one_call(service: Service, keep) -> None:
    paths = [keep("one.md", LEASE), keep("two.md", LEASE)]
    outcomes = list(ingest_paths(service, paths, IngestOptions("c", wait=False)))
    assert [each.status for each in outcomes] == ["queued", "queued"]
    assert outcomes[0].document_id == outcomes[1].document_id
    drain(service)
    outcomes = list(ingest_paths(service, paths, IngestOptions("c")))
    assert [each.status for each in outcomes] == ["duplicate", "duplicate"]


def test_without_waiting_nothing_is_read(service: Service, keep) -> None:
    (outcome,) = ingest_paths(service, [keep("a.md", LEASE)], IngestOptions("c", wait=False))
    assert (outcome.status, outcome.error) == ("queued", None)
    assert service.document(str(outcome.document_id)).status == "queued"
    assert not service.store.workers.alive()


def test_a_file_that_cannot_be_read_is_a_duplicate_the_next_time(service: Service, keep) -> None:
    paths = [keep("none.pdf", make_pdf()), keep("blank.md", "  \n")]
    add(service, *paths)
    done = attest("ingest", *paths, "--json")
    assert done.status == 0
    for line, words in zip(done.lines, ("none.pdf: ", "blank.md: "), strict=True):
        assert line["status"] == "duplicate"
        assert line["error"].startswith(words)
        assert line["error"] == service.document(line["document_id"]).error
    assert not any(job.status == "queued" for job in service.jobs())


def test_the_page_says_why_a_file_cannot_be_read_when_it_is_dropped_again(service: Service, keep) -> None:
    (document_id,) = add(service, keep("none.pdf", make_pdf()))
    (added,) = service.add_documents([keep("copy of none.pdf", make_pdf())], "c")
    assert (added.status, added.document_id) == ("failed", document_id)
    assert f"none.pdf: {added.error}" == service.document(document_id).error
    assert f"copy of none.pdf: {added.error}" in added_html([added])
    assert [view.document_id for view in service.documents("c")] == [document_id]


def test_other_readers_or_a_retry_try_an_unreadable_file_again(
    service: Service, keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = keep("none.pdf", make_pdf())
    (document_id,) = add(service, path)
    (job,) = service.jobs()
    assert attest("jobs", "retry", str(job.id)).status == 0
    assert service.document(document_id).status == "queued"
    drain(service)
    monkeypatch.setattr(adding, "readers_version", lambda: "another")
    (outcome,) = ingest_paths(service, [path], IngestOptions("c", wait=False))
    assert outcome.status == "queued"


def test_spaces_around_a_collections_name_do_not_make_another_one(service: Service, keep) -> None:
    for _ in range(2):
        (outcome,) = ingest_paths(service, [keep("a.md", LEASE)], IngestOptions(" law ", wait=False))
        assert outcome.status == "queued"
    assert [row.name for row in service.collections()] == ["law"]


def test_a_page_that_cannot_be_read_makes_the_document_partial(service: Service, keep) -> None:
    (document_id,) = add(service, keep("mixed.pdf", MIXED))
    view = service.document(document_id)
    assert view.status == "partial"
    assert [page for page, _ in view.warnings] == [2]
    (outcome,) = ingest_paths(service, [keep("mixed.pdf", MIXED)], IngestOptions("default"))
    assert (outcome.status, outcome.warnings[0]["page"]) == ("duplicate", 2)


@pytest.fixture
def someone_works(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process's worker seems to live, so that none is started here."""
    service.store.workers.beat("another", os.getpid())
    monkeypatch.setattr(ingesting, "POLL_SECONDS", 0.01)


@pytest.mark.usefixtures("someone_works")
def test_a_document_deleted_while_it_is_waited_for(service: Service, keep) -> None:
    gone, kept = service.add_documents([keep("a.md", LEASE), keep("b.txt", "two words")], "c")
    service.delete_document(str(gone.document_id))
    drain(service)
    pending = {str(each.document_id): each.path for each in (gone, kept)}
    outcomes = {
        each.document_id: each for each in Intake(service, IngestOptions("c"), pending).all_finished()
    }
    assert outcomes[gone.document_id].status == "cancelled"
    assert "deleted while it was read" in str(outcomes[gone.document_id].error)
    assert outcomes[kept.document_id].status == "ready"


@pytest.mark.usefixtures("someone_works")
def test_cancelling_the_reading_or_the_writing_ends_the_wait(service: Service, keep) -> None:
    reading, writing = service.add_documents([keep("a.txt", "one two"), keep("b.md", LEASE)], "c")
    service.cancel_document(str(reading.document_id))
    service.store.documents.set_status(str(writing.document_id), "answerable")
    service.cancel_document(str(writing.document_id))
    pending = {str(each.document_id): each.path for each in (reading, writing)}
    outcomes = {
        each.document_id: each for each in Intake(service, IngestOptions("c"), pending).all_finished()
    }
    assert outcomes[reading.document_id].status == "cancelled"
    assert outcomes[writing.document_id].status in ("partial", "cancelled")


def test_a_cancelled_memory_job_leaves_a_partial_document_that_can_be_asked(service: Service, keep) -> None:
    from ingest.pipeline import Pipeline

    added = service.add_documents([keep("lease.md", LEASE)], "default")
    document_id = str(added[0].document_id)
    ingest = service.store.jobs.claim("w", ["ingest"])
    assert ingest is not None
    Pipeline(service.store, *service.models(), "w").run(ingest)
    assert service.document(document_id).status == "answerable"
    service.cancel_document(document_id)
    view = service.document(document_id)
    assert view.status == "partial"
    assert "first needed" in str(view.error)
    assert answer(service, "How can the tenant terminate the lease?").citations
    service.store.jobs.retry(service.jobs()[0].id)
    drain(service)
    assert (service.document(document_id).status, service.document(document_id).error) == ("ready", None)


@pytest.fixture
def listening() -> Iterator[None]:
    """What a shell runs in the background has Ctrl-C ignored, and would hand that on to its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
def test_ctrl_c_leaves_nothing_running_and_nothing_lost(service: Service, keep) -> None:
    path = keep("many.pdf", MANY_PAGES)
    command = [sys.executable, "-m", "app", "ingest", str(path), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until(lambda: any(job.stage == "reading" for job in service.jobs()))
        worker = service.store.workers.alive()[0].pid
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 1
    assert not psutil.pid_exists(worker)
    (job,) = service.jobs()
    assert (job.kind, job.status, job.attempts) == ("ingest", "queued", 0)
    assert not service.store.workers.alive()
    drain(service)
    (document,) = service.documents("default")
    assert (document.status, document.pages) == ("ready", 600)


def test_the_pace_is_what_the_workers_count(service: Service, keep) -> None:
    now = [1000.0]
    workers = service.store.workers
    workers._clock = lambda: now[0]
    workers.beat("w", os.getpid(), tokens=50)
    first = service.worker_status()
    assert (first.alive, first.tokens_per_second, first.seconds_left) == (True, None, None)
    now[0] += 3
    workers.beat("w", os.getpid(), tokens=650)
    assert service.worker_status().tokens_per_second == 200.0
    assert service.worker_status().seconds_left == 0.0
    service.add_documents([keep("lease.md", LEASE)], "c")
    assert service.worker_status().seconds_left is None  # nobody knows yet what such files hold
    drain(service)
    service.add_documents([keep("dose.md", DOSE)], "c")
    left = service.store.jobs.backlog().tokens
    assert left
    assert service.worker_status().seconds_left == left / 200.0
