"""Which worker processes are alive, by their own word and by what this machine knows of them."""

import time
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from storage import processes
from storage.database import Database
from storage.records import WorkerRow
from storage.schema import Job, Worker

_FORGOTTEN_SECONDS = 86_400.0


class Workers:
    """The table of workers."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def beat(self, worker_id: str, pid: int, *, parent: int | None = None, tokens: int = 0) -> None:
        """Say that a worker lives, who started it, and how many tokens it has done so far."""
        now = self._clock()
        statement = insert(Worker).values(
            id=worker_id,
            pid=pid,
            started_at=now,
            heartbeat=now,
            machine=processes.this_machine(),
            born=processes.born(pid),
            parent=parent,
            parent_born=None if parent is None else processes.born(parent),
            tokens=tokens,
        )
        changed = {"pid": pid, "heartbeat": now, "tokens": tokens}
        with self._database.write() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changed))
            connection.execute(sa.delete(Worker).where(Worker.heartbeat < now - _FORGOTTEN_SECONDS))

    def gone(self, worker_id: str) -> None:
        """Say that a worker ended in order. A job that it still holds may be taken over at once."""
        with self._database.write() as connection:
            connection.execute(sa.delete(Worker).where(Worker.id == worker_id))
            held = (Job.owner == worker_id, Job.status == "running")
            connection.execute(sa.update(Job).where(*held).values(lease_until=0.0))

    def alive(self, within_seconds: float = 15.0) -> list[WorkerRow]:
        """Workers heard of within that time and not known to be dead, the oldest first."""
        since = self._clock() - within_seconds
        query = sa.select(Worker).where(Worker.heartbeat >= since).order_by(Worker.started_at, Worker.id)
        with self._database.read() as connection:
            rows = [worker_row(row) for row in connection.execute(query)]
        return [row for row in rows if not is_dead(row)]


def worker_row(row: sa.Row[Worker]) -> WorkerRow:
    return WorkerRow(**row._mapping)


def is_dead(worker: WorkerRow) -> bool:
    """Whether the worker's process has certainly ended."""
    return processes.dead(worker.machine, worker.pid, worker.born)


def lost_its_app(worker: WorkerRow) -> bool:
    """Whether the process that started the worker has certainly ended too."""
    return processes.dead(worker.machine, worker.parent, worker.parent_born)
