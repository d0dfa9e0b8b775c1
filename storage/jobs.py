"""The queue: which worker does what, how far it is, and what happens when a worker dies.

A worker claims a job for a lease and renews it while it works; when the lease runs out, or its process is
known to be dead, another worker takes the job over. Attempts are counted since something was last kept, so
only a job on which workers die without getting any further fails; a worker that ended together with the app
which had started it does not count against the job. Several processes may claim at once: SQLite's write lock
decides. Which job is next, `storage.order` says. Users see the jobs of collections that were granted.
"""

import time
from builtins import list as List  # `list` is a method here
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import sqlalchemy as sa

from storage import backlog, leases, order
from storage.codec import clean
from storage.collections import collection_id_of
from storage.database import Database
from storage.errors import DocumentNotFound, JobNotFound, NotAllowed
from storage.grants import Role, Viewer
from storage.records import Backlog, JobKind, JobRow, JobStatus, Stage
from storage.schema import Checkpoint, Document, Job


class Jobs:
    """The table of jobs."""

    def __init__(self, database: Database, viewer: Viewer, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._viewer = viewer
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
        self._viewer.must_be_local()
        with self._database.write() as connection:
            collection_id = (
                None if collection is None else collection_id_of(connection, collection, self._viewer)
            )
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

        Running jobs whose lease ran out or whose worker is dead are taken over, or failed after
        `MAX_ATTEMPTS` attempts.
        """
        self._viewer.must_be_local()
        now = self._clock()
        with self._database.write() as connection:
            leases.take_from_the_dead(connection, now)
            job_id = connection.execute(order.next_job(kinds)).scalar()
            if job_id is None:
                return None
            return leases.update(
                connection,
                job_id,
                status="running",
                owner=worker_id,
                lease_until=now + lease_seconds,
                attempts=Job.attempts + 1,
                started_at=now,
            )

    def renew(self, job_id: int, owner: str, lease_seconds: float = 60.0) -> bool:
        """Renew the lease of a running job. Returns False if it is not this owner's, or to be cancelled."""
        self._viewer.must_be_local()
        with self._database.write() as connection:
            renewed = connection.execute(
                sa.update(Job)
                .where(Job.id == job_id, Job.owner == owner, Job.status == "running")
                .values(lease_until=self._clock() + lease_seconds)
            ).rowcount
        return bool(renewed) and self.wanted(job_id, owner)

    def wanted(self, job_id: int, owner: str) -> bool:
        """Whether the owner should go on: the job runs for it and is not to be cancelled. Only reads."""
        self._viewer.must_be_local()
        with self._database.read() as connection:
            job = leases.find(connection, job_id)
        return job is not None and leases.runs_for(job, owner) and not job.cancel_requested

    def should_give_way(self, job: JobRow) -> bool:
        """Whether a job waits that is much smaller than this running one and goes before it."""
        self._viewer.must_be_local()
        with self._database.read() as connection:
            return connection.execute(order.smaller_job(job)).first() is not None

    def progress(
        self,
        job_id: int,
        stage: Stage,
        done: int,
        total: int,
        lease_seconds: float = 60.0,
        *,
        owner: str | None = None,
        kept: bool = False,
    ) -> bool:
        """Report how far a running job is and renew its lease.

        kept: something was stored that the next attempt will not have to do again.
        Returns True if the work should stop: cancelling was asked for, the job has ended, or its document
        is deleted. Raises JobLost if `owner` is given and the job is not running for it any more.
        """
        self._viewer.must_be_local()
        with self._database.write() as connection:
            job = leases.find(connection, job_id)
            if job is None:
                return True
            leases.check_owner(job, owner)
            if job.status != "running":
                return True
            leases.update(
                connection,
                job_id,
                stage=stage,
                done=done,
                total=total,
                lease_until=self._clock() + lease_seconds,
                attempts=1 if kept else job.attempts,
            )
            return job.cancel_requested

    def finish(
        self,
        job_id: int,
        status: Literal["done", "failed", "cancelled"],
        error: str | None = None,
        *,
        owner: str | None = None,
        unreadable_by: str | None = None,
    ) -> bool:
        """End a job. An ingest that failed or was cancelled is its document's end too.

        unreadable_by: as in `DocumentRow`. Returns False if the job is gone. Raises JobLost as `progress`
        does.
        """
        self._viewer.must_be_local()
        now = self._clock()
        with self._database.write() as connection:
            job = leases.find(connection, job_id)
            if job is None:
                return False
            leases.check_owner(job, owner)
            if error is not None:
                leases.note(connection, job, error, now)
            leases.end(connection, job_id, status, error, now)
            if status != "done":
                leases.mark_document(connection, job, status, error, now, unreadable_by)
            elif job.kind == "ingest":
                connection.execute(sa.delete(Checkpoint).where(Checkpoint.document_id == job.document_id))
        return True

    def requeue(
        self, job_id: int, *, owner: str | None = None, reason: str | None = None, failed: bool = False
    ) -> bool:
        """Give a running job back. reason: why, if something went wrong. failed: the attempt counts.

        False if it does not run any more, or if it failed `MAX_ATTEMPTS` times, which is the caller's to
        end. Raises JobLost as `progress` does.
        """
        self._viewer.must_be_local()
        with self._database.write() as connection:
            job = leases.find(connection, job_id)
            if job is None:
                return False
            leases.check_owner(job, owner)
            if job.status != "running" or (failed and job.attempts >= leases.MAX_ATTEMPTS):
                return False
            if reason is not None:
                leases.note(connection, job, reason, self._clock())
            attempts = job.attempts if failed else max(0, job.attempts - 1)
            if job.cancel_requested:
                leases.end(connection, job_id, "cancelled", None, self._clock())
                leases.mark_document(connection, job, "cancelled", None, self._clock())
            else:
                leases.update(connection, job_id, status="queued", attempts=attempts, **leases.IDLE)
        return True

    def cancel(self, job_id: int) -> JobRow:
        """Cancel a queued job at once (its document too, if it was never read); ask a running one to stop.

        A job that has ended stays as it is. Raises JobNotFound, NotAllowed.
        """
        with self._database.write() as connection:
            job = _get(connection, job_id, self._viewer, "editor")
            if job.status == "running":
                return leases.update(connection, job_id, cancel_requested=True)
            if job.status == "queued":
                leases.end(connection, job_id, "cancelled", None, self._clock())
                leases.mark_document(connection, job, "cancelled", None, self._clock())
            return _get(connection, job_id, self._viewer)

    def retry(self, job_id: int) -> JobRow:
        """Queue a failed or cancelled job again, with all its attempts; others stay as they are.

        If the document has another active job of that kind, that one is returned. Raises JobNotFound,
        NotAllowed.
        """
        with self._database.write() as connection:
            job = _get(connection, job_id, self._viewer, "editor")
            if job.status not in ("failed", "cancelled"):
                return job
            other = active(connection, job.kind, job.document_id)
            if other is not None:
                return other
            if job.kind == "ingest":
                restart_document(connection, job.document_id)
            return leases.update(
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
                **leases.IDLE,
            )

    def get(self, job_id: int) -> JobRow:
        """Raises JobNotFound."""
        with self._database.read() as connection:
            return _get(connection, job_id, self._viewer)

    def list(self, *, limit: int = 100, status: JobStatus | None = None) -> List[JobRow]:
        """The newest jobs first."""
        query = sa.select(Job).where(_seen(self._viewer)).order_by(Job.id.desc()).limit(limit)
        if status is not None:
            query = query.where(Job.status == status)
        with self._database.read() as connection:
            return [leases.job_row(row) for row in connection.execute(query)]

    def newest(self, document_id: str, kind: JobKind) -> JobRow | None:
        """The last job of that kind on a document, ended or not."""
        query = sa.select(Job).where(Job.document_id == document_id, Job.kind == kind, _seen(self._viewer))
        with self._database.read() as connection:
            row = connection.execute(query.order_by(Job.id.desc()).limit(1)).first()
        return None if row is None else leases.job_row(row)

    def backlog(self) -> Backlog:
        """What is still to be done, as far as it can be known."""
        with self._database.read() as connection:
            return backlog.of(connection)

    def seconds_per_reference(self) -> tuple[float | None, float | None]:
        """See `storage.backlog`: of reading, of writing."""
        with self._database.read() as connection:
            return backlog.seconds_per_reference(connection)

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
            reasons=[],
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
    return leases.job_row(row)


def active(connection: sa.Connection, kind: JobKind, document_id: str) -> JobRow | None:
    """The queued or running job of that kind on a document."""
    row = connection.execute(
        sa.select(Job)
        .where(Job.document_id == document_id, Job.kind == kind, Job.status.in_(("queued", "running")))
        .order_by(Job.id)
        .limit(1)
    ).first()
    return None if row is None else leases.job_row(row)


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


def _seen(viewer: Viewer, least: Role = "reader") -> sa.ColumnElement[bool]:
    return sa.and_(viewer.collections(Job.collection_id, least), viewer.documents(Job.document_id))


def _get(connection: sa.Connection, job_id: int, viewer: Viewer, least: Role = "reader") -> JobRow:
    query = sa.select(Job).where(Job.id == job_id)
    row = connection.execute(query.where(_seen(viewer))).first()
    if row is None:
        raise JobNotFound(f"there is no job {job_id}; see `attest jobs list`")
    if connection.execute(query.where(_seen(viewer, least))).first() is None:
        raise NotAllowed(f"you may see job {job_id}, but not change it")
    return leases.job_row(row)
