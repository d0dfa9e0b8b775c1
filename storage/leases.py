"""Whose a job is: owners, leases, workers that died. And the changes to a job's row that all of these share.

Everything here runs inside a transaction of the caller's.
"""

from typing import Any

import sqlalchemy as sa

from storage.codec import clean
from storage.errors import JobLost
from storage.records import SEARCHABLE, JobReason, JobRow
from storage.schema import Document, Job, Worker
from storage.workers import is_dead, lost_its_app, worker_row

MAX_ATTEMPTS = 3
MOST_REASONS = 20
DIED = "the worker died three times on this document; retry it, or remove it if it happens again"
IDLE: dict[str, Any] = {"owner": None, "lease_until": None}


def job_row(row: Any) -> JobRow:
    reasons = tuple(JobReason(at, message) for at, message in row.reasons)
    return JobRow(**{**row._mapping, "reasons": reasons})


def check_runs_for(connection: sa.Connection, job_id: int, owner: str) -> None:
    """Raises JobLost unless the job runs for this worker."""
    job = find(connection, job_id)
    if job is None or not runs_for(job, owner):
        raise JobLost(f"job {job_id} is not this worker's any more; leave it")


def kept(connection: sa.Connection, job_id: int, owner: str) -> None:
    """In a transaction that keeps a piece of the job's work: its attempts are counted from here.

    Raises JobLost, so that nothing is kept by a worker whose job another has.
    """
    check_runs_for(connection, job_id, owner)
    update(connection, job_id, attempts=1)


def take_from_the_dead(connection: sa.Connection, now: float) -> None:
    """Put jobs of lost workers back into the queue, note why, and end those that nobody should take over."""
    workers = {row.id: worker_row(row) for row in connection.execute(sa.select(Worker))}
    for job in [job_row(row) for row in connection.execute(sa.select(Job).where(Job.status == "running"))]:
        worker = workers.get(job.owner or "")
        died = worker is not None and is_dead(worker)
        if not died and (job.lease_until or 0.0) >= now:
            continue
        attempts, message = job.attempts, _how_it_ended(job, died)
        if worker is not None and died and lost_its_app(worker):
            attempts, message = max(0, attempts - 1), f"{message}, and the app with it"
        note(connection, job, message, now)
        update(connection, job.id, status="queued", attempts=attempts, **IDLE)
        if job.cancel_requested or attempts >= MAX_ATTEMPTS:
            status, error = ("cancelled", None) if job.cancel_requested else ("failed", DIED)
            end(connection, job.id, status, error, now)
            mark_document(connection, job, status, error, now)
    for worker in workers.values():
        if is_dead(worker):
            connection.execute(sa.delete(Worker).where(Worker.id == worker.id))


def _how_it_ended(job: JobRow, died: bool) -> str:
    where = f"{job.stage}, {job.done} of {job.total}" if job.total else job.stage
    return f"the worker died ({where})" if died else f"nothing was heard of the worker any more ({where})"


def note(connection: sa.Connection, job: JobRow, reason: str, now: float) -> None:
    """Keep why an attempt came to nothing."""
    known = [[each.at, each.message] for each in job.reasons]
    update(connection, job.id, reasons=[*known, [now, clean(reason)]][-MOST_REASONS:])


def mark_document(
    connection: sa.Connection,
    job: JobRow,
    status: str,
    error: str | None,
    now: float,
    unreadable_by: str | None = None,
) -> None:
    """Say on the document how its ingest ended. One that can be answered from already is partial then."""
    if job.kind != "ingest":
        return
    searchable = Document.status.in_(SEARCHABLE)
    connection.execute(
        sa.update(Document)
        .where(Document.id == job.document_id, Document.status != "ready")
        .values(
            status=sa.case((searchable, "partial"), else_=status),
            error=None if error is None else clean(error),
            finished_at=now,
            unreadable_by=unreadable_by,
        )
    )


def end(connection: sa.Connection, job_id: int, status: str, error: str | None, now: float) -> None:
    message = None if error is None else clean(error)
    update(connection, job_id, status=status, error=message, finished_at=now, **IDLE)


def update(connection: sa.Connection, job_id: int, **values: Any) -> JobRow:
    return job_row(
        connection.execute(sa.update(Job).where(Job.id == job_id).values(**values).returning(Job)).one()
    )


def find(connection: sa.Connection, job_id: int) -> JobRow | None:
    row = connection.execute(sa.select(Job).where(Job.id == job_id)).one_or_none()
    return None if row is None else job_row(row)


def runs_for(job: JobRow, owner: str) -> bool:
    return job.status == "running" and job.owner == owner


def check_owner(job: JobRow, owner: str | None) -> None:
    if owner is not None and not runs_for(job, owner):
        raise JobLost(f"job {job.id} is {job.status} and not this worker's any more; leave it")
