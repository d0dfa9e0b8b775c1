"""Where documents were found: paths, and the versions of what lay at each.

A path belongs to one collection. Other content under the same path is a new version; the versions before it
stay in the store and can be cited, but are not searched by default once the newer one can be. Of the versions
that are left after a delete the highest is the newest. A file that was renamed takes its versions along.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from storage import epochs
from storage.codec import clean
from storage.collections import collection_id_of
from storage.database import Database
from storage.grants import Viewer
from storage.records import SEARCHABLE, FoundFile, SourceRow, VersionRow
from storage.schema import Collection, CollectionDocument, Document, Source


@dataclass(frozen=True)
class Seen:
    """A file as it lay at `path` (a `path_key`) before it was read."""

    path: str
    mtime_ns: int
    size: int


def path_key(path: Path) -> str:
    """A path as it is kept: absolute, links not followed, bytes that are no text replaced."""
    return clean(os.path.abspath(path))


class Sources:
    """The table of sources."""

    def __init__(self, database: Database, viewer: Viewer) -> None:
        self._database = database
        self._viewer = viewer

    def under(self, collection: str, folder: Path) -> dict[str, FoundFile]:
        """What was found last at each path in a folder, by `path_key`. Raises CollectionNotFound."""
        prefix = os.path.join(path_key(folder), "")
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return self._found(collection, Source.path >= prefix, Source.path < end)

    def at(self, collection: str, path: str) -> FoundFile | None:
        """What was found last at one path. Raises CollectionNotFound."""
        return self._found(collection, Source.path == path).get(path)

    def _found(self, collection: str, *where: sa.ColumnElement[bool]) -> dict[str, FoundFile]:
        newer = aliased(Source)
        with self._database.read() as connection:
            query = (
                sa.select(Source, Document.status, Document.unreadable_by)
                .join(Document, Document.id == Source.document_id)
                .where(
                    Source.collection_id == collection_id_of(connection, collection, self._viewer),
                    *where,
                    ~_later(newer),
                )
            )
            return {
                row.path: FoundFile(
                    row.document_id, row.mtime_ns, row.size, row.gone_at, row.status, row.unreadable_by
                )
                for row in connection.execute(query)
            }

    def versions(self, document_id: str) -> list[VersionRow]:
        """All versions of every path at which the document was found, oldest first; with itself."""
        mine = aliased(Source)
        newer = aliased(Source)
        query = (
            sa.select(
                Source.document_id,
                Collection.name.label("collection"),
                Source.path,
                Source.version,
                Document.status,
                _superseding(newer).label("superseded_by"),
            )
            .join(mine, sa.and_(mine.collection_id == Source.collection_id, mine.path == Source.path))
            .join(Collection, Collection.id == Source.collection_id)
            .join(Document, Document.id == Source.document_id)
            .where(mine.document_id == document_id, self._viewer.collections(Source.collection_id))
            .order_by(Collection.name, Source.path, Source.version)
        )
        with self._database.read() as connection:
            return [VersionRow(**row._mapping) for row in connection.execute(query)]

    def mark_gone(self, collection: str, path: str) -> None:
        """There is no file at `path` any more; what was found there stays. Raises CollectionNotFound."""
        with self._database.write() as connection:
            changed = connection.execute(
                sa.update(Source)
                .where(
                    Source.collection_id == collection_id_of(connection, collection, self._viewer, "editor"),
                    Source.path == path,
                    Source.gone_at.is_(None),
                )
                .values(gone_at=time.time())
            ).rowcount
            if changed:
                epochs.visibility_changed(connection)

    def drop(self, collection: str, path: str) -> list[str]:
        """Forget what was found at `path`, because the file was removed and its documents should be, too.

        Returns the documents to delete: those that lie at no other path and in no other collection. The
        others only leave this collection, or stay if they lie at another path of it. Raises
        CollectionNotFound.
        """
        doomed = []
        with self._database.write() as connection:
            collection_id = collection_id_of(connection, collection, self._viewer, "editor")
            here = sa.and_(Source.collection_id == collection_id, Source.path == path)
            for document_id in connection.execute(
                sa.select(Source.document_id).where(here).order_by(Source.version)
            ).scalars():
                mine = Source.document_id == document_id
                beside = connection.execute(
                    sa.select(Source.path).where(mine, Source.collection_id == collection_id, ~here).limit(1)
                ).first()
                link = CollectionDocument.document_id == document_id
                elsewhere = connection.execute(
                    sa.select(CollectionDocument.collection_id)
                    .where(link, CollectionDocument.collection_id != collection_id)
                    .limit(1)
                ).first()
                if beside is None and elsewhere is None:
                    doomed.append(document_id)
                    continue
                connection.execute(sa.delete(Source).where(here, mine))
                if beside is None:
                    connection.execute(
                        sa.delete(CollectionDocument).where(
                            link, CollectionDocument.collection_id == collection_id
                        )
                    )
            epochs.visibility_changed(connection)
        return doomed


def note(connection: sa.Connection, collection_id: int, document_id: str, seen: Seen) -> None:
    """The document is what lies at a path now: again, for the first time, or as its newest version."""
    here = sa.and_(Source.collection_id == collection_id, Source.path == seen.path)
    if _newest(connection, here) is None:
        _take_along(connection, collection_id, document_id, seen.path)
    newest = _newest(connection, here)
    facts = {"seen_at": time.time(), "mtime_ns": seen.mtime_ns, "size": seen.size}
    if newest is None or newest[0] != document_id:
        connection.execute(sa.delete(Source).where(here, Source.document_id == document_id))  # it came back
        connection.execute(
            sa.insert(Source).values(
                collection_id=collection_id,
                path=seen.path,
                document_id=document_id,
                version=1 if newest is None else newest[1] + 1,
                **facts,
            )
        )
        epochs.visibility_changed(connection)
    else:
        connection.execute(sa.update(Source).where(here, Source.document_id == document_id).values(**facts))
    if connection.execute(
        sa.update(Source).where(here, Source.gone_at.is_not(None)).values(gone_at=None)
    ).rowcount:
        epochs.visibility_changed(connection)


def older(viewer: Viewer, collection_id: int | None) -> sa.Select[str]:
    """Ids of documents that are older versions wherever they were found, in one collection or in all that
    `viewer` sees.

    A path from which the file is gone counts only if the document lies nowhere else.
    """
    newer, later = aliased(Source), aliased(Source)
    changed = (  # the few paths where there is more than one version
        sa.select(Source.document_id)
        .join(later, sa.and_(later.collection_id == Source.collection_id, later.path == Source.path))
        .where(later.version > 1, Source.version < later.version)
    )
    lies = sa.case((Source.gone_at.is_(None), 1), else_=0)
    newest = sa.case((_superseding(newer).is_(None), 1), else_=0)
    query = (
        sa.select(Source.document_id)
        .where(Source.document_id.in_(changed.correlate(None)))
        .group_by(Source.document_id)
        .having(
            sa.func.max(lies * newest) == 0,
            sa.or_(sa.func.max(lies) == 1, sa.func.max(newest) == 0),
        )
    )
    if collection_id is None:
        return query.where(viewer.collections(Source.collection_id))
    return query.where(Source.collection_id == collection_id)


def of_documents(connection: sa.Connection, viewer: Viewer, ids: list[str]) -> dict[str, list[SourceRow]]:
    """Where each of the documents was found, the latest first."""
    newer, before = aliased(Source), aliased(Source)
    replaced = (
        sa.select(before.document_id)
        .where(
            before.collection_id == Source.collection_id,
            before.path == Source.path,
            before.version < Source.version,
        )
        .order_by(before.version.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        sa.select(
            Source.document_id,
            Collection.name.label("collection"),
            Source.path,
            Source.version,
            Source.seen_at,
            Source.gone_at,
            replaced.label("replaces"),
            _superseding(newer).label("superseded_by"),
        )
        .join(Collection, Collection.id == Source.collection_id)
        .where(Source.document_id.in_(ids), viewer.collections(Source.collection_id))
        .order_by(Source.seen_at.desc(), Collection.name, Source.path)
    )
    found: dict[str, list[SourceRow]] = {}
    for document_id, *fields in connection.execute(query):
        found.setdefault(document_id, []).append(SourceRow(*fields))
    return found


def _newest(connection: sa.Connection, here: sa.ColumnElement[bool]) -> tuple[str, int] | None:
    """The newest version at a path: its document and number."""
    query = sa.select(Source.document_id, Source.version).where(here)
    row = connection.execute(query.order_by(Source.version.desc()).limit(1)).first()
    return None if row is None else (row.document_id, row.version)


def _take_along(connection: sa.Connection, collection_id: int, document_id: str, path: str) -> None:
    """A renamed file: the path where this was the newest version, if no file is there, becomes `path`."""
    newer = aliased(Source)
    query = sa.select(Source.path).where(
        Source.collection_id == collection_id, Source.document_id == document_id, ~_later(newer)
    )
    for before in connection.execute(query).scalars().all():
        if not os.path.lexists(before):
            connection.execute(
                sa.update(Source)
                .where(Source.collection_id == collection_id, Source.path == before)
                .values(path=path)
            )
            return


def _later(newer: type[Source]) -> sa.Exists:
    return sa.exists().where(
        newer.collection_id == Source.collection_id,
        newer.path == Source.path,
        newer.version > Source.version,
    )


def _superseding(newer: type[Source]) -> sa.ScalarSelect[str]:
    """The newest version at a source's path that is later and can be searched: one that cannot hides none."""
    return (
        sa.select(newer.document_id)
        .join(Document, Document.id == newer.document_id)
        .where(
            newer.collection_id == Source.collection_id,
            newer.path == Source.path,
            newer.version > Source.version,
            Document.status.in_(SEARCHABLE),
        )
        .order_by(newer.version.desc())
        .limit(1)
        .correlate(Source)
        .scalar_subquery()
    )
