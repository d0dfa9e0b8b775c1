"""Where a document stands: under which name, and in which collection.

Nothing is written again for either: memories and references do not know the name, nor the collection.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from storage import epochs
from storage.codec import clean
from storage.collections import collection_id_of
from storage.database import Database
from storage.errors import DocumentNotFound, NotAllowed
from storage.grants import Viewer
from storage.schema import CollectionDocument, Document, Job, Source
from storage.trail import Trail


class Placing:
    """Changes rows only."""

    def __init__(self, database: Database, viewer: Viewer, trail: Trail) -> None:
        self._database = database
        self._viewer = viewer
        self._trail = trail

    def rename(self, document_id: str, name: str) -> None:
        """Show a document under another name from now on, in every collection that holds it.

        Raises DocumentNotFound; NotAllowed unless the viewer may edit all of them.
        """
        with self._database.write() as connection:
            shown = (Document.id == document_id, self._viewer.documents(Document.id))
            row = connection.execute(
                sa.select(Document.name, Document.former_names).where(*shown)
            ).one_or_none()
            if row is None:
                raise DocumentNotFound(f"there is no document {document_id}; see `attest documents list`")
            closed = ~self._viewer.collections(CollectionDocument.collection_id, "editor")
            held = sa.select(CollectionDocument).where(CollectionDocument.document_id == document_id)
            if connection.execute(held.where(closed)).first() is not None:
                raise NotAllowed(f"you may read document {document_id}, but not rename it")
            if (name := clean(name)) == row.name:
                return
            former = list(dict.fromkeys([*row.former_names, row.name]))
            connection.execute(
                sa.update(Document).where(Document.id == document_id).values(name=name, former_names=former)
            )
            self._trail.add(connection, "renamed", document=document_id)

    def move(self, document_ids: Sequence[str], source: str, target: str) -> int:
        """Put those of the documents that are in one collection into another one. Returns how many.

        The paths at which they were found come along, as the newest versions there. Raises
        CollectionNotFound; NotAllowed unless the viewer may edit both.
        """
        with self._database.write() as connection:
            old, new = (
                collection_id_of(connection, name, self._viewer, "editor") for name in (source, target)
            )
            if old == new:
                return 0
            here = sa.and_(
                CollectionDocument.collection_id == old, CollectionDocument.document_id.in_(document_ids)
            )
            moving = list(connection.execute(sa.select(CollectionDocument.document_id).where(here)).scalars())
            if not moving:
                return 0
            links = [{"collection_id": new, "document_id": document_id} for document_id in moving]
            connection.execute(insert(CollectionDocument).on_conflict_do_nothing(), links)
            _move_paths(connection, moving, old, new)
            connection.execute(
                sa.update(Job)
                .where(Job.document_id.in_(moving), Job.collection_id == old)
                .values(collection_id=new)
            )
            connection.execute(sa.delete(CollectionDocument).where(here))
            epochs.visibility_changed(connection)
            self._trail.add(connection, "moved", documents=len(moving), collection=old, to=new)
        return len(moving)


def _move_paths(connection: sa.Connection, moving: Sequence[str], old: int, new: int) -> None:
    rows = connection.execute(
        sa.select(Source)
        .where(Source.collection_id == old, Source.document_id.in_(moving))
        .order_by(Source.path, Source.version)
    ).all()
    for row in rows:
        there = sa.and_(Source.collection_id == new, Source.path == row.path)
        connection.execute(sa.delete(Source).where(there, Source.document_id == row.document_id))
        last = connection.execute(sa.select(sa.func.max(Source.version)).where(there)).scalar() or 0
        connection.execute(
            sa.update(Source)
            .where(
                Source.collection_id == old,
                Source.path == row.path,
                Source.document_id == row.document_id,
            )
            .values(collection_id=new, version=last + 1)
        )
