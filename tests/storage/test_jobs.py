from multiprocessing import get_context
from pathlib import Path

import pytest

from storage.errors import DocumentNotFound, JobLost, JobNotFound
from storage.jobs import DIED, Jobs
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
    return Jobs(store._database, clock)


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
