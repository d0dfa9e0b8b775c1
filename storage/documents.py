"""Documents: files by content, how far they are, what went wrong.

A document's identity is the SHA-256 of its bytes: the same file under another name is the same document, and
keeps its first name. Where it was found is remembered beside it (`storage.sources`).
"""

import time
from builtins import list as List  # `list` is a method here
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from storage import epochs, files, leases, sources
from storage import jobs as queue
from storage.codec import clean, pack_warning, unpack_warnings
from storage.collections import collection_id_of
from storage.database import Database
from storage.errors import DocumentNotFound, NotAllowed
from storage.grants import Viewer
from storage.originals import Content, Originals
from storage.pages import Pages
from storage.records import (
    FINISHED,
    SEARCHABLE,
    DocumentRow,
    DocumentStatus,
    DocumentWarning,
    JobRow,
    PageRow,
    Receipt,
)
from storage.removal import Remover
from storage.schema import Bank, Collection, CollectionDocument, Document, Job, Memory, Source
from storage.sources import Seen, path_key
from storage.trail import Trail

INGEST_PRIORITY = 10  # before memories: a document is answerable without them
_ID_DIGITS = 16


class Documents:
    """The table of documents, with their originals."""

    def __init__(
        self,
        database: Database,
        viewer: Viewer,
        trail: Trail,
        originals: Originals,
        pages: Pages,
        remover: Remover,
    ) -> None:
        self._database = database
        self._viewer = viewer
        self._trail = trail
        self._originals = originals
        self._pages = pages
        self._remover = remover

    def add(
        self,
        path: Path,
        collection: str,
        name: str | None = None,
        *,
        memories: bool = True,
        readers: str | None = None,
        stays: bool = False,
        readable: Path | None = None,
    ) -> tuple[DocumentRow, bool]:
        """Keep a file and queue its ingest, to be followed by writing `memories`; nothing is parsed here.

        Returns the document and whether there is work to do: False if the same bytes are in the store
        already (they are put into `collection` too), unless their ingest failed or was cancelled, which
        queues it again; but not if it failed because these very `readers` cannot read the content. To a user
        who did not see those bytes before they are new.

        stays: the file stays at `path`, unlike an upload: the path is remembered, and other content that is
            added from there later is a new version of it.
        readable: a copy of a locked file that is not locked, to be kept beside it and read in its place. What
            could not be read without it is read again.

        Raises OriginalUnreadable, CollectionNotFound, NotAllowed, DiskFull.
        """
        seen = Seen(path_key(path), *self._originals.look(path)) if stays else None
        with self._database.read() as connection:
            collection_id = collection_id_of(connection, collection, self._viewer, "editor")
        content = self._originals.identify(path)
        if readable is not None:
            readers = None
            self._originals.keep_readable(readable, content.sha256)
        if self._originals.path(content.sha256).is_file():
            with self._database.write() as connection:
                known = _by_content(connection, content)
                if known is not None:
                    created = self._again(connection, known, collection_id, path, seen, memories, readers)
                    self._note_added(connection, known, collection_id, content)
                    return _describe(connection, self._viewer, [known], None)[0], created
        with self._originals.copied(path) as (content, copy), self._database.write() as connection:
            with files.in_our_words("the store of originals"):
                self._originals.settle(copy, content.sha256)
            known = _by_content(connection, content)  # another process may have been first
            if known is not None:
                created = self._again(connection, known, collection_id, path, seen, memories, readers)
                self._note_added(connection, known, collection_id, content)
                return _describe(connection, self._viewer, [known], None)[0], created
            document_id = self._insert(connection, content, name or path.name)
            _link(connection, document_id, collection_id, seen)
            self._enqueue(connection, document_id, collection_id, path, memories)
            self._note_added(connection, document_id, collection_id, content)
            return _describe(connection, self._viewer, [document_id], None)[0], True

    def get(self, document_id: str, fingerprint_id: str | None = None) -> DocumentRow:
        """Raises DocumentNotFound."""
        with self._database.read() as connection:
            found = _describe(connection, self._viewer, [document_id], fingerprint_id)
        if not found:
            raise _missing(document_id)
        return found[0]

    def of_ids(
        self, document_ids: Sequence[str], fingerprint_id: str | None = None
    ) -> dict[str, DocumentRow]:
        """Those of the documents that exist, by id; a handful of queries whatever their number."""
        with self._database.read() as connection:
            rows = _describe(connection, self._viewer, document_ids, fingerprint_id)
        return {row.id: row for row in rows}

    def list(
        self,
        collection: str | None = None,
        *,
        limit: int = 100,
        offset: int = 0,
        text: str | None = None,
        fingerprint_id: str | None = None,
    ) -> List[DocumentRow]:
        """The newest first; `text` must occur in the name or title. Raises CollectionNotFound."""
        with self._database.read() as connection:
            query = (
                sa.select(Document.id)
                .where(*_matching(connection, self._viewer, collection, text))
                .order_by(Document.created_at.desc(), Document.id)
                .limit(limit)
                .offset(offset)
            )
            return _describe(
                connection, self._viewer, connection.execute(query).scalars().all(), fingerprint_id
            )

    def count(self, collection: str | None = None, *, text: str | None = None) -> int:
        """How many documents `list` has in all. Raises CollectionNotFound."""
        with self._database.read() as connection:
            matching = _matching(connection, self._viewer, collection, text)
            return connection.execute(sa.select(sa.func.count(Document.id)).where(*matching)).scalar_one()

    def original(self, document_id: str) -> Path:
        """The file as it was given. Raises DocumentNotFound."""
        return self._originals.path(self._sha256(document_id))

    def readable(self, document_id: str) -> Path:
        """The file to read and draw: as it was given, or its copy without a password.

        Raises DocumentNotFound.
        """
        return self._originals.readable(self._sha256(document_id))

    def set_info(
        self,
        document_id: str,
        *,
        media_type: str | None = None,
        title: str | None = None,
        page_count: int | None = None,
    ) -> None:
        """Note what the reader found out; None leaves a value as it is. Raises DocumentNotFound."""
        given = {
            "media_type": media_type,
            "title": None if title is None else clean(title),
            "page_count": page_count,
        }
        self._update(document_id, **{name: value for name, value in given.items() if value is not None})

    def set_status(
        self,
        document_id: str,
        status: DocumentStatus,
        error: str | None = None,
        *,
        unreadable_by: str | None = None,
    ) -> None:
        """Note how far a document is, or how it ended; `unreadable_by` as in `DocumentRow`.

        Raises DocumentNotFound.
        """
        message = None if error is None else clean(error)
        finished = time.time() if status in FINISHED else None
        self._update(
            document_id, status=status, error=message, finished_at=finished, unreadable_by=unreadable_by
        )

    def add_warning(self, document_id: str, page: int | None, message: str) -> None:
        """Note what a reader of the document should know; the same words twice are kept once.

        Raises DocumentNotFound.
        """
        self._viewer.must_be_local()
        warning = pack_warning(DocumentWarning(page, message))
        with self._database.write() as connection:
            warnings = connection.execute(
                sa.select(Document.warnings).where(Document.id == document_id)
            ).scalar()
            if warnings is None:
                raise _missing(document_id)
            if warning not in warnings:
                connection.execute(
                    sa.update(Document)
                    .where(Document.id == document_id)
                    .values(warnings=[*warnings, warning])
                )

    def add_pages(self, document_id: str, pages: Sequence[PageRow]) -> None:
        """See `Pages.add`."""
        self._pages.add(document_id, pages)

    def confidences(self, document_id: str) -> dict[int, float]:
        """Page number to confidence (0..1) of the pages whose text was recognised."""
        return self._pages.confidences(document_id)

    def page(self, document_id: str, number: int) -> PageRow:
        """See `Pages.get`."""
        return self._pages.get(document_id, number)

    def delete(self, document_id: str) -> Receipt:
        """Remove a document wholly, see `storage.removal`.

        What a user deletes leaves the collections that they may edit, and goes wholly if no other holds it.
        Raises DocumentNotFound, NotAllowed.
        """
        if self._viewer.user is not None:
            with self._database.write() as connection:
                left = self._taken_out(connection, document_id)
            if left is not None:
                return left
        receipt = self._remover.delete(document_id)
        self._trail.note("deleted", document=document_id, rows=receipt.rows, bytes=receipt.bytes_freed)
        return receipt

    def _taken_out(self, connection: sa.Connection, document_id: str) -> Receipt | None:
        """Take a document out of the collections that the user may edit; None if no other holds it."""
        if not _describe(connection, self._viewer, [document_id], None):
            raise _missing(document_id)
        here, editable = CollectionDocument.document_id == document_id, self._viewer.collections
        mine = editable(CollectionDocument.collection_id, "editor")
        if connection.execute(sa.select(CollectionDocument).where(here, mine)).first() is None:
            raise NotAllowed(f"you may read document {document_id}, but not delete it")
        if connection.execute(sa.select(CollectionDocument).where(here, ~mine)).first() is None:
            return None
        paths = sa.delete(Source).where(
            Source.document_id == document_id, editable(Source.collection_id, "editor")
        )
        rows = connection.execute(paths).rowcount
        rows += connection.execute(sa.delete(CollectionDocument).where(here, mine)).rowcount
        epochs.visibility_changed(connection)
        self._trail.add(connection, "deleted", document=document_id, rows=rows, bytes=0)
        return Receipt(document_id, rows, vectors=0, memories=0, files=0, bytes_freed=0)

    def _sha256(self, document_id: str) -> str:
        query = sa.select(Document.sha256).where(
            Document.id == document_id, self._viewer.documents(Document.id)
        )
        with self._database.read() as connection:
            sha256 = connection.execute(query).scalar()
        if sha256 is None:
            raise _missing(document_id)
        return sha256

    def _insert(self, connection: sa.Connection, content: Content, name: str) -> str:
        short = content.sha256[:_ID_DIGITS]
        taken = connection.execute(sa.select(Document.id).where(Document.id == short)).first()
        document_id = content.sha256 if taken else short  # 64 bits can be made to collide on purpose
        connection.execute(
            sa.insert(Document).values(
                id=document_id,
                sha256=content.sha256,
                name=clean(name),
                bytes=content.bytes,
                status="queued",
                warnings=[],
                created_at=time.time(),
            )
        )
        return document_id

    def _again(
        self,
        connection: sa.Connection,
        document_id: str,
        collection_id: int,
        path: Path,
        seen: Seen | None,
        memories: bool,
        readers: str | None,
    ) -> bool:
        shown = (Document.id == document_id, self._viewer.documents(Document.id))
        known = connection.execute(sa.select(Document.id).where(*shown)).first() is not None
        _link(connection, document_id, collection_id, seen)
        restarted = queue.restart_document(
            connection,
            document_id,
            sa.or_(Document.unreadable_by.is_(None), Document.unreadable_by.is_distinct_from(readers)),
        )
        if restarted:
            self._enqueue(connection, document_id, collection_id, path, memories)
        return restarted or not known

    def _note_added(
        self, connection: sa.Connection, document_id: str, collection_id: int, content: Content
    ) -> None:
        self._trail.add(
            connection, "added", document=document_id, collection=collection_id, bytes=content.bytes
        )

    def _enqueue(
        self, connection: sa.Connection, document_id: str, collection_id: int, path: Path, memories: bool
    ) -> None:
        queue.enqueue(
            connection,
            "ingest",
            document_id,
            collection_id,
            path=str(path),
            priority=INGEST_PRIORITY,
            memories=memories,
            now=time.time(),
        )

    def _update(self, document_id: str, **values: Any) -> None:
        self._viewer.must_be_local()
        with self._database.write() as connection:
            before = connection.execute(sa.select(Document.status).where(Document.id == document_id)).scalar()
            if before is None:
                raise _missing(document_id)
            if not values:
                return
            connection.execute(sa.update(Document).where(Document.id == document_id).values(**values))
            if (before in SEARCHABLE) != (values.get("status", before) in SEARCHABLE):
                epochs.visibility_changed(connection)


