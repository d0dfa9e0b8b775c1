"""Whether everything in the store fits together: what `attest memories verify` looks at.

Every memory is read and its sum checked; rows, shards, references, words and originals are counted against
each other. It changes nothing. Other processes may write meanwhile: what looks wrong is looked at again
before it is called a problem.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from storage.database import Database
from storage.originals import Originals
from storage.schema import Bank, Document, Memory, Reference, Removal
from storage.shard import Shard, ShardDamaged, checksum
from storage.shards import FINGERPRINT, Shards

_FIRST = 20  # problems of the database file that are named; more say the same


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and where, as far as it is about one bank, shard, reference or document."""

    message: str
    fingerprint_id: str | None = None
    shard: str | None = None
    reference_id: int | None = None
    document_id: str | None = None


@dataclass(frozen=True)
class BankAudit:
    """One bank. memories: rows. whole: memories that were read and found whole. bytes: of its files."""

    fingerprint_id: str
    memories: int
    whole: int
    shards: int
    bytes: int


@dataclass(frozen=True)
class Audit:
    """What was looked at, and what is wrong."""

    documents: int
    references: int
    banks: tuple[BankAudit, ...]
    problems: tuple[Problem, ...]


class Auditor:
    """identify: the id that a fingerprint should have; banks are not asked for it without."""

    def __init__(
        self,
        database: Database,
        home: Path,
        originals: Originals,
        identify: Callable[[Mapping[str, Any]], str] | None = None,
    ) -> None:
        self._database = database
        self._root = home / "bank"
        self._originals = originals
        self._identify = identify

    def audit(self) -> Audit:
        """Look at everything. Raises StoreUnavailable."""
        problems = [*self._database_file(), *self._rows()]
        with self._database.read() as connection:
            documents = _count(connection, Document)
            references = _count(connection, Reference)
            known = connection.execute(sa.select(Bank).order_by(Bank.created_at)).all()
        banks = []
        for bank in known:
            if self._identify is not None and self._identify(bank.fingerprint) != bank.fingerprint_id:
                message = "what the bank says it was written by is not what its id stands for"
                problems.append(Problem(message, bank.fingerprint_id))
            audit, found = self._bank(bank.fingerprint_id)
            banks.append(audit)
            problems += found
        ids = {bank.fingerprint_id for bank in known}
        folders = {path.name for path in self._root.iterdir() if path.is_dir()}
        problems += [
            Problem("memories of a bank that is not registered", name) for name in sorted(folders - ids)
        ]
        return Audit(documents, references, tuple(banks), tuple(problems))

    def _database_file(self) -> Iterator[Problem]:
        with self._database.read() as connection:
            for message in connection.execute(sa.text(f"PRAGMA quick_check({_FIRST})")).scalars():
                if message != "ok":
                    yield Problem(f"database: {message}")
            for row in connection.execute(sa.text("PRAGMA foreign_key_check")).all()[:_FIRST]:
                yield Problem(f"database: a row of {row[0]} belongs to one of {row[2]} that is gone")
            left = _count(connection, Removal)
            if left:
                yield Problem(f"{left} steps of a delete are not finished; they are when the store is opened")

    def _rows(self) -> Iterator[Problem]:
        with self._database.read() as connection:
            counted = (
                sa.select(Document.id, Document.sha256, Document.reference_count, sa.func.count(Reference.id))
                .outerjoin(Reference, Reference.document_id == Document.id)
                .group_by(Document.id)
            )
            rows = connection.execute(counted).all()
            strangers = connection.execute(
                sa.select(Memory.fingerprint_id, Memory.reference_id)
                .join(Reference, Reference.id == Memory.reference_id)
                .where(Memory.document_id != Reference.document_id)
            ).all()
            wordless = connection.execute(sa.text(_WORDLESS)).scalar_one()
            stray = connection.execute(sa.text(_STRAY)).scalar_one()
        for document_id, sha256, said, found in rows:
            if said != found:
                message = f"the document says {said} references, {found} are stored"
                yield Problem(message, document_id=document_id)
            if not self._originals.path(sha256).is_file():
                yield Problem("the original is gone", document_id=document_id)
        for row in strangers:
            yield Problem(
                "the memory's row names another document than its reference does",
                row.fingerprint_id,
                reference_id=row.reference_id,
            )
        if wordless:
            yield Problem(f"{wordless} references are missing in the full-text index")
        if stray:
            yield Problem(f"{stray} entries of the full-text index have no reference")

    def _bank(self, fingerprint_id: str) -> tuple[BankAudit, list[Problem]]:
        shards = Shards(self._database, self._root, fingerprint_id)
        problems = []
        memories = whole = 0
        named = self._named(fingerprint_id)
        for shard in named:
            rows = self._held(fingerprint_id, shard)
            found = list(_shard(shards, fingerprint_id, shard, rows))
            if found:  # it may have been rewritten, or changed, between the query and the reading
                rows = self._held(fingerprint_id, shard)
                found = list(_shard(shards, fingerprint_id, shard, rows))
            damaged = {problem.reference_id for problem in found if problem.reference_id is not None}
            lost = any(problem.reference_id is None and problem.message in _LOST for problem in found)
            memories += len(rows)
            whole += 0 if lost else len(rows) - len(damaged)
            problems += found
        if shards.unnamed():
            with self._database.write():  # nobody is between a shard's file and its rows now
                problems += [
                    Problem("a shard that no row names", fingerprint_id, shard) for shard in shards.unnamed()
                ]
        size = sum(shards.path(name).stat().st_size for name in shards.names())
        return BankAudit(fingerprint_id, memories, whole, len(named), size), problems

    def _named(self, fingerprint_id: str) -> Sequence[str]:
        query = sa.select(Memory.shard).where(Memory.fingerprint_id == fingerprint_id).distinct()
        with self._database.read() as connection:
            return connection.execute(query.order_by(Memory.shard)).scalars().all()

    def _held(self, fingerprint_id: str, shard: str) -> Sequence[sa.Row[int, str, int, int]]:
        query = sa.select(Memory.reference_id, Memory.key, Memory.bytes, Memory.checksum)
        mine = (Memory.fingerprint_id == fingerprint_id, Memory.shard == shard)
        with self._database.read() as connection:
            return connection.execute(query.where(*mine).order_by(Memory.reference_id)).all()


