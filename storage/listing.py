"""A page of a collection's documents for people: found by name, filtered, in an order; and the sums.

Three queries whatever the number of documents, so that a list of thousands costs what one of fifty does.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from storage.codec import clean
from storage.collections import collection_id_of
from storage.database import Database
from storage.grants import Viewer
from storage.records import SEARCHABLE, Order, Standing, Wanted
from storage.schema import CollectionDocument, Document, Job, Memory

ALL = Wanted()


@dataclass(frozen=True)
class DocumentPage:
    """ids: in the order of the list, from `first`; `matching` are wanted in all.

    The other sums are of the whole collection. busy: how many a worker has still to do with. askable: how
    many questions can be asked of. failed: or cancelled. references: stored.
    """

    ids: list[str]
    first: int
    total: int
    askable: int
    busy: int
    matching: int = 0
    failed: int = 0
    references: int = 0


class Listing:
    """Reads only."""

    def __init__(self, database: Database, viewer: Viewer) -> None:
        self._database = database
        self._viewer = viewer

    def page(self, collection: str, first: int, count: int, wanted: Wanted = ALL) -> DocumentPage:
        """The page that begins at `first`, or the last one if there are fewer. Raises CollectionNotFound."""
        with self._database.read() as connection:
            here = _members(connection, collection, self._viewer)
            sums = connection.execute(
                sa.select(
                    sa.func.count().label("total"),
                    _how_many(Document.status.in_(SEARCHABLE)).label("askable"),
                    _how_many(_BUSY).label("busy"),
                    _how_many(_matching(wanted)).label("matching"),
                    _how_many(_STANDING["failed"]).label("failed"),
                    sa.func.coalesce(sa.func.sum(Document.reference_count), 0).label("references"),
                )
                .select_from(Document)
                .where(here)
            ).one()
            first = min(max(first, 0), max(sums.matching - 1, 0) // count * count)
            query = _wanted(here, wanted).limit(count).offset(first)
            ids = list(connection.execute(query).scalars())
        return DocumentPage(ids, first, **sums._mapping)

    def matching(self, collection: str, wanted: Wanted = ALL) -> list[str]:
        """Ids of all that are wanted, in order. Raises CollectionNotFound."""
        with self._database.read() as connection:
            return list(
                connection.execute(_wanted(_members(connection, collection, self._viewer), wanted)).scalars()
            )

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


def _members(connection: sa.Connection, collection: str, viewer: Viewer) -> sa.ColumnElement[bool]:
    members = sa.select(CollectionDocument.document_id).where(
        CollectionDocument.collection_id == collection_id_of(connection, collection, viewer)
    )
    return Document.id.in_(members)


def _wanted(here: sa.ColumnElement[bool], wanted: Wanted) -> sa.Select[str]:
    order = [(column.asc() if up != wanted.turned else column.desc()) for column, up in _ORDER[wanted.order]]
    return sa.select(Document.id).where(here, _matching(wanted)).order_by(*order, Document.id)


def _matching(wanted: Wanted) -> sa.ColumnElement[bool]:
    conditions: list[sa.ColumnElement[bool]] = [sa.true()]
    if wanted.standing is not None:
        conditions.append(_STANDING[wanted.standing])
    if text := clean(wanted.text).strip():
        conditions.append(
            sa.or_(*(each.icontains(text, autoescape=True) for each in (Document.name, Document.title)))
        )
    return sa.and_(*conditions)


def _how_many(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)


_BUSY = sa.or_(
    Document.status.in_(("queued", "reading")),
    sa.and_(
        Document.status == "answerable",
        Document.id.in_(sa.select(Job.document_id).where(Job.status.in_(("queued", "running")))),
    ),
)
_STANDING: dict[Standing, sa.ColumnElement[bool]] = {
    "working": _BUSY,
    "askable": Document.status.in_(SEARCHABLE),
    "failed": Document.status.in_(("failed", "cancelled")),
    "warned": sa.func.json_array_length(Document.warnings) > 0,
}
_STATE = sa.case(
    (Document.status.in_(("failed", "cancelled")), 0), (_BUSY, 1), (Document.status == "partial", 2), else_=3
)
# (by what, whether the smallest comes first)
_ORDER: dict[Order, tuple[tuple[sa.SQLColumnExpression[Any], bool], ...]] = {
    "added": ((sa.case((_BUSY, 1), else_=0), False), (Document.created_at, False)),
    "name": ((Document.name.collate("NOCASE"), True),),
    "size": ((Document.bytes, False),),
    "pages": ((sa.func.coalesce(Document.page_count, 0), False),),
    "state": ((_STATE, True), (Document.name.collate("NOCASE"), True)),
}
