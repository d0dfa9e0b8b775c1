"""The worker as a process: killed, told to stop, left behind by its parent."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from engine.fake import FakeEmbedder, FakeEngine
from ingest import worker
from ingest.pipeline import Pipeline
from storage.errors import DiskFull
from storage.records import JobRow
from storage.store import Store
from tests.ingest.make_pdf import make_pdf, text_sheet

# the words differ by more than numbers, Roman ones included, or they would be taken for a running head
LETTERS = str.maketrans("0123456789", "abefghjkno")
MANY_PAGES = make_pdf(
    *(text_sheet(f"Page {n} is about item {f'{n:03}'.translate(LETTERS)}.") for n in range(600))
)


@pytest.fixture
def start(store: Store) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "ingest.worker",
            "--home",
            str(store.home),
            "--model",
            "fake",
            *arguments,
        ]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def until(happened: Callable[[], object], seconds: float = 60.0) -> None:
    limit = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def reading(store: Store) -> bool:
    return any(job.stage == "reading" for job in store.jobs.list())


def test_killed_while_it_reads_the_next_one_finishes(store: Store, start, keep) -> None:
    document_id = store.documents.add(keep("many.pdf", MANY_PAGES), "law")[0].id
    first = start()
    until(lambda: reading(store))
    first.send_signal(signal.SIGKILL)
    first.wait()
    (job,) = store.jobs.list()
    assert (job.status, job.attempts) == ("running", 1)
    second = start("--until-idle")
    assert second.wait(120) == 0
    (reason,) = store.jobs.get(job.id).reasons
    assert reason.message.startswith("the worker died (")  # its lease was not waited for
    document = store.documents.get(document_id)
    assert (document.status, document.page_count, document.memory_count) == ("ready", 600, 600)
    texts = [row.text for row in store.references.get(store.references.of_document(document_id))]
    assert [int(re.findall(r"\d+", text)[0]) for text in texts] == list(range(600))
    assert jobs_done(store)


def jobs_done(store: Store) -> bool:
    return {job.status for job in store.jobs.list()} == {"done"}


def test_sigterm_gives_the_job_back_at_once(store: Store, start, keep) -> None:
    store.documents.add(keep("many.pdf", MANY_PAGES), "law")
    process = start()
    until(lambda: reading(store))
    asked = time.monotonic()
    process.terminate()
    assert process.wait(30) == 0
    assert time.monotonic() - asked < 5
    (job,) = store.jobs.list()
    assert (job.status, job.owner, job.attempts) == ("queued", None, 0)
    assert not store.workers.alive()
    said = process.stderr.read()
    assert "given back" in said
    assert "Traceback" not in said
    assert "many.pdf" not in said  # ids and sizes only


def test_it_stops_when_its_parent_is_gone(store: Store) -> None:
    parent = (
        "import os, subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-m', 'ingest.worker', '--home', sys.argv[1], '--model', 'fake',"
        " '--parent', str(os.getpid())], stderr=subprocess.DEVNULL)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent, str(store.home)]) as process:
        until(store.workers.alive)
        orphan = store.workers.alive()[0].pid
        process.kill()
    until(lambda: not store.workers.alive(), 20)
    until(
        lambda: not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE, 20
    )


def test_it_stops_when_its_parent_went_before_it_was_ready(store: Store) -> None:
    stop = threading.Event()
    worker.beat(store, "w", stop, parent=os.getpid())  # which is not this process's parent
    assert stop.is_set()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "/no/such/model"], "/no/such/model"),
        (["--model", "fake", "--home", __file__], "home folder"),
    ],
)
def test_what_keeps_it_from_starting_is_a_message(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    monkeypatch.setattr(worker.os, "nice", lambda _: None)
    assert worker.main(["--home", str(store.home), *arguments]) == 1
    assert message in caplog.text
    assert not store.workers.alive()


def test_work_until_idle(store: Store, keep) -> None:
    stop = threading.Event()
    line = Pipeline(store, FakeEngine(), FakeEmbedder(), "w", stop)
    document_id = store.documents.add(keep("a.txt", "Some words."), "law")[0].id
    worker.work(store, line, "w", stop, until_idle=True)
    assert store.documents.get(document_id).status == "ready"
    stop.set()
    store.documents.add(keep("b.txt", "Other words."), "law")
    worker.work(store, line, "w", stop)
    assert store.jobs.waiting() == 1


class FullDisk:
    """A pipeline whose disk is full for the first `times` calls, and a store that cannot note it then."""

    def __init__(self, store: Store, times: int) -> None:
        self.inner, self.times = Pipeline(store, FakeEngine(), FakeEmbedder(), "w"), times

    def run(self, job: JobRow) -> None:
        if self.times:
            self.times -= 1
            raise DiskFull("no space left on the disk of the store; free some and try again")
        self.inner.run(job)


def test_a_full_disk_gives_jobs_back_and_is_tried_again(
    store: Store, keep, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "FULL_SECONDS", 0.01)
    document = store.documents.add(keep("a.md", "# Notice\n\nNinety days notice."), "law")[0]
    requeue, refused = store.jobs.requeue, [1, 1]

    def full(*arguments: Any, **options: Any) -> bool:
        if refused:
            refused.pop()
            raise DiskFull("no space left")
        return requeue(*arguments, **options)

    monkeypatch.setattr(store.jobs, "requeue", full)
    worker.work(store, FullDisk(store, 5), "w", threading.Event(), until_idle=True)  # type: ignore[arg-type]
    assert store.documents.get(document.id).status == "ready"
    done = next(job for job in store.jobs.list() if job.kind == "ingest")
    assert (done.status, done.attempts) == ("done", 1)
    assert {reason.message for reason in done.reasons} == {
        "no space left on the disk of the store; free some and try again"
    }
    assert "trying again" in caplog.text


def test_a_worker_that_waits_for_room_can_be_stopped(store: Store, keep) -> None:
    store.documents.add(keep("a.md", "# Notice\n\nNinety days notice."), "law")
    stop = threading.Event()
    thread = threading.Thread(target=worker.work, args=(store, FullDisk(store, 9), "w", stop))
    thread.start()
    until(lambda: any(job.status == "running" for job in store.jobs.list()))
    stop.set()
    thread.join(60)
    assert [job.status for job in store.jobs.list()] == ["queued"]
