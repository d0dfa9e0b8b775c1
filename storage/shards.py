"""The shard files of one bank: written whole, rewritten without what was deleted.

The rows of `memories` say what a shard holds; a shard that holds more than its rows is rewritten until
both agree, whoever changes the rows meanwhile. Files nobody names are swept elsewhere.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy.typing as npt
import sqlalchemy as sa

from storage import files
from storage.database import Database
from storage.errors import StorageError
from storage.schema import Memory, Removal
from storage.shard import Entry, Shard, ShardDamaged, write_shard

SUFFIX = ".safetensors"
FINGERPRINT = "fingerprint"  # in a shard's metadata: the bank it was written for
SAFE = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")

Entries = Sequence[tuple[str, Mapping[str, npt.NDArray[Any]]]]


class Shards:
    """The folder bank/<fingerprint id> and the rows that name its files."""

    def __init__(self, database: Database, root: Path, fingerprint_id: str) -> None:
        if not SAFE.fullmatch(fingerprint_id):
            raise StorageError(f"{fingerprint_id!r} cannot name a bank; use letters, digits, '-' and '_'")
        self._database = database
        self.folder = root / fingerprint_id
        self._fingerprint_id = fingerprint_id

    def path(self, shard: str) -> Path:
        return self.folder / shard

    @contextmanager
    def draft(self, entries: Entries) -> Iterator["Draft"]:
        """A new shard on the disk, without a name until it is settled; gone at the end unless it was.

        Raises DiskFull, UnsupportedArray, ...
        """
        name = uuid4().hex + SUFFIX
        with files.in_our_words("the memory bank"), files.partial(self.folder) as (path, file):
            written = write_shard(file, entries, {FINGERPRINT: self._fingerprint_id})
            files.complete(file)
            yield Draft(name, written, path, self.path(name))

    def agree(self, shard: str, *, damaged: bool = True) -> int:
        """Make `shard` hold exactly the memories whose rows name it. Returns files unlinked or rewritten.

        A shard that cannot be read loses its rows, so that its memories are written anew on first use; or
        stays as it is if not `damaged`.
        """
        changed = 0
        while True:
            with self._database.read() as connection:
                wanted = set(connection.execute(sa.select(Memory.key).where(*self._of(shard))).scalars())
            try:
                stored = Shard(self.path(shard)) if wanted else None
            except FileNotFoundError:
                return changed
            except ShardDamaged:
                if not damaged:
                    return changed
                with self._database.write() as connection:
                    connection.execute(sa.delete(Memory).where(*self._of(shard)))
                stored, wanted = None, set()
            if stored is None:
                return changed + self._unlink_unnamed(shard)
            if stored.keys <= wanted:
                return changed
            keep = sorted(stored.keys & wanted, key=int)
            with (
                self.draft([(key, stored.arrays(key)) for key in keep]) as draft,
                self._database.write() as connection,
            ):
                draft.settle()
                moved = connection.execute(
                    sa.update(Memory).where(*self._of(shard), Memory.key.in_(keep)).values(shard=draft.name)
                ).rowcount
                if moved < len(keep):
                    note(connection, self._fingerprint_id, draft.name)
                # What still names the old shard is a memory that it does not hold.
                connection.execute(sa.delete(Memory).where(*self._of(shard)))
            changed += self._unlink_unnamed(shard)
            if not moved:  # another process was first, or all were deleted meanwhile
                self._unlink_unnamed(draft.name)
                return changed
            shard = draft.name

    def merge(self, size: int) -> int:
        """Write small shards together, up to `size` memories each, the oldest references first.

        Shards that are damaged, or of which another process is just taking memories out, are left as they
        are. Returns how many files there are less.
        """
        with self._database.read() as connection:
            small = connection.execute(_SMALL.where(*self._mine()).having(sa.func.count() <= size // 2)).all()
        less, held = 0, 0
        group: list[str] = []
        for row in [*small, None]:
            if row is None or held + row.memories > size:
                less += self._join(group) if len(group) > 1 else 0
                group, held = [], 0
            if row is not None:
                group.append(row.shard)
                held += row.memories
        return less

    def _join(self, names: Sequence[str]) -> int:
        entries: dict[str, dict[str, npt.NDArray[Any]]] = {}
        joined = []
        for name in names:
            try:
                shard = Shard(self.path(name))
            except (OSError, ShardDamaged):
                continue
            with self._database.read() as connection:
                wanted = set(connection.execute(sa.select(Memory.key).where(*self._of(name))).scalars())
            if wanted and wanted <= shard.keys:
                entries |= {key: shard.arrays(key) for key in wanted}
                joined.append(name)
        if len(joined) < 2:
            return 0
        keep = sorted(entries, key=int)
        with self.draft([(key, entries[key]) for key in keep]) as draft, self._database.write() as connection:
            draft.settle()
            moved = connection.execute(
                sa.update(Memory)
                .where(*self._mine(), Memory.shard.in_(joined), Memory.key.in_(keep))
                .values(shard=draft.name)
            ).rowcount
            if moved < len(keep):
                note(connection, self._fingerprint_id, draft.name)
        for name in (*joined, draft.name):
            self.agree(name)
        return len(joined) - 1

    def names(self) -> set[str]:
        """The shard files on the disk."""
        return {path.name for path in self.folder.glob(f"*{SUFFIX}")} if self.folder.is_dir() else set()

    def unnamed(self) -> set[str]:
        """Files that no row names; one of them may be about to be named."""
        names = json.dumps(sorted(self.names()))
        with self._database.read() as connection:
            parameters = {"bank": self._fingerprint_id, "names": names}
            return set(connection.execute(_UNNAMED, parameters).scalars())

    def unlink_unnamed(self) -> int:
        """Unlink what a crash left between a shard's file and its rows. Returns how many."""
        return sum(self._unlink_unnamed(shard) for shard in self.unnamed())

    def _unlink_unnamed(self, shard: str) -> int:
        """Unlink the shard unless a row names it; under the write lock, so that none can appear."""
        with self._database.write() as connection, files.in_our_words("the memory bank"):
            named = connection.execute(sa.select(Memory.key).where(*self._of(shard)).limit(1)).first()
            return 0 if named else int(files.remove(self.path(shard)))

    def _mine(self) -> tuple[sa.ColumnElement[bool], ...]:
        return (Memory.fingerprint_id == self._fingerprint_id,)

    def _of(self, shard: str) -> tuple[sa.ColumnElement[bool], ...]:
        return *self._mine(), Memory.shard == shard


@dataclass(frozen=True)
class Draft:
    """A shard that is written but not named yet."""

    name: str
    entries: list[Entry]
    path: Path
    target: Path

    def settle(self) -> None:
        """Give it its name, in the transaction that adds its rows: the write lock keeps sweeps away."""
        with files.in_our_words("the memory bank"):
            files.settle(self.path, self.target)


def note(connection: sa.Connection, fingerprint_id: str, shard: str) -> None:
    """Note that a shard holds more than its rows say, so that a crash before it agrees is made good."""
    connection.execute(sa.insert(Removal).values(kind="shard", target=f"{fingerprint_id}/{shard}"))


# One look into an index for each file, however many memories there are.
_UNNAMED = sa.text(
    "SELECT value FROM json_each(:names) WHERE NOT EXISTS "
    "(SELECT 1 FROM memories WHERE fingerprint_id = :bank AND shard = value)"
)

_SMALL = (
    sa.select(Memory.shard, sa.func.count().label("memories"))
    .group_by(Memory.shard)
    .order_by(sa.func.min(Memory.reference_id))
)
