"""Memories on the disk: named arrays per reference and fingerprint, found again in milliseconds.

A memory is a dict of arrays; what they mean is the engine's business. `Banks` knows all banks of the
store, `Bank` is the one that fits one engine. Several processes may write the same bank: the first
memory of a reference stays, later ones are dropped.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from storage import epochs
from storage.database import Database
from storage.errors import FingerprintConflict, MemoryCorrupt
from storage.records import Arrays, BankStatus, MemoryProblem
from storage.schema import Bank as BankTable
from storage.schema import Memory, Reference
from storage.shard import Shard, ShardDamaged, checksum
from storage.shards import Shards, note

OPEN_SHARDS = 128

_Place = sa.Row[int, str, str, int]  # reference id, shard, key, checksum


class Bank:
    """The memories of one fingerprint. Safe to share between threads."""

    def __init__(
        self, database: Database, root: Path, fingerprint_id: str, fingerprint: Mapping[str, Any]
    ) -> None:
        self.fingerprint_id = fingerprint_id
        self._fingerprint = dict(fingerprint)
        self._database = database
        self._shards = Shards(database, root, fingerprint_id)
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Shard] = OrderedDict()
        self._verified: set[tuple[str, str]] = set()
        self._epoch = -1

    def write(self, items: Sequence[tuple[int, Arrays]]) -> int:
        """Keep memories: (reference id, arrays) each. One call makes one shard file.

        References that have a memory already, or were deleted meanwhile, are skipped. Returns how many
        were kept. Raises DiskFull, UnsupportedArray, StoreUnavailable.
        """
        wanted = self._without_memory([reference_id for reference_id, _ in items])
        fresh = {reference_id: arrays for reference_id, arrays in items if reference_id in wanted}
        if not fresh:
            return 0
        with self._shards.draft([(str(key), arrays) for key, arrays in fresh.items()]) as draft:
            shard = draft.name
            try:
                with self._database.write() as connection:
                    draft.settle()
                    register(connection, self.fingerprint_id, self._fingerprint)
                    for entry in draft.entries:
                        connection.execute(_KEEP, self._row(shard, entry.key, entry.bytes, entry.checksum))
                    kept = connection.execute(
                        sa.select(sa.func.count())
                        .where(*self._mine(), Memory.shard == shard)
                        .select_from(Memory)
                    ).scalar_one()
                    if kept < len(draft.entries):
                        note(connection, self.fingerprint_id, shard)
            finally:  # the rows decide, also about what was interrupted just before or after they were kept
                self._shards.agree(shard)
        return kept

    def read(self, reference_ids: Sequence[int]) -> dict[int, dict[str, npt.NDArray[Any]]]:
        """Memories of those references that have one.

        Arrays are read-only views of the mapped file: copy before changing them. The first read of a
        memory in this process checks its sum. Raises MemoryCorrupt, StoreUnavailable.
        """
        found: dict[int, dict[str, npt.NDArray[Any]]] = {}
        damaged: dict[int, str] = {}
        for attempt in range(2):  # a shard may be rewritten between our query and our opening it
            damaged.clear()
            for row in self._rows([key for key in reference_ids if key not in found]):
                try:
                    found[row.reference_id] = self._load(row)
                except FileNotFoundError:
                    damaged[row.reference_id] = f"its shard {row.shard} is gone"
                except (ShardDamaged, OSError) as error:
                    damaged[row.reference_id] = f"shard {row.shard}: {error}"
            if not damaged or attempt:
                break
        if damaged:
            raise _corrupt(damaged)
        return {key: found[key] for key in reference_ids if key in found}

    def recode(self, reference_ids: Sequence[int], code: Callable[[Arrays], Arrays | None]) -> int:
        """Keep memories in another form, atomically: whoever reads meanwhile gets one form or the other.

        code: the new arrays of a memory from those that are there, None to leave it. Returns how many were
        changed; what is deleted or written anew meanwhile is left alone. Raises MemoryCorrupt, DiskFull, ...
        """
        places = {row.reference_id: row.shard for row in self._rows(reference_ids)}
        read = self.read(list(places))
        coded = {key: new for key, arrays in read.items() if (new := code(arrays)) is not None}
        if not coded:
            return 0
        changed = 0
        with self._shards.draft([(str(key), arrays) for key, arrays in coded.items()]) as draft:
            touched = {draft.name, *(places[key] for key in coded)}
            try:
                with self._database.write() as connection:
                    draft.settle()
                    for entry in draft.entries:
                        key = int(entry.key)
                        same = (*self._mine(), Memory.reference_id == key, Memory.shard == places[key])
                        values = {"shard": draft.name, "bytes": entry.bytes, "checksum": entry.checksum}
                        changed += connection.execute(
                            sa.update(Memory).where(*same).values(**values)
                        ).rowcount
                    for name in touched:
                        note(connection, self.fingerprint_id, name)
            finally:  # the rows decide, as in `write`
                for name in touched:
                    self._shards.agree(name)
                self.release()
        return changed

    def references(self) -> list[int]:
        """All references that have a memory, ascending."""
        with self._database.read() as connection:
            query = sa.select(Memory.reference_id).where(*self._mine()).order_by(Memory.reference_id)
            return list(connection.execute(query).scalars())

    def has(self, reference_ids: Iterable[int]) -> set[int]:
        """Those of the references that have a memory."""
        return {row.reference_id for row in self._rows(list(reference_ids))}

    def count(self) -> int:
        with self._database.read() as connection:
            return connection.execute(
                sa.select(sa.func.count()).select_from(Memory).where(*self._mine())
            ).scalar_one()

    def discard(self, reference_ids: Iterable[int]) -> int:
        """Forget memories (to write them anew) and take them off the disk. Returns how many there were."""
        ids = list(reference_ids)
        with self._database.write() as connection:
            gone = connection.execute(
                sa.delete(Memory).where(*self._mine(), Memory.reference_id.in_(ids)).returning(Memory.shard)
            ).all()
            shards = {row.shard for row in gone}
            for shard in shards:
                note(connection, self.fingerprint_id, shard)
        self.release()
        for shard in shards:
            self._shards.agree(shard)
        return len(gone)

    def verify(self) -> list[MemoryProblem]:
        """Read every memory and check its sum."""
        with self._database.read() as connection:
            rows = connection.execute(_ROWS.where(*self._mine()).order_by(Memory.shard)).all()
        problems = []
        self.release()
        for row in rows:
            try:
                self._load(row)
            except FileNotFoundError:
                problems.append(MemoryProblem(row.reference_id, row.shard, "the shard is gone"))
            except (ShardDamaged, OSError) as error:
                problems.append(MemoryProblem(row.reference_id, row.shard, str(error)))
        return problems

    def release(self) -> None:
        """Let go of all mapped shards (arrays handed out stay valid)."""
        with self._lock:
            self._open.clear()
            self._verified.clear()

    def _rows(self, reference_ids: Sequence[int]) -> Sequence[_Place]:
        with self._database.read() as connection:
            epoch = epochs.read(connection).index
            rows = connection.execute(
                _ROWS.where(*self._mine(), Memory.reference_id.in_(reference_ids))
            ).all()
        if epoch != self._epoch:  # something was deleted: do not keep its shard alive by mapping it
            self.release()
            self._epoch = epoch
        return rows

    def _load(self, row: _Place) -> dict[str, npt.NDArray[Any]]:
        """Raises FileNotFoundError, OSError, ShardDamaged."""
        shard = self._shard(row.shard)
        try:
            arrays = shard.arrays(row.key)
        except KeyError:
            raise ShardDamaged("the shard does not hold it") from None
        if (row.shard, row.key) not in self._verified:
            if checksum(arrays) != row.checksum:
                raise ShardDamaged("its checksum is wrong")
            self._verified.add((row.shard, row.key))
        return arrays

    def _shard(self, name: str) -> Shard:
        with self._lock:
            shard = self._open.pop(name, None) or Shard(self._shards.path(name))
            self._open[name] = shard
            while len(self._open) > OPEN_SHARDS:
                self._open.popitem(last=False)
        return shard

    def _without_memory(self, reference_ids: Sequence[int]) -> set[int]:
        with self._database.read() as connection:
            there = sa.select(Memory.reference_id).where(*self._mine())
            query = sa.select(Reference.id).where(Reference.id.in_(reference_ids), Reference.id.not_in(there))
            return set(connection.execute(query).scalars())

    def _mine(self) -> tuple[sa.ColumnElement[bool], ...]:
        return (Memory.fingerprint_id == self.fingerprint_id,)

    def _row(self, shard: str, key: str, size: int, checksum: int) -> dict[str, Any]:
        return {
            "wanted": int(key),
            "fingerprint": self.fingerprint_id,
            "shard_name": shard,
            "entry": key,
            "size": size,
            "crc": checksum,
        }


class Banks:
    """All banks of the store."""

    def __init__(self, database: Database, root: Path) -> None:
        self._database = database
        self._root = root
        self._lock = threading.Lock()
        self._banks: dict[str, Bank] = {}

    def open(self, fingerprint_id: str, fingerprint: Mapping[str, Any]) -> Bank:
        """The bank of this fingerprint, registered if it is new. Raises FingerprintConflict."""
        with self._lock:
            bank = self._banks.get(fingerprint_id)
            if bank is None:
                bank = Bank(self._database, self._root, fingerprint_id, fingerprint)
            with self._database.write() as connection:
                register(connection, fingerprint_id, fingerprint)
            return self._banks.setdefault(fingerprint_id, bank)

    def status(self) -> list[BankStatus]:
        """Every bank, newest first."""
        with self._database.read() as connection:
            banks = connection.execute(sa.select(BankTable).order_by(BankTable.created_at.desc())).all()
            shards: dict[str, list[sa.Row[str, str, int, int]]] = {}
            for row in connection.execute(_SHARD_SIZES):
                shards.setdefault(row.fingerprint_id, []).append(row)
        return [
            BankStatus(
                bank.fingerprint_id,
                bank.fingerprint,
                bank.created_at,
                memories=sum(row.memories for row in shards.get(bank.fingerprint_id, [])),
                bytes=sum(row.size for row in shards.get(bank.fingerprint_id, [])),
                shards=len(shards.get(bank.fingerprint_id, [])),
                missing=sum(
                    not (self._root / bank.fingerprint_id / row.shard).is_file()
                    for row in shards.get(bank.fingerprint_id, [])
                ),
            )
            for bank in banks
        ]

    def verify(self, fingerprint_id: str) -> list[MemoryProblem]:
        """Read every memory of one bank and check its sum."""
        return Bank(self._database, self._root, fingerprint_id, {}).verify()

    def release(self) -> None:
        """Let go of all mapped shards of all banks opened here."""
        with self._lock:
            for bank in self._banks.values():
                bank.release()


def register(connection: sa.Connection, fingerprint_id: str, fingerprint: Mapping[str, Any]) -> None:
    """Make sure that the bank has its row. Raises FingerprintConflict."""
    connection.execute(
        insert(BankTable)
        .values(fingerprint_id=fingerprint_id, fingerprint=dict(fingerprint), created_at=time.time())
        .on_conflict_do_nothing()
    )
    known = connection.execute(
        sa.select(BankTable.fingerprint).where(BankTable.fingerprint_id == fingerprint_id)
    ).scalar_one()
    if known != dict(fingerprint):
        raise FingerprintConflict(
            f"bank {fingerprint_id} was written with another fingerprint; rebuild it with this engine"
        )


def _corrupt(damaged: Mapping[int, str]) -> MemoryCorrupt:
    first, why = next(iter(damaged.items()))
    more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
    return MemoryCorrupt(
        f"the memory of reference {first}{more} is damaged ({why}); run `attest memories rebuild`",
        tuple(damaged),
    )


_ROWS = sa.select(Memory.reference_id, Memory.shard, Memory.key, Memory.checksum)

_SHARD_SIZES = sa.select(
    Memory.fingerprint_id,
    Memory.shard,
    sa.func.count().label("memories"),
    sa.func.sum(Memory.bytes).label("size"),
).group_by(Memory.fingerprint_id, Memory.shard)

# One statement decides: only for a reference that still exists, and only if no other process was first.
_KEEP = (
    insert(Memory)
    .from_select(
        ["reference_id", "fingerprint_id", "document_id", "shard", "key", "bytes", "checksum"],
        sa.select(
            Reference.id,
            sa.bindparam("fingerprint", type_=sa.String),
            Reference.document_id,
            sa.bindparam("shard_name", type_=sa.String),
            sa.bindparam("entry", type_=sa.String),
            sa.bindparam("size", type_=sa.Integer),
            sa.bindparam("crc", type_=sa.Integer),
        ).where(Reference.id == sa.bindparam("wanted")),
    )
    .on_conflict_do_nothing()
)
