"""Which job is next. One query; knows how jobs relate to each other, not who does them.

Order: priority; then the collection that was served longest ago, so that a thousand files in one do not
starve another; then the job that should be done first if each were given the time its file's size lets
expect, counted from when it came: a small document passes a big one that has not waited as long as it will
take, and no document waits for ever. Files of about the same size are first come, first served.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from storage.records import JobKind, JobRow
from storage.schema import Document, Job

SIZE_BYTES = 256 * 1024  # documents that are equals: a size counts in whole steps of this
SECONDS_PER_SIZE = 20.0
MUCH_SMALLER = 4

_SIZE = Document.bytes // SIZE_BYTES
_DUE = Job.created_at + SECONDS_PER_SIZE * _SIZE


def next_job(kinds: Sequence[JobKind]) -> sa.Select[int]:
    """The id of the job to claim."""
    served = (
        sa.select(Job.collection_id, sa.func.max(Job.started_at).label("at"))
        .where(Job.started_at.is_not(None))
        .group_by(Job.collection_id)
        .subquery()
    )
    return (
        sa.select(Job.id)
        .join(Document, Document.id == Job.document_id)
        .outerjoin(served, served.c.collection_id.is_not_distinct_from(Job.collection_id))
        .where(Job.kind.in_(kinds), Job.status == "queued")
        .order_by(Job.priority.desc(), sa.func.coalesce(served.c.at, 0), _DUE, Job.id)
        .limit(1)
    )


def smaller_job(job: JobRow) -> sa.Select[int]:
    """A waiting job of no less priority that is much smaller than `job` and is due before it."""
    own = sa.select(_SIZE.label("size"), _DUE.label("due")).join(Document, Document.id == Job.document_id)
    mine = own.where(Job.id == job.id).subquery()
    return (
        sa.select(Job.id)
        .join(Document, Document.id == Job.document_id)
        .where(Job.status == "queued", Job.id != job.id, Job.priority >= job.priority)
        .where(mine.c.size >= MUCH_SMALLER * (_SIZE + 1), mine.c.due > _DUE)
        .limit(1)
    )
