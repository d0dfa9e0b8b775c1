"""Taking a document off the store, wholly.

A delete has two halves. One transaction removes every row and notes in `removals` what still lies in
files; then the files are unlinked, or rewritten without the document, and each note is struck out. A
crash between the halves loses nothing: the notes are worked off when the store is opened next. Deleted
rows are overwritten with zeros (secure_delete), the full-text index is merged (a deletion alone only
marks words there), the write-ahead log is emptied.
"""

import logging
import time
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa

from storage import epochs, files, lexical, vectors
from storage.database import Database
from storage.errors import DocumentNotFound, StorageError
from storage.originals import Originals
from storage.records import Receipt
from storage.schema import (
    CollectionDocument,
    Document,
    Job,
    Memory,
    Meta,
    Page,
    Reference,
    Removal,
)
from storage.shards import Shards
from storage.upgrade import BACKUPS

_log = logging.getLogger(__name__)

SWEEP_AGE_SECONDS = 3600.0


class Remover:
    """Deletes documents and sweeps what crashes left behind."""

    def __init__(self, database: Database, home: Path, originals: Originals) -> None:
        self._database = database
        self._home = home
        self._originals = originals

    def delete(self, document_id: str) -> Receipt:
        """Remove a document from rows, indexes and files. Raises DocumentNotFound, StoreUnavailable."""
        receipts = self.delete_all([document_id])
        if not receipts:
            raise DocumentNotFound(f"there is no document {document_id}; see `attest documents list`")
        return receipts[0]

    def delete_all(self, document_ids: Iterable[str]) -> list[Receipt]:
        """Remove documents; what they share (indexes, shards, the log) is cleaned once.

        Unknown ids are left out. A file that several documents shared is counted in the first receipt.
        """
        receipts = []
        shared: set[str] = set()
        for document_id in document_ids:
            with self._database.write() as connection:
                receipt = self._delete_rows(connection, document_id, shared)
            if receipt is not None:
                receipts.append(receipt)
                _log.info("deleted document %s: %d bytes", document_id, receipt.bytes_freed)
        self.finish()
        return receipts

    def finish(self) -> None:
        """Work off all notes. Raises StoreUnavailable; what is left is tried again at the next open."""
        query = sa.select(Removal.kind, Removal.target, sa.func.max(Removal.id).label("last"))
        with self._database.read() as connection:
            notes = connection.execute(query.group_by(Removal.kind, Removal.target)).all()
        for note in notes:
            with files.in_our_words("a deleted file"):
                self._work_off(note.kind, note.target)
            done = (Removal.kind == note.kind, Removal.target == note.target, Removal.id <= note.last)
            with self._database.write() as connection:
                connection.execute(sa.delete(Removal).where(*done))
        if notes and not self._database.checkpoint():
            _log.warning(
                "the write-ahead log could not be emptied now; it will be at the next delete or open"
            )

    def recover(self) -> None:
        """At open: finish interrupted deletes, and sweep once an hour. Never keeps the store from opening."""
        try:
            self.finish()
            self._sweep_hourly()
        except StorageError as error:
            _log.warning("cleaning the store was put off: %s", type(error).__name__)

    def sweep(self, older_than: float = SWEEP_AGE_SECONDS) -> int:
        """Unlink files that no row names, if older than `older_than` seconds. Returns how many.

        The age keeps away from files that another process has just written and will name in a moment.
        """
        limit = time.time() - older_than
        gone = 0
        with files.in_our_words("the store"):
            for path in _files(self._home / "originals"):
                gone += self._sweep_file(path, limit, Document.sha256 == path.name)
            for path in _files(self._home / "bank"):
                named = sa.and_(Memory.fingerprint_id == path.parent.name, Memory.shard == path.name)
                gone += self._sweep_file(path, limit, named)
            for path in _files(self._home / "vectors"):
                gone += path.name.endswith(files.PARTIAL) and _older(path, limit) and files.remove(path)
            for path in _files(self._home / "pages"):
                name = path.relative_to(self._home / "pages").parts[0]
                gone += self._sweep_file(path, limit, Document.id.in_([name[:16], name[:64]]))
        return gone

    def _sweep_file(self, path: Path, limit: float, named: sa.ColumnElement[bool]) -> bool:
        if not _older(path, limit):
            return False
        with self._database.write() as connection:
            known = connection.execute(sa.select(sa.literal(1)).where(named).limit(1)).first()
            return False if known else files.remove(path)

    def _sweep_hourly(self) -> None:
        now = int(time.time())
        with self._database.read() as connection:
            last = connection.execute(sa.select(Meta.value).where(Meta.name == "swept_at")).scalar()
        if last is not None and now - last < SWEEP_AGE_SECONDS:
            return
        with self._database.write() as connection:
            connection.execute(sa.delete(Meta).where(Meta.name == "swept_at"))
            connection.execute(sa.insert(Meta).values(name="swept_at", value=now))
        self.sweep()

    def _delete_rows(self, connection: sa.Connection, document_id: str, shared: set[str]) -> Receipt | None:
        document = connection.execute(
            sa.select(Document.sha256).where(Document.id == document_id)
        ).one_or_none()
        if document is None:
            return None
        original = self._originals.path(document.sha256)
        images = _images(self._home, document_id)
        copies = {str(path) for name in ("vectors", BACKUPS) for path in _files(self._home / name)}
        touched = (copies | note_shards(connection, Memory.document_id == document_id)) - shared
        shared |= touched
        notes = [("original", document.sha256), ("pages", document_id)]
        notes += [(kind, "") for kind in ("words", "vectors", "backups")]
        connection.execute(sa.insert(Removal), [{"kind": kind, "target": target} for kind, target in notes])

        pages, page_bytes = _count(
            connection, Page, document_id, Page.boxes, sa.cast(Page.text, sa.LargeBinary)
        )
        vectors, vector_bytes = _count(connection, Reference, document_id, Reference.vector)
        memories = connection.execute(
            sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(Memory.bytes), 0)).where(
                Memory.document_id == document_id
            )
        ).one()
        jobs, _ = _count(connection, Job, document_id)
        links, _ = _count(connection, CollectionDocument, document_id)
        receipt = Receipt(
            document_id,
            rows=1 + pages + vectors + jobs + links,
            vectors=vectors,
            memories=memories[0],
            files=original.is_file() + len(images) + len(touched),
            bytes_freed=files.size(original)
            + sum(files.size(path) for path in images)
            + page_bytes
            + vector_bytes
            + memories[1],
        )
        lexical.forget(connection, document_id)
        connection.execute(sa.delete(Document).where(Document.id == document_id))  # the rest cascades
        epochs.references_removed(connection)
        return receipt

    def _work_off(self, kind: str, target: str) -> None:
        if kind == "shard":
            fingerprint_id, _, shard = target.partition("/")
            Shards(self._database, self._home / "bank", fingerprint_id).agree(shard)
            return
        with self._database.write() as connection:  # nobody can add the same document in between
            known = sa.select(sa.literal(1)).limit(1)
            if kind == "words":
                lexical.purge(connection)
            elif kind == "original":
                if not connection.execute(known.where(Document.sha256 == target)).first():
                    files.remove(self._originals.path(target))
            elif kind == "pages":
                if not connection.execute(known.where(Document.id == target)).first():
                    _remove_all(_images(self._home, target))
            elif kind == "vectors":
                vectors.drop_deleted(connection, self._home / "vectors")
            else:
                _remove_all(_files(self._home / BACKUPS))


