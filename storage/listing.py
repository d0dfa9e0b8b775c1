"""A page of a collection's documents for people: what is worked on first, then the newest; and the sums.

Three queries whatever the number of documents, so that a list of thousands costs what one of fifty does.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from storage.collections import collection_id_of
from storage.database import Database
from storage.grants import Viewer
from storage.records import SEARCHABLE
from storage.schema import CollectionDocument, Document, Job, Memory


@dataclass(frozen=True)
class DocumentPage:
    """ids: in the order of the list, from `first`. busy: how many a worker has still to do with.

    askable: how many questions can be asked of.
    """

    ids: list[str]
    first: int
    total: int
    askable: int
    busy: int


class Listing:
    """Reads only."""

    def __init__(self, database: Database, viewer: Viewer) -> None:
        self._database = database
        self._viewer = viewer

    def page(self, collection: str, first: int, count: int) -> DocumentPage:
        """The page that begins at `first`, or the last one if there are fewer. Raises CollectionNotFound."""
        with self._database.read() as connection:
            members = sa.select(CollectionDocument.document_id).where(
                CollectionDocument.collection_id == collection_id_of(connection, collection, self._viewer)
            )
            here = Document.id.in_(members)
            sums = connection.execute(
                sa.select(
                    sa.func.count().label("total"),
                    sa.func.coalesce(sa.func.sum(sa.cast(Document.status.in_(SEARCHABLE), sa.Integer)), 0),
                    sa.func.coalesce(sa.func.sum(sa.cast(_BUSY, sa.Integer)), 0),
                )
                .select_from(Document)
                .where(here)
            ).one()
            total, askable, busy = sums
            first = min(max(first, 0), max(total - 1, 0) // count * count)
            query = (
                sa.select(Document.id)
                .where(here)
                .order_by(sa.cast(_BUSY, sa.Integer).desc(), Document.created_at.desc(), Document.id)
                .limit(count)
                .offset(first)
            )
            ids = list(connection.execute(query).scalars())
        return DocumentPage(ids, first, total, askable, busy)

    def written(self, fingerprint_id: str | None) -> tuple[int, int]:
        """How many memories there are, in that bank or in all, and how many references."""
        memories = sa.select(sa.func.count()).select_from(Memory)
        memories = memories.where(self._viewer.documents(Memory.document_id))
        if fingerprint_id is not None:
            memories = memories.where(Memory.fingerprint_id == fingerprint_id)
        references = sa.select(sa.func.coalesce(sa.func.sum(Document.reference_count), 0))
        references = references.where(self._viewer.documents(Document.id))
        with self._database.read() as connection:
            return connection.execute(memories).scalar_one(), connection.execute(references).scalar_one()


_BUSY = sa.or_(
    Document.status.in_(("queued", "reading")),
    sa.and_(
        Document.status == "answerable",
        Document.id.in_(sa.select(Job.document_id).where(Job.status.in_(("queued", "running")))),
    ),
)
