"""The queue: which worker does what, how far it is, and what happens when a worker dies.

A worker claims a job for a lease and renews it by reporting progress; when the lease runs out, another
worker may take the job over. Order: priority, then the collection that was served longest ago (so that a
thousand files in one do not starve another), then first come first served. Several processes may claim at
once: SQLite's write lock decides.
"""

import time
from builtins import list as List  # `list` is a method here
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import sqlalchemy as sa

from storage.codec import clean
from storage.collections import collection_id_of
from storage.database import Database
from storage.errors import DocumentNotFound, JobLost, JobNotFound
from storage.records import SEARCHABLE, JobKind, JobRow, JobStatus, Stage
from storage.schema import Document, Job

MAX_ATTEMPTS = 3
DIED = "the worker died three times on this document; retry it, or remove it if it happens again"
_IDLE: dict[str, Any] = {"owner": None, "lease_until": None}


class Jobs:
    """The table of jobs."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def enqueue(
        self,
        kind: JobKind,
        document_id: str,
        *,
        collection: str | None = None,
        path: str = "",
        priority: int = 0,
        memories: bool = True,
    ) -> JobRow:
        """Queue work on a document; the larger priority goes first.

        A queued or running job of the same kind on it is returned instead of a second one. Raises
        DocumentNotFound, CollectionNotFound.
        """
        with self._database.write() as connection:
            collection_id = None if collection is None else collection_id_of(connection, collection)
            return enqueue(
                connection,
                kind,
                document_id,
                collection_id,
                path=path,
                priority=priority,
                memories=memories,
                now=self._clock(),
            )

    def claim(
        self,
        worker_id: str,
        kinds: Sequence[JobKind] = get_args(JobKind),
        lease_seconds: float = 60.0,
    ) -> JobRow | None:
        """The next job, now running and ours for `lease_seconds`; None if there is nothing to do.

        Running jobs whose lease ran out are taken over, or failed after `MAX_ATTEMPTS` attempts.
        """
        now = self._clock()
        with self._database.write() as connection:
            _bury(connection, now)
            job_id = connection.execute(_next_job(kinds, now)).scalar()
            if job_id is None:
                return None
            return _update(
                connection,
                job_id,
                status="running",
                owner=worker_id,
                lease_until=now + lease_seconds,
                attempts=Job.attempts + 1,
                started_at=now,
            )

    def progress(
        self,
        job_id: int,
        stage: Stage,
        done: int,
        total: int,
        lease_seconds: float = 60.0,
        *,
        owner: str | None = None,
    ) -> bool:
        """Report how far a running job is and renew its lease.

        Returns True if the work should stop: cancelling was asked for, the job has ended, or its document
        is deleted. Raises JobLost if `owner` is given and the job is not running for it any more.
        """
        with self._database.write() as connection:
            job = _find(connection, job_id)
            if job is None:
                return True
            _check_owner(job, owner)
            if job.status != "running":
                return True
            _update(
                connection,
                job_id,
                stage=stage,
                done=done,
                total=total,
                lease_until=self._clock() + lease_seconds,
            )
            return job.cancel_requested

    def finish(
        self,
        job_id: int,
        status: Literal["done", "failed", "cancelled"],
        error: str | None = None,
        *,
        owner: str | None = None,
    ) -> bool:
        """End a job; the document's status is the worker's to set. Returns False if the job is gone.

        Raises JobLost as `progress` does.
        """
        with self._database.write() as connection:
            job = _find(connection, job_id)
            if job is None:
                return False
            _check_owner(job, owner)
            _end(connection, job_id, status, error, self._clock())
        return True

    def requeue(self, job_id: int) -> bool:
        """Give a running job back, not counted as an attempt (the worker was told to stop).

        False if it is not running.
        """
        with self._database.write() as connection:
            job = _find(connection, job_id)
            if job is None or job.status != "running":
                return False
            _update(connection, job_id, status="queued", attempts=max(0, job.attempts - 1), **_IDLE)
        return True

    def cancel(self, job_id: int) -> JobRow:
        """Cancel a queued job at once (its document too, if it was never read); ask a running one to stop.

        A job that has ended stays as it is. Raises JobNotFound.
        """
        with self._database.write() as connection:
            job = _get(connection, job_id)
            if job.status == "running":
                return _update(connection, job_id, cancel_requested=True)
            if job.status == "queued":
                _end(connection, job_id, "cancelled", None, self._clock())
                _mark_document(connection, job, "cancelled", None, self._clock())
            return _get(connection, job_id)

    def retry(self, job_id: int) -> JobRow:
        """Queue a failed or cancelled job again, with all its attempts; others stay as they are.

        If the document has another active job of that kind, that one is returned. Raises JobNotFound.
        """
        with self._database.write() as connection:
            job = _get(connection, job_id)
            if job.status not in ("failed", "cancelled"):
                return job
            other = active(connection, job.kind, job.document_id)
            if other is not None:
                return other
            if job.kind == "ingest":
                restart_document(connection, job.document_id)
            return _update(
                connection,
                job_id,
                status="queued",
                stage="waiting",
                done=0,
                total=0,
                error=None,
                attempts=0,
                cancel_requested=False,
                started_at=None,
                finished_at=None,
                **_IDLE,
            )

    def get(self, job_id: int) -> JobRow:
        """Raises JobNotFound."""
        with self._database.read() as connection:
            return _get(connection, job_id)

    def list(self, *, limit: int = 100, status: JobStatus | None = None) -> List[JobRow]:
        """The newest jobs first."""
        query = sa.select(Job).order_by(Job.id.desc()).limit(limit)
        if status is not None:
            query = query.where(Job.status == status)
        with self._database.read() as connection:
            return [job_row(row) for row in connection.execute(query)]

    def waiting(self, kind: JobKind | None = None) -> int:
        """How many jobs are queued."""
        query = sa.select(sa.func.count()).select_from(Job).where(Job.status == "queued")
        if kind is not None:
            query = query.where(Job.kind == kind)
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()


def enqueue(
    connection: sa.Connection,
    kind: JobKind,
    document_id: str,
    collection_id: int | None,
    *,
    path: str,
    priority: int,
    memories: bool,
    now: float,
) -> JobRow:
    """`Jobs.enqueue` inside a transaction of the caller's."""
    known = connection.execute(sa.select(Document.id).where(Document.id == document_id)).scalar()
    if known is None:
        raise DocumentNotFound(f"there is no document {document_id}; see `attest documents list`")
    already = active(connection, kind, document_id)
    if already is not None:
        return already
    row = connection.execute(
        sa.insert(Job)
        .values(
            kind=kind,
            document_id=document_id,
            collection_id=collection_id,
            path=clean(path),
            status="queued",
            stage="waiting",
            done=0,
            total=0,
            attempts=0,
            memories=memories,
            priority=priority,
            cancel_requested=False,
            created_at=now,
        )
        .returning(Job)
    ).one()
    return job_row(row)


