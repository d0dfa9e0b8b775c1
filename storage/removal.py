"""Taking a document off the store, wholly.

A delete has two halves. One transaction removes every row and notes in `removals` what still lies in
files; then the files are unlinked, or rewritten without the document, and each note is struck out. A
crash between the halves loses nothing: the notes are worked off when the store is opened next. Deleted
rows are overwritten with zeros (secure_delete), what kept conversations quote of the document is blacked
out (`storage.redaction`), the full-text index is merged (a deletion alone only
marks words there); last of all the write-ahead log is emptied and what SQLite left between rows is
overwritten (`storage.residue`), and only then is the note that asks for it struck out.
"""

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from storage import epochs, files, lexical, redaction, vectors
from storage.database import Database
from storage.errors import BankNotFound, DocumentNotFound, StorageError
from storage.originals import READABLE, Originals
from storage.records import Receipt
from storage.schema import (
    Bank,
    CollectionDocument,
    Document,
    Job,
    Memory,
    Meta,
    Page,
    Reference,
    Removal,
    Source,
)
from storage.shards import Shards
from storage.upgrade import BACKUPS

_log = logging.getLogger(__name__)

SWEEP_AGE_SECONDS = 3600.0
RESIDUE = "residue"  # the note of what is left in the database file and its log
_PATIENCE_AT_OPEN = 1.0


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

    def note_rows(self, connection: sa.Connection) -> None:
        """Note that rows which the caller deletes must be overwritten; `finish` does it afterwards."""
        notes = [{"kind": kind, "target": ""} for kind in ("backups", RESIDUE)]
        connection.execute(sa.insert(Removal), notes)

    def finish(self, seconds: float | None = None) -> None:
        """Work off all notes. What fails is tried again at the next open; the first failure is raised.

        seconds: how long to wait for processes that are reading. Raises StoreUnavailable.
        """
        query = sa.select(Removal.kind, Removal.target, sa.func.max(Removal.id).label("last"))
        with self._database.read() as connection:
            notes = connection.execute(query.group_by(Removal.kind, Removal.target)).all()
        failures: list[StorageError] = []
        for note in notes:
            if note.kind == RESIDUE:
                continue
            try:
                with files.in_our_words("a deleted file"):
                    self._work_off(note.kind, note.target)
            except StorageError as error:
                failures.append(error)
                continue
            with self._database.write() as connection:
                connection.execute(_strike(note.kind, note.target, note.last))
        if notes:
            self._unlink_unfinished()
        for note in notes:
            if note.kind == RESIDUE:
                self._overwrite(note.last, seconds)
        if failures:
            raise failures[0]

    def recover(self) -> None:
        """At open: finish what was interrupted; sweep once an hour. Never keeps the store from opening."""
        try:
            self.finish(_PATIENCE_AT_OPEN)
            self._unlink_unfinished()
            self._sweep_hourly()
        except StorageError as error:
            _log.warning("cleaning the store was put off: %s", type(error).__name__)

    def check_banks(self, fingerprint_ids: Iterable[str]) -> None:
        """Raises BankNotFound, before anything is done to any of them."""
        with self._database.read() as connection:
            known = set(connection.execute(sa.select(Bank.fingerprint_id)).scalars())
        for fingerprint_id in fingerprint_ids:
            if fingerprint_id not in known:
                raise _no_bank(fingerprint_id)

    def drop_bank(self, fingerprint_id: str) -> None:
        """Remove a bank with all its memories, whichever engine wrote them. Raises BankNotFound."""
        with self._database.write() as connection:
            known = connection.execute(
                sa.delete(Bank).where(Bank.fingerprint_id == fingerprint_id)  # its memories cascade
            ).rowcount
            if not known:
                raise _no_bank(fingerprint_id)
            connection.execute(sa.insert(Removal).values(kind="bank", target=fingerprint_id))
        self.finish()

    def sweep(self, older_than: float = SWEEP_AGE_SECONDS) -> int:
        """Unlink files that no row names, if older than `older_than` seconds. Returns how many.

        The age keeps away from files that another process has just written and will name in a moment.
        """
        limit = time.time() - older_than
        gone = self._unlink_unfinished()
        with files.in_our_words("the store"):
            for path in _files(self._home / "originals"):
                gone += self._sweep_file(path, limit, Document.sha256 == path.name.removesuffix(READABLE))
            for path in _files(self._home / "bank"):
                named = sa.and_(Memory.fingerprint_id == path.parent.name, Memory.shard == path.name)
                gone += self._sweep_file(path, limit, named)
            for path in _files(self._home / "vectors"):
                gone += path.name.endswith(files.PARTIAL) and _older(path, limit) and files.remove(path)
            for path in _files(self._home / "pages"):
                name = path.relative_to(self._home / "pages").parts[0]
                gone += self._sweep_file(path, limit, Document.id.in_([name[:16], name[:64]]))
        return gone

    def _unlink_unfinished(self) -> int:
        """Unlink files, of any age, that a crash left before they got a name, or shards before rows."""
        gone = 0
        with files.in_our_words("the store"):
            folders = [path for path in (self._home / "bank").iterdir() if path.is_dir()]
            for folder in (*(self._home / name for name in ("originals", "pages", "codebooks")), *folders):
                for path in folder.glob(f"*{files.PARTIAL}"):
                    gone += files.abandoned(path) and files.remove(path)
        for folder in folders:
            gone += Shards(self._database, self._home / "bank", folder.name).unlink_unnamed()
        return gone

    def _overwrite(self, last: int, seconds: float | None) -> None:
        with self._database.overwritten(seconds) as connection:
            if connection is None:
                _log.warning("deleted rows could not be overwritten now; they will be at the next open")
                return
            connection.execute(_strike(RESIDUE, "", last))

    def _sweep_file(self, path: Path, limit: float, named: sa.ColumnElement[bool]) -> bool:
        if path.name.endswith(files.PARTIAL) or not _older(path, limit):
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
        originals = self._originals.all_of(document.sha256)
        images = _images(self._home, document_id)
        copies = {str(path) for name in ("vectors", BACKUPS) for path in _files(self._home / name)}
        touched = (copies | note_shards(connection, Memory.document_id == document_id)) - shared
        shared |= touched
        notes = [("original", document.sha256), ("pages", document_id)]
        notes += [(kind, "") for kind in ("words", "vectors", "backups", RESIDUE)]
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
        paths, _ = _count(connection, Source, document_id)
        receipt = Receipt(
            document_id,
            rows=1 + pages + vectors + jobs + links + paths,
            vectors=vectors,
            memories=memories[0],
            files=len(originals) + len(images) + len(touched),
            bytes_freed=sum(files.size(path) for path in (*originals, *images))
            + page_bytes
            + vector_bytes
            + memories[1],
        )
        lexical.forget(connection, document_id)
        redaction.black_out(connection, document_id, time.time())
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
                    _remove_all(self._originals.all_of(target))
            elif kind == "pages":
                if not connection.execute(known.where(Document.id == target)).first():
                    _remove_all(_images(self._home, target))
            elif kind == "bank":
                if not connection.execute(known.where(Bank.fingerprint_id == target)).first():
                    _remove_all(_files(self._home / "bank" / target))
                    _remove_all((self._home / "codebooks").glob(f"{target}.*"))
                    with suppress(OSError):  # not empty: something was just written that nothing names yet
                        (self._home / "bank" / target).rmdir()
            elif kind == "vectors":
                vectors.drop_deleted(connection, self._home / "vectors")
            else:
                _remove_all(_files(self._home / BACKUPS))


def _no_bank(fingerprint_id: str) -> BankNotFound:
    return BankNotFound(f"there is no bank {fingerprint_id}; see `attest memories status`")


def _strike(kind: str, target: str, last: int) -> sa.Delete:
    return sa.delete(Removal).where(Removal.kind == kind, Removal.target == target, Removal.id <= last)


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
