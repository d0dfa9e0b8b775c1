import os
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from storage import processes
from storage.errors import DocumentNotFound, JobLost, JobNotFound
from storage.grants import LOCAL
from storage.jobs import Jobs
from storage.leases import DIED
from storage.order import SECONDS_PER_SIZE
from storage.records import Backlog, NewReference, PageRow
from storage.schema import Document, Job, Worker
from storage.store import Store
from storage.workers import Workers


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(store: Store, clock: Clock) -> Jobs:
    return Jobs(store._database, LOCAL, clock)


def add(store: Store, tmp_path: Path, name: str, collection: str = "law") -> tuple[str, int]:
    path = tmp_path / name
    path.write_text(name)
    document, _ = store.documents.add(path, collection)
    assert document.job is not None
    return document.id, document.job.id


def test_a_job_goes_through_the_queue(store: Store, jobs: Jobs, tmp_path: Path) -> None:
    document_id, job_id = add(store, tmp_path, "a")
    job = jobs.claim("w1")
    assert job is not None
    assert (job.id, job.status, job.owner, job.attempts, job.lease_until) == (
        job_id,
        "running",
        "w1",
        1,
        1060.0,
    )
    assert jobs.claim("w2") is None
    assert not jobs.progress(job_id, "reading", 3, 40, owner="w1")
    shown = store.documents.get(document_id).job
    assert shown is not None
    assert (shown.stage, shown.done, shown.total) == ("reading", 3, 40)
    assert jobs.finish(job_id, "done", owner="w1")
    assert jobs.get(job_id).status == "done"
    assert store.documents.get(document_id).job is None


def test_kinds_and_priorities(store: Store, jobs: Jobs, tmp_path: Path) -> None:
    document_id, _ = add(store, tmp_path, "a")
    first = jobs.enqueue("memories", document_id, collection="law")
    assert jobs.enqueue("memories", document_id).id == first.id
    assert (jobs.waiting(), jobs.waiting("memories")) == (2, 1)
    taken = jobs.claim("w")
    assert taken is not None
    assert taken.kind == "ingest"
    assert jobs.claim("w", ["ingest"]) is None
    other = jobs.claim("w", ["memories"])
    assert other is not None
    assert other.id == first.id
    with pytest.raises(DocumentNotFound):
        jobs.enqueue("memories", "gone")


def test_collections_take_turns(store: Store, jobs: Jobs, clock: Clock, tmp_path: Path) -> None:
    store.collections.add("small", "general")
    big = [add(store, tmp_path, f"big {n}")[1] for n in range(3)]
    small = [add(store, tmp_path, f"small {n}", "small")[1] for n in range(2)]
    order = []
    for _ in range(5):
        clock.now += 1
        job = jobs.claim("w")
        assert job is not None
        order.append(job.id)
    assert order == [big[0], small[0], big[1], small[1], big[2]]


def test_a_lost_job_is_taken_over_and_its_first_worker_told(
    store: Store, jobs: Jobs, clock: Clock, tmp_path: Path
) -> None:
    _, job_id = add(store, tmp_path, "a")
    jobs.claim("w1", lease_seconds=10)
    clock.now += 9
    jobs.progress(job_id, "reading", 1, 2, 10, owner="w1")
    clock.now += 9
    assert jobs.claim("w2") is None
    clock.now += 2
    job = jobs.claim("w2")
    assert job is not None
    assert (job.id, job.owner, job.attempts) == (job_id, "w2", 2)
    with pytest.raises(JobLost, match=str(job_id)):
        jobs.progress(job_id, "reading", 2, 2, owner="w1")
    with pytest.raises(JobLost):
        jobs.finish(job_id, "done", owner="w1")


def test_a_document_that_kills_its_worker_three_times_fails(
    store: Store, jobs: Jobs, clock: Clock, tmp_path: Path
) -> None:
    document_id, job_id = add(store, tmp_path, "a")
    for _ in range(3):
        assert jobs.claim("w", lease_seconds=1) is not None
        clock.now += 2
    assert jobs.claim("w") is None
    assert (jobs.get(job_id).status, jobs.get(job_id).error) == ("failed", DIED)
    document = store.documents.get(document_id)
    assert (document.status, document.error) == ("failed", DIED)
    assert jobs.retry(job_id).attempts == 0
    assert store.documents.get(document_id).status == "queued"
    assert jobs.claim("w") is not None


def test_a_job_given_back_costs_no_attempt(store: Store, jobs: Jobs, tmp_path: Path) -> None:
    _, job_id = add(store, tmp_path, "a")
    for _ in range(4):
        assert jobs.claim("w") is not None
        assert jobs.requeue(job_id)
    assert not jobs.requeue(job_id)
    assert (jobs.get(job_id).status, jobs.get(job_id).attempts) == ("queued", 0)


