"""Which references a search may return, from what this process remembers of who owns which.

A document's references are written in few transactions, so their ids are a few runs of numbers, and a table
of runs stands for a million rows. It is filled once (SQLite groups an index for that) and then only by what
is new. What the database says is allowed, by grants, collection, status and version, decides the rest.
"""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa

from storage import epochs, sources
from storage.grants import Viewer
from storage.records import SEARCHABLE
from storage.schema import CollectionDocument, Document, Reference
from storage.visible import Ids, Visible

_KEPT_SETS = 32


class Visibility:
    """Not safe to share between threads: `Search` holds a lock around it."""

    def __init__(self) -> None:
        self._runs: dict[str, list[Ids | slice]] = {}
        self._last = 0
        self._index_epoch = self._visible_epoch = -1
        self._sets: OrderedDict[tuple[Viewer, int | None, tuple[str, ...] | None], Visible] = OrderedDict()

    def to(
        self,
        connection: sa.Connection,
        viewer: Viewer,
        collection_id: int | None,
        document_ids: Sequence[str] | None,
    ) -> Visible:
        """What `viewer` may find of a collection's documents, of the given ones, or of both; None is all."""
        self._follow(connection)
        key = (viewer, collection_id, None if document_ids is None else tuple(sorted(set(document_ids))))
        visible = self._sets.pop(key, None)
        if visible is None:
            flags = np.zeros(self._last + 1, np.bool_)
            for document_id in _allowed(connection, *key):
                for run in self._runs.get(document_id, ()):
                    flags[run] = True
            visible = Visible(flags)
        self._sets[key] = visible
        if len(self._sets) > _KEPT_SETS:
            self._sets.popitem(last=False)
        return visible

    def _follow(self, connection: sa.Connection) -> None:
        epoch = epochs.read(connection)
        if epoch.visible == self._visible_epoch:
            return
        self._sets.clear()
        if epoch.index != self._index_epoch:  # ids disappeared
            self._runs.clear()
            self._last = 0
        self._visible_epoch, self._index_epoch = epoch.visible, epoch.index
        for row in connection.execute(_runs(self._last)).all():
            run: Ids | slice = slice(row.first, row.last + 1)
            if row.count != row.last + 1 - row.first:  # written in pieces, with another's between them
                run = _ids_of(connection, row.document_id, row.first)
            self._runs.setdefault(row.document_id, []).append(run)
            self._last = max(self._last, row.last)


def _runs(after: int) -> sa.Select[str, int, int, int]:
    query = sa.select(
        Reference.document_id,
        sa.func.min(Reference.id).label("first"),
        sa.func.max(Reference.id).label("last"),
        sa.func.count().label("count"),
    ).group_by(Reference.document_id)
    return query.where(Reference.id > after) if after else query  # whole, the index is read in its order


def _ids_of(connection: sa.Connection, document_id: str, first: int) -> Ids:
    query = sa.select(Reference.id).where(Reference.document_id == document_id, Reference.id >= first)
    return np.fromiter(connection.execute(query).scalars(), dtype=np.int64)


def _allowed(
    connection: sa.Connection,
    viewer: Viewer,
    collection_id: int | None,
    document_ids: tuple[str, ...] | None,
) -> set[str]:
    seen = viewer.documents(Document.id)
    documents = sa.select(Document.id).where(Document.status.in_(SEARCHABLE), seen)
    if collection_id is not None:
        members = sa.select(CollectionDocument.document_id).where(
            CollectionDocument.collection_id == collection_id
        )
        documents = documents.where(Document.id.in_(members))
    if document_ids is None:
        documents = documents.where(Document.id.not_in(sources.older(viewer, collection_id)))
    allowed = set(connection.execute(documents).scalars())
    return allowed if document_ids is None else allowed.intersection(document_ids)