def active(connection: sa.Connection, kind: JobKind, document_id: str) -> JobRow | None:
    """The queued or running job of that kind on a document."""
    row = connection.execute(
        sa.select(Job)
        .where(Job.document_id == document_id, Job.kind == kind, Job.status.in_(("queued", "running")))
        .order_by(Job.id)
        .limit(1)
    ).first()
    return None if row is None else job_row(row)


def restart_document(
    connection: sa.Connection, document_id: str, *conditions: sa.ColumnElement[bool]
) -> bool:
    """A failed or cancelled document that meets the conditions waits again, as if it were new."""
    restarted = connection.execute(
        sa.update(Document)
        .where(Document.id == document_id, Document.status.in_(("failed", "cancelled")), *conditions)
        .values(status="queued", error=None, warnings=[], finished_at=None, unreadable_by=None)
    )
    return bool(restarted.rowcount)


def job_row(row: Any) -> JobRow:
    return JobRow(**row._mapping)


def _next_job(kinds: Sequence[JobKind], now: float) -> sa.Select[int]:
    served = (
        sa.select(Job.collection_id, sa.func.max(Job.started_at).label("at"))
        .where(Job.started_at.is_not(None))
        .group_by(Job.collection_id)
        .subquery()
    )
    lost = sa.and_(Job.status == "running", Job.lease_until < now)
    return (
        sa.select(Job.id)
        .outerjoin(served, served.c.collection_id.is_not_distinct_from(Job.collection_id))
        .where(Job.kind.in_(kinds), sa.or_(Job.status == "queued", lost))
        .order_by(Job.priority.desc(), sa.func.coalesce(served.c.at, 0), Job.id)
        .limit(1)
    )


def _bury(connection: sa.Connection, now: float) -> None:
    """End running jobs whose worker died and that nobody should take over."""
    lost = connection.execute(
        sa.select(Job).where(
            Job.status == "running",
            Job.lease_until < now,
            sa.or_(Job.cancel_requested, Job.attempts >= MAX_ATTEMPTS),
        )
    )
    for job in [job_row(row) for row in lost]:
        status, error = ("cancelled", None) if job.cancel_requested else ("failed", DIED)
        _end(connection, job.id, status, error, now)
        _mark_document(connection, job, status, error, now)


def _mark_document(
    connection: sa.Connection, job: JobRow, status: str, error: str | None, now: float
) -> None:
    """Say on the document how its ingest ended. One that can be answered from already is partial then."""
    if job.kind != "ingest":
        return
    searchable = Document.status.in_(SEARCHABLE)
    connection.execute(
        sa.update(Document)
        .where(Document.id == job.document_id, Document.status != "ready")
        .values(status=sa.case((searchable, "partial"), else_=status), error=error, finished_at=now)
    )


def _end(connection: sa.Connection, job_id: int, status: str, error: str | None, now: float) -> None:
    message = None if error is None else clean(error)
    _update(connection, job_id, status=status, error=message, finished_at=now, **_IDLE)


def _update(connection: sa.Connection, job_id: int, **values: Any) -> JobRow:
    return job_row(
        connection.execute(sa.update(Job).where(Job.id == job_id).values(**values).returning(Job)).one()
    )


def _find(connection: sa.Connection, job_id: int) -> JobRow | None:
    row = connection.execute(sa.select(Job).where(Job.id == job_id)).one_or_none()
    return None if row is None else job_row(row)


def _get(connection: sa.Connection, job_id: int) -> JobRow:
    job = _find(connection, job_id)
    if job is None:
        raise JobNotFound(f"there is no job {job_id}; see `attest jobs list`")
    return job


def _check_owner(job: JobRow, owner: str | None) -> None:
    if owner is not None and (job.status != "running" or job.owner != owner):
        raise JobLost(f"job {job.id} is {job.status} and not this worker's any more; leave it")