_GONE = "the shard is gone"
_UNREADABLE = "the shard is not whole"
_LOST = (_GONE, _UNREADABLE)


def _shard(
    shards: Shards, fingerprint_id: str, name: str, rows: Sequence[sa.Row[int, str, int, int]]
) -> Iterator[Problem]:
    if not rows:
        return
    try:
        shard = Shard(shards.path(name))
    except FileNotFoundError:
        yield Problem(_GONE, fingerprint_id, name)
        return
    except (ShardDamaged, OSError):
        yield Problem(_UNREADABLE, fingerprint_id, name)
        return
    if shard.metadata.get(FINGERPRINT) != fingerprint_id:
        yield Problem("the shard was written for another bank", fingerprint_id, name)
    more = len(shard.keys - {row.key for row in rows})
    if more:
        yield Problem(f"the shard holds {more} memories that no row names", fingerprint_id, name)
    for row in rows:
        message = _memory(shard, row.key, row.bytes, row.checksum)
        if message is not None:
            yield Problem(message, fingerprint_id, name, row.reference_id)


def _memory(shard: Shard, key: str, size: int, expected: int) -> str | None:
    if key not in shard.keys:
        return "the shard does not hold it"
    arrays = shard.arrays(key)
    if checksum(arrays) != expected:
        return "its checksum is wrong"
    if sum(array.nbytes for array in arrays.values()) != size:
        return "its size is not what its row says"
    return None


def _count(connection: sa.Connection, table: type) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


_WORDLESS = "SELECT count(*) FROM (SELECT id FROM reference EXCEPT SELECT rowid FROM reference_fts)"
_STRAY = "SELECT count(*) FROM (SELECT rowid FROM reference_fts EXCEPT SELECT id FROM reference)"
