"""Giving disk back: small shards written together, banks that nobody reads dropped, the database shrunk.

Memories that were written one by one, when each was first needed, lie in shards of one; here they come
together again, in the order of their references. Other processes may go on reading and writing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from storage import files
from storage.database import Database
from storage.removal import Remover
from storage.schema import Bank, Memory
from storage.shards import Shards

SHARD_MEMORIES = 64


@dataclass(frozen=True)
class BankCompaction:
    """One bank before and after; a bank that was dropped has nothing after."""

    fingerprint_id: str
    dropped: bool
    shards_before: int
    shards_after: int
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True)
class Compaction:
    """The whole home folder's banks and database before and after."""

    bytes_before: int
    bytes_after: int
    database_bytes_before: int
    database_bytes_after: int
    banks: tuple[BankCompaction, ...]


class Compactor:
    """See the module's words."""

    def __init__(self, database: Database, home: Path, remover: Remover) -> None:
        self._database = database
        self._root = home / "bank"
        self._remover = remover

    def compact(self, drop: Sequence[str] = ()) -> Compaction:
        """Drop these banks, and write the others closer together. Raises BankNotFound, DiskFull."""
        database = self._database_bytes()
        with self._database.read() as connection:
            ids = connection.execute(sa.select(Bank.fingerprint_id).order_by(Bank.created_at)).scalars().all()
        self._remover.check_banks(drop)
        banks = tuple(self._bank(fingerprint_id, fingerprint_id in drop) for fingerprint_id in ids)
        self._remover.finish()
        self._database.shrink()
        after = self._database_bytes()
        return Compaction(
            bytes_before=database + sum(bank.bytes_before for bank in banks),
            bytes_after=after + sum(bank.bytes_after for bank in banks),
            database_bytes_before=database,
            database_bytes_after=after,
            banks=banks,
        )

    def _bank(self, fingerprint_id: str, drop: bool) -> BankCompaction:
        shards = Shards(self._database, self._root, fingerprint_id)
        count, size = len(shards.names()), _bytes(shards)
        if drop:
            self._remover.drop_bank(fingerprint_id)
        else:
            with self._database.read() as connection:
                named = sa.select(Memory.shard).where(Memory.fingerprint_id == fingerprint_id).distinct()
                held = connection.execute(named).scalars().all()
            for shard in held:
                shards.agree(shard, damaged=False)
            shards.merge(SHARD_MEMORIES)
        return BankCompaction(fingerprint_id, drop, count, len(shards.names()), size, _bytes(shards))

    def _database_bytes(self) -> int:
        path = self._database.path
        return files.size(path) + files.size(path.with_name(f"{path.name}-wal"))


def _bytes(shards: Shards) -> int:
    return sum(files.size(shards.path(name)) for name in shards.names())
