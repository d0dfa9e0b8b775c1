"""Which worker processes are alive, by their own word."""

import time
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from storage.database import Database
from storage.records import WorkerRow
from storage.schema import Worker


class Workers:
    """The table of workers."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def beat(self, worker_id: str, pid: int) -> None:
        """Say that a worker lives."""
        now = self._clock()
        statement = insert(Worker).values(id=worker_id, pid=pid, started_at=now, heartbeat=now)
        with self._database.write() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["id"], set_={"pid": pid, "heartbeat": now})
            )

    def gone(self, worker_id: str) -> None:
        """Say that a worker ended in order."""
        with self._database.write() as connection:
            connection.execute(sa.delete(Worker).where(Worker.id == worker_id))

    def alive(self, within_seconds: float = 15.0) -> list[WorkerRow]:
        """Workers heard of within that time, the oldest first."""
        since = self._clock() - within_seconds
        query = sa.select(Worker).where(Worker.heartbeat >= since).order_by(Worker.started_at, Worker.id)
        with self._database.read() as connection:
            return [WorkerRow(**row._mapping) for row in connection.execute(query)]