def _missing(document_id: str) -> DocumentNotFound:
    return DocumentNotFound(f"there is no document {document_id}; see `attest documents list`")


def _by_content(connection: sa.Connection, content: Content) -> str | None:
    return connection.execute(sa.select(Document.id).where(Document.sha256 == content.sha256)).scalar()


def _link(connection: sa.Connection, document_id: str, collection_id: int, seen: Seen | None) -> None:
    linked = connection.execute(
        insert(CollectionDocument)
        .values(collection_id=collection_id, document_id=document_id)
        .on_conflict_do_nothing()
    ).rowcount
    if linked:
        epochs.visibility_changed(connection)
    if seen is not None:
        sources.note(connection, collection_id, document_id, seen)


def _matching(
    connection: sa.Connection, viewer: Viewer, collection: str | None, text: str | None
) -> List[sa.ColumnElement[bool]]:
    """Conditions on documents. Raises CollectionNotFound."""
    conditions: List[sa.ColumnElement[bool]] = [viewer.documents(Document.id)]
    if collection is not None:
        members = sa.select(CollectionDocument.document_id).where(
            CollectionDocument.collection_id == collection_id_of(connection, collection, viewer)
        )
        conditions.append(Document.id.in_(members))
    if text:
        found_in = (
            column.icontains(clean(text), autoescape=True) for column in (Document.name, Document.title)
        )
        conditions.append(sa.or_(*found_in))
    return conditions