def test_cancelling(store: Store, jobs: Jobs, clock: Clock, tmp_path: Path) -> None:
    document_id, waiting = add(store, tmp_path, "a")
    assert jobs.cancel(waiting).status == "cancelled"
    assert store.documents.get(document_id).status == "cancelled"
    _, running = add(store, tmp_path, "b")
    jobs.claim("w")
    assert jobs.cancel(running).status == "running"
    assert jobs.progress(running, "reading", 1, 2)
    jobs.finish(running, "cancelled")
    assert jobs.cancel(running).status == "cancelled"
    _, dead = add(store, tmp_path, "c")
    jobs.claim("w", lease_seconds=1)
    jobs.cancel(dead)
    clock.now += 2
    assert jobs.claim("w") is None
    assert jobs.get(dead).status == "cancelled"
    with pytest.raises(JobNotFound):
        jobs.cancel(99)


def test_the_job_of_a_deleted_document_says_stop(store: Store, jobs: Jobs, tmp_path: Path) -> None:
    document_id, job_id = add(store, tmp_path, "a")
    jobs.claim("w")
    store.documents.delete(document_id)
    assert jobs.progress(job_id, "reading", 1, 2, owner="w")
    assert not jobs.finish(job_id, "done", owner="w")


def test_retry_leaves_a_second_job_alone(store: Store, jobs: Jobs, tmp_path: Path) -> None:
    document_id, first = add(store, tmp_path, "a")
    jobs.cancel(first)
    second = jobs.enqueue("ingest", document_id)
    assert jobs.retry(first).id == second.id
    assert [job.id for job in jobs.list(status="queued")] == [second.id]
    assert [job.id for job in jobs.list(limit=1)] == [second.id]


def test_workers_live_as_long_as_they_say(store: Store, clock: Clock) -> None:
    workers = Workers(store._database, clock)
    workers.beat("w1", 11)
    clock.now += 10
    workers.beat("w2", 12)
    assert [worker.pid for worker in workers.alive(15)] == [11, 12]
    clock.now += 10
    assert [worker.id for worker in workers.alive(15)] == ["w2"]
    workers.beat("w1", 11)
    assert [worker.started_at for worker in workers.alive(15)] == [1000.0, 1010.0]
    workers.gone("w1")
    assert [worker.id for worker in workers.alive(15)] == ["w2"]


def ended() -> "tuple[int, float | None]":
    """The number of a process that has ended, and when it was born."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        birth = processes.born(process.pid)
        process.kill()
    return process.pid, birth


def as_if_dead(store: Store, worker_id: str, *, app_too: bool = False) -> None:
    """The worker's row names processes that have ended."""
    pid, birth = ended()
    values = {"pid": pid, "born": birth} | ({"parent": pid, "parent_born": birth} if app_too else {})
    with store._database.write() as connection:
        connection.execute(sa.update(Worker).where(Worker.id == worker_id).values(**values))


def test_a_dead_workers_job_is_taken_over_at_once(store: Store, jobs: Jobs, tmp_path: Path) -> None:
    _, job_id = add(store, tmp_path, "a")
    workers = Workers(store._database)
    workers.beat("w1", os.getpid(), parent=os.getppid())
    assert jobs.claim("w1") is not None
    jobs.progress(job_id, "reading", 3, 40, owner="w1")
    assert jobs.claim("w2") is None
    as_if_dead(store, "w1")
    assert workers.alive() == []
    job = jobs.claim("w2")
    assert job is not None
    assert (job.id, job.owner, job.attempts) == (job_id, "w2", 2)
    assert [reason.message for reason in job.reasons] == ["the worker died (reading, 3 of 40)"]


def test_a_worker_that_died_with_its_app_does_not_count(store: Store, jobs: Jobs, tmp_path: Path) -> None:
    _, job_id = add(store, tmp_path, "a")
    for n in range(5):
        Workers(store._database).beat(f"w{n}", os.getpid(), parent=os.getppid())
        assert jobs.claim(f"w{n}") is not None
        as_if_dead(store, f"w{n}", app_too=True)
    job = jobs.claim("last")
    assert job is not None
    assert (job.id, job.attempts, len(job.reasons)) == (job_id, 1, 5)
    assert job.reasons[0].message == "the worker died (waiting), and the app with it"


def test_what_is_not_known_to_be_dead_counts_as_alive(store: Store, jobs: Jobs, tmp_path: Path) -> None:
    add(store, tmp_path, "a")
    Workers(store._database).beat("w1", os.getpid())
    assert jobs.claim("w1") is not None
    as_if_dead(store, "w1")
    with store._database.write() as connection:
        connection.execute(sa.update(Worker).values(machine="another"))
    assert jobs.claim("w2") is None


def test_a_worker_that_ended_in_order_leaves_no_lease(store: Store, jobs: Jobs, tmp_path: Path) -> None:
    _, job_id = add(store, tmp_path, "a")
    assert jobs.claim("w1") is not None
    Workers(store._database).gone("w1")
    job = jobs.claim("w2")
    assert job is not None
    assert job.id == job_id


