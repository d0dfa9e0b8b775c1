"""How much work the active jobs still hold. Estimates only what cannot be known, from what was measured here.

A reference costs its tokens twice: once to be embedded, once to be written as a memory. How many references
an unread part of a file holds is taken from the documents that have been read: as many a byte.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from storage.records import SEARCHABLE, Backlog
from storage.schema import Document, Job, Memory, Reference

_SAMPLE = 500  # newest references, of which the mean length is taken
_LAST_JOBS = 100  # of which the pace is taken
_TOKEN_BYTES = 4


def of(connection: sa.Connection) -> Backlog:
    """What is left now."""
    active = connection.execute(
        sa.select(Job.kind, Job.memories, Job.document_id, Document.bytes, Document.reference_count)
        .join(Document, Document.id == Job.document_id)
        .where(Job.status.in_(("queued", "running")))
    ).all()
    writing = [job for job in active if job.kind == "memories"]
    reading = [job for job in active if job.kind == "ingest"]
    references = float(sum(job.reference_count for job in writing))
    references -= _written(connection, [job.document_id for job in writing])
    if reading:
        per_byte = _references_per_byte(connection)
        if per_byte is None:
            return Backlog(len(active), None)
        for job in reading:
            whole = max(per_byte * job.bytes, job.reference_count)
            references += whole - job.reference_count + (whole if job.memories else 0.0)
    return Backlog(len(active), max(references, 0.0) * _tokens(connection))


def seconds_per_reference(connection: sa.Connection) -> tuple[float | None, float | None]:
    """What reading, and then writing, took a worker for each reference of its last jobs; None: not known."""
    last = sa.select(Job).where(Job.status == "done").order_by(Job.id.desc()).limit(_LAST_JOBS).subquery()
    query = (
        sa.select(
            last.c.kind,
            sa.func.sum(last.c.finished_at - last.c.started_at).label("seconds"),
            sa.func.sum(Document.reference_count).label("stored"),
        )
        .join(Document, Document.id == last.c.document_id)
        .group_by(last.c.kind)
    )
    pace = {row.kind: row.seconds / row.stored for row in connection.execute(query) if row.stored}
    return pace.get("ingest"), pace.get("memories")


def _written(connection: sa.Connection, document_ids: Sequence[str]) -> int:
    query = sa.select(sa.func.count(sa.distinct(Memory.reference_id))).where(
        Memory.document_id.in_(document_ids)
    )
    return connection.execute(query).scalar_one()


def _references_per_byte(connection: sa.Connection) -> float | None:
    references, size = connection.execute(
        sa.select(sa.func.sum(Document.reference_count), sa.func.sum(Document.bytes)).where(
            Document.status.in_(SEARCHABLE)
        )
    ).one()
    return references / size if references and size else None


def _tokens(connection: sa.Connection) -> float:
    """Mean tokens of a reference."""
    newest = sa.select(Reference.token_ids).order_by(Reference.id.desc()).limit(_SAMPLE).subquery()
    mean = connection.execute(sa.select(sa.func.avg(sa.func.length(newest.c.token_ids)))).scalar()
    return 0.0 if mean is None else mean / _TOKEN_BYTES