def _describe(
    connection: sa.Connection, viewer: Viewer, ids: Sequence[str], fingerprint_id: str | None
) -> List[DocumentRow]:
    """Rows in the order of `ids`, by five queries whatever their number."""
    described = [column for column in Document.__table__.c if column.name != "former_names"]
    seen = sa.select(*described).where(Document.id.in_(ids), viewer.documents(Document.id))
    rows = {row.id: row for row in connection.execute(seen)}
    jobs: dict[str, JobRow] = {}
    active = sa.select(Job).where(
        Job.document_id.in_(ids),
        Job.status.in_(("queued", "running")),
        viewer.collections(Job.collection_id),
    )
    for row in connection.execute(active.order_by(Job.id)):
        jobs[row.document_id] = leases.job_row(row)
    memories: dict[str, int] = {}
    banks = sa.select(Bank.fingerprint_id)
    if fingerprint_id is not None:
        banks = banks.where(Bank.fingerprint_id == fingerprint_id)
    counted = (  # naming the banks lets the index on (bank, document) serve
        sa.select(Memory.document_id, sa.func.count().label("memories"))
        .where(Memory.document_id.in_(ids), Memory.fingerprint_id.in_(banks))
        .group_by(Memory.fingerprint_id, Memory.document_id)
    )
    for document_id, count in connection.execute(counted):
        memories[document_id] = max(memories.get(document_id, 0), count)
    collections: dict[str, List[str]] = {}
    linked = (
        sa.select(CollectionDocument.document_id, Collection.name)
        .join(Collection, Collection.id == CollectionDocument.collection_id)
        .where(CollectionDocument.document_id.in_(ids), viewer.collections(Collection.id))
        .order_by(Collection.name)
    )
    for document_id, name in connection.execute(linked):
        collections.setdefault(document_id, []).append(name)
    found = sources.of_documents(connection, viewer, list(rows))
    return [
        DocumentRow(
            **{
                **rows[key]._mapping,
                "sources": tuple(found.get(key, ())),
                "warnings": unpack_warnings(rows[key].warnings),
                "memory_count": memories.get(key, 0),
                "collections": tuple(collections.get(key, ())),
                "job": jobs.get(key),
            }
        )
        for key in ids
        if key in rows
    ]