def note_shards(connection: sa.Connection, memories: sa.ColumnElement[bool]) -> set[str]:
    """Note that the shards of these memories, about to be deleted, must be rewritten. Returns their names."""
    query = sa.select(Memory.fingerprint_id, Memory.shard).where(memories).distinct()
    touched = {f"{row.fingerprint_id}/{row.shard}" for row in connection.execute(query)}
    if touched:
        connection.execute(sa.insert(Removal), [{"kind": "shard", "target": target} for target in touched])
    return touched


def _count(
    connection: sa.Connection, table: type, document_id: str, *blobs: sa.ColumnElement[bytes] | object
) -> tuple[int, int]:
    """Rows of a document in `table`, and the bytes of the given columns."""
    sizes: sa.ColumnElement[int] = sa.literal(0)
    for blob in blobs:
        sizes = sizes + sa.func.coalesce(sa.func.length(blob), 0)
    row = connection.execute(
        sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(sizes), 0)).where(
            sa.inspect(table).columns["document_id"] == document_id
        )
    ).one()
    return row[0], row[1]


def _images(home: Path, document_id: str) -> list[Path]:
    """Cached page images: files, or files of folders, whose name starts with the document's id."""
    found = []
    for path in (home / "pages").glob(f"{document_id}*"):
        found += [path] if path.is_file() else _files(path)
    return found


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []


def _older(path: Path, limit: float) -> bool:
    try:
        return path.stat().st_mtime < limit
    except FileNotFoundError:
        return False


def _remove_all(paths: Iterable[Path]) -> None:
    for path in paths:
        files.remove(path)
