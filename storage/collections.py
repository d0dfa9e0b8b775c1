"""Collections: named sets of documents with a domain profile. A document may be in several."""

import time
from builtins import list as List  # `list` is a method here

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from storage import epochs
from storage.codec import clean
from storage.database import Database
from storage.errors import CollectionExists, CollectionNotFound, NotAllowed
from storage.grants import Role, Viewer
from storage.records import CollectionRow, Profile, Receipt
from storage.removal import Remover
from storage.schema import Collection, CollectionDocument, Conversation, Document, Grant, Memory
from storage.trail import Trail


class Collections:
    """The table of collections."""

    def __init__(self, database: Database, viewer: Viewer, trail: Trail, remover: Remover) -> None:
        self._database = database
        self._viewer = viewer
        self._trail = trail
        self._remover = remover

    def add(self, name: str, profile: Profile) -> CollectionRow:
        """A user who makes one owns it. Raises CollectionExists; CollectionNotFound if it is not shown."""
        row = {"name": clean(name), "profile": profile, "created_at": time.time()}
        try:
            with self._database.write() as connection:
                insert = sa.insert(Collection).values(row).returning(Collection.id)
                made = connection.execute(insert).scalar_one()
                if self._viewer.user is not None:
                    own = {"user_id": self._viewer.user, "collection_id": made, "role": "owner"}
                    connection.execute(sa.insert(Grant).values(own))
                self._trail.add(connection, "collection made", collection=made)
        except IntegrityError as error:
            if not self.has(name):
                raise CollectionNotFound(
                    f"{name!r} is no name that you can use for a collection; choose another"
                ) from error
            raise CollectionExists(f"there is a collection {name!r} already; choose another name") from error
        return self.get(name)

    def get(self, name: str, fingerprint_id: str | None = None) -> CollectionRow:
        """Raises CollectionNotFound."""
        with self._database.read() as connection:
            found = _rows(connection, self._viewer, fingerprint_id, Collection.name == clean(name))
        if not found:
            raise _missing(name)
        return found[0]

    def has(self, name: str) -> bool:
        """Whether there is a collection of that name."""
        query = sa.select(Collection.id).where(Collection.name == clean(name))
        with self._database.read() as connection:
            return (
                connection.execute(query.where(self._viewer.collections(Collection.id))).first() is not None
            )

    def id_of(self, name: str, least: Role = "reader") -> int:
        """Raises CollectionNotFound; NotAllowed if the viewer has not at least that role."""
        with self._database.read() as connection:
            return collection_id_of(connection, name, self._viewer, least)

    def list(self, fingerprint_id: str | None = None) -> List[CollectionRow]:
        """All collections by name."""
        with self._database.read() as connection:
            return _rows(connection, self._viewer, fingerprint_id)

    def profiles(self) -> dict[str, Profile]:
        """Names, in order, and what kind of documents is in each; without counting anything."""
        query = sa.select(Collection.name, Collection.profile).order_by(Collection.name)
        query = query.where(self._viewer.collections(Collection.id))
        with self._database.read() as connection:
            return {row.name: row.profile for row in connection.execute(query)}

    def rename(self, name: str, new: str) -> None:
        """Raises CollectionNotFound (also if `new` is not shown), NotAllowed, CollectionExists."""
        try:
            with self._database.write() as connection:
                collection_id = collection_id_of(connection, name, self._viewer, "owner")
                change = sa.update(Collection).where(Collection.id == collection_id)
                connection.execute(change.values(name=clean(new)))
                self._trail.add(connection, "collection renamed", collection=collection_id)
        except IntegrityError as error:
            if not self.has(new):
                raise CollectionNotFound(
                    f"{new!r} is no name that you can use for a collection; choose another"
                ) from error
            raise CollectionExists(f"there is a collection {new!r} already; choose another name") from error

    def delete(self, name: str) -> List[Receipt]:
        """Delete a collection, its conversations, and every document that is in no other one.

        Raises CollectionNotFound, NotAllowed. A call that was interrupted can be repeated.
        """
        receipts: List[Receipt] = []
        while True:
            with self._database.write() as connection:
                collection_id = collection_id_of(connection, name, self._viewer, "owner")
                talked = sa.delete(Conversation).where(Conversation.collection_id == collection_id)
                if connection.execute(talked).rowcount:
                    self._remover.note_rows(connection)
                only_here = connection.execute(_only_in(collection_id)).scalars().all()
                if not only_here:
                    connection.execute(sa.delete(Collection).where(Collection.id == collection_id))
                    epochs.visibility_changed(connection)
                    self._trail.add(connection, "collection deleted", collection=collection_id)
                    break
            receipts += self._remover.delete_all(only_here)
        self._remover.finish()
        return receipts


def collection_id_of(connection: sa.Connection, name: str, viewer: Viewer, least: Role = "reader") -> int:
    """Raises CollectionNotFound where the viewer sees none; NotAllowed where `least` was not granted."""
    query = sa.select(Collection.id).where(Collection.name == clean(name))
    found = connection.execute(query.where(viewer.collections(Collection.id))).scalar()
    if found is None:
        raise _missing(name)
    if connection.execute(query.where(viewer.collections(Collection.id, least))).first() is None:
        raise NotAllowed(
            f"you may read collection {name!r}, but this takes the role {least!r}; ask its owner, or who "
            "administers Attest"
        )
    return found


def _missing(name: str) -> CollectionNotFound:
    return CollectionNotFound(f"there is no collection {name!r}; see `attest collections list`")


def _only_in(collection_id: int) -> sa.Select[str]:
    here = sa.select(CollectionDocument.document_id).where(CollectionDocument.collection_id == collection_id)
    elsewhere = sa.select(CollectionDocument.document_id).where(
        CollectionDocument.collection_id != collection_id
    )
    return here.where(CollectionDocument.document_id.not_in(elsewhere))


def _rows(
    connection: sa.Connection, viewer: Viewer, fingerprint_id: str | None, *where: sa.ColumnElement[bool]
) -> List[CollectionRow]:
    where = (*where, viewer.collections(Collection.id))
    documents = {
        row.collection_id: (row.documents, row.stored)
        for row in connection.execute(
            sa.select(
                CollectionDocument.collection_id,
                sa.func.count().label("documents"),
                sa.func.sum(Document.reference_count).label("stored"),
            )
            .join(Document, Document.id == CollectionDocument.document_id)
            .group_by(CollectionDocument.collection_id)
        )
    }
    memories: dict[int, int] = {}
    counted = (
        sa.select(CollectionDocument.collection_id, sa.func.count().label("memories"))
        .join(Memory, Memory.document_id == CollectionDocument.document_id)
        .group_by(CollectionDocument.collection_id, Memory.fingerprint_id)
    )
    if fingerprint_id is not None:
        counted = counted.where(Memory.fingerprint_id == fingerprint_id)
    for row in connection.execute(counted):
        memories[row.collection_id] = max(memories.get(row.collection_id, 0), row.memories)
    return [
        CollectionRow(
            row.id,
            row.name,
            row.profile,
            row.created_at,
            *documents.get(row.id, (0, 0)),
            memories=memories.get(row.id, 0),
        )
        for row in connection.execute(sa.select(Collection).where(*where).order_by(Collection.name))
    ]
