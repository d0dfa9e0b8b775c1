"""The shard files of one bank: written whole, rewritten without what was deleted.

The rows of `memories` say what a shard holds; a shard that holds more than its rows is rewritten until
both agree, whoever changes the rows meanwhile. Files nobody names are swept elsewhere.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy.typing as npt
import sqlalchemy as sa

from storage import files
from storage.database import Database
from storage.errors import StorageError
from storage.schema import Memory
from storage.shard import Entry, Shard, ShardDamaged, write_shard

SUFFIX = ".safetensors"
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

    def write(self, entries: Entries) -> tuple[str, list[Entry]]:
        """A new shard on the disk, which no row names yet. Raises DiskFull, UnsupportedArray, ..."""
        name = uuid4().hex + SUFFIX
        with files.in_our_words("the memory bank"):
            with files.partial(self.folder) as (path, file):
                written = write_shard(file, entries, {"fingerprint": self._fingerprint_id})
            files.settle(path, self.path(name))
        return name, written

    def agree(self, shard: str) -> int:
        """Make `shard` hold exactly the memories whose rows name it. Returns files unlinked or rewritten.

        A shard that cannot be read loses its rows, so that its memories are written anew on first use.
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
                with self._database.write() as connection:
                    connection.execute(sa.delete(Memory).where(*self._of(shard)))
                stored, wanted = None, set()
            if stored is None:
                return changed + self._unlink_unnamed(shard)
            if stored.keys <= wanted:
                return changed
            keep = sorted(stored.keys & wanted, key=int)
            successor, _ = self.write([(key, stored.arrays(key)) for key in keep])
            with self._database.write() as connection:
                moved = connection.execute(
                    sa.update(Memory).where(*self._of(shard), Memory.key.in_(keep)).values(shard=successor)
                ).rowcount
                # What still names the old shard is a memory that it does not hold.
                connection.execute(sa.delete(Memory).where(*self._of(shard)))
            changed += self._unlink_unnamed(shard)
            if not moved:  # another process was first, or all were deleted meanwhile
                self._unlink_unnamed(successor)
                return changed
            shard = successor

    def _unlink_unnamed(self, shard: str) -> int:
        """Unlink the shard unless a row names it; under the write lock, so that none can appear."""
        with self._database.write() as connection, files.in_our_words("the memory bank"):
            named = connection.execute(sa.select(Memory.key).where(*self._of(shard)).limit(1)).first()
            return 0 if named else int(files.remove(self.path(shard)))

    def _of(self, shard: str) -> tuple[sa.ColumnElement[bool], ...]:
        return Memory.fingerprint_id == self._fingerprint_id, Memory.shard == shard