def test_attempts_are_counted_since_something_was_kept(
    store: Store, jobs: Jobs, clock: Clock, tmp_path: Path
) -> None:
    _, job_id = add(store, tmp_path, "a")
    for n in range(6):
        assert jobs.claim("w", lease_seconds=1) is not None
        jobs.progress(job_id, "reading", n, 9, 1, owner="w", kept=True)
        clock.now += 2
    job = jobs.claim("w")
    assert job is not None
    assert (job.attempts, len(job.reasons)) == (2, 6)


def test_a_failed_attempt_is_given_back_with_its_reason_twice(
    store: Store, jobs: Jobs, tmp_path: Path
) -> None:
    document_id, job_id = add(store, tmp_path, "a")
    for n in range(2):
        assert jobs.claim("w") is not None
        assert jobs.requeue(job_id, owner="w", reason=f"try {n}", failed=True)
    assert jobs.claim("w") is not None
    assert not jobs.requeue(job_id, owner="w", reason="try 2", failed=True)
    jobs.finish(job_id, "failed", "try 2", owner="w")
    assert [reason.message for reason in jobs.get(job_id).reasons] == ["try 0", "try 1", "try 2"]
    assert store.documents.get(document_id).status == "failed"


def test_only_its_owner_gives_a_job_back(store: Store, jobs: Jobs, tmp_path: Path) -> None:
    _, job_id = add(store, tmp_path, "a")
    jobs.claim("w1")
    with pytest.raises(JobLost):
        jobs.requeue(job_id, owner="w2")
    assert (jobs.get(job_id).status, jobs.get(job_id).owner) == ("running", "w1")
    assert not jobs.renew(job_id, "w2")
    assert jobs.renew(job_id, "w1")
    jobs.cancel(job_id)
    assert not jobs.renew(job_id, "w1")
    assert jobs.requeue(job_id, owner="w1")
    assert jobs.get(job_id).status == "cancelled"


def sized(store: Store, tmp_path: Path, name: str, megabytes: float, created_at: float) -> int:
    document_id, job_id = add(store, tmp_path, name)
    with store._database.write() as connection:
        size = sa.update(Document).where(Document.id == document_id)
        connection.execute(size.values(bytes=int(megabytes * 2**20)))
        connection.execute(sa.update(Job).where(Job.id == job_id).values(created_at=created_at))
    return job_id


def test_small_documents_pass_big_ones_which_age(store: Store, jobs: Jobs, tmp_path: Path) -> None:
    big = sized(store, tmp_path, "big", 40, 0.0)
    first, second = (sized(store, tmp_path, f"small {n}", 0.1, 100.0) for n in range(2))
    late = sized(store, tmp_path, "late", 0.1, 160 * SECONDS_PER_SIZE + 1)
    order = [job.id for _ in range(4) if (job := jobs.claim("w")) is not None]
    assert order == [first, second, big, late]


def test_a_big_document_gives_way_to_much_smaller_ones_only(store: Store, jobs: Jobs, tmp_path: Path) -> None:
    sized(store, tmp_path, "big", 40, 0.0)
    job = jobs.claim("w")
    assert job is not None
    assert not jobs.should_give_way(job)
    sized(store, tmp_path, "half", 20, 1.0)
    sized(store, tmp_path, "late", 0.1, 160 * SECONDS_PER_SIZE + 1)
    assert not jobs.should_give_way(job)
    sized(store, tmp_path, "small", 0.1, 1.0)
    assert jobs.should_give_way(job)


def test_the_backlog_is_what_is_known_and_what_other_files_let_expect(
    store: Store, jobs: Jobs, tmp_path: Path
) -> None:
    assert jobs.backlog() == Backlog(0, 0.0)
    document_id, job_id = add(store, tmp_path, "a")
    assert jobs.backlog() == Backlog(1, None)
    tokens = np.arange(10, dtype=np.uint32)
    reference = NewReference(1, 0, 1, (), tokens, 10, np.empty((0, 2)), np.ones(4, np.float32))
    store.documents.add_pages(document_id, [PageRow(1, "1", "a")])
    store.references.replace(document_id, [reference] * 3, "e")
    store.documents.set_status(document_id, "answerable")
    jobs.claim("w")
    jobs.finish(job_id, "done")
    jobs.enqueue("memories", document_id)
    assert jobs.backlog() == Backlog(1, 30.0)
    add(store, tmp_path, "b")  # one byte too: three references, embedded and written
    assert jobs.backlog() == Backlog(2, 90.0)


def claim_all(home: Path, worker: str, found: Path) -> None:
    with Store.open(home) as store:
        while (job := store.jobs.claim(worker)) is not None:
            with found.open("a") as file:
                file.write(f"{job.id}\n")
            store.jobs.finish(job.id, "done", owner=worker)


def test_two_processes_never_claim_the_same_job(store: Store, home: Path, tmp_path: Path) -> None:
    expected = [add(store, tmp_path, f"{n}")[1] for n in range(40)]
    spawn = get_context("spawn")
    lists = [tmp_path / "first.claimed", tmp_path / "second.claimed"]
    processes = [spawn.Process(target=claim_all, args=(home, path.stem, path)) for path in lists]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    claimed = [int(line) for path in lists if path.exists() for line in path.read_text().split()]
    assert sorted(claimed) == expected
