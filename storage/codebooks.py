"""One file of arrays that belongs to a whole bank: what its memories were coded with.

The first one that is kept for a fingerprint stays, whichever process made it, since memories that lie on the
disk need it to be read. It is written whole, flushed, and only then linked to its name; it carries its own
checksum and the fingerprint that it is for. Safetensors, never pickle. Knows no meaning of the arrays.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from storage import files
from storage.errors import CodebookDamaged, StorageError
from storage.shard import Shard, ShardDamaged, checksum, write_shard
from storage.shards import SAFE, SUFFIX

_KEY = "codebook"


class Codebooks:
    """The folder of them, one file to a fingerprint."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, fingerprint_id: str) -> Path:
        if not SAFE.fullmatch(fingerprint_id):
            raise StorageError(f"{fingerprint_id!r} cannot name a bank; use letters, digits, '-' and '_'")
        return self._folder / f"{fingerprint_id}{SUFFIX}"

    def read(self, fingerprint_id: str) -> dict[str, npt.NDArray[Any]] | None:
        """The arrays, read-only views of the mapped file; None if the bank has none.

        Raises CodebookDamaged, StoreUnavailable.
        """
        path = self.path(fingerprint_id)
        with files.in_our_words("a codebook"):
            try:
                shard = Shard(path)
            except FileNotFoundError:
                return None
            except ShardDamaged as error:
                raise _damaged(path, str(error)) from None
        if shard.keys != {_KEY}:
            raise _damaged(path, "it holds something else")
        arrays = shard.arrays(_KEY)
        if shard.metadata.get("fingerprint") != fingerprint_id:
            raise _damaged(path, "it belongs to another bank")
        if shard.metadata.get("checksum") != str(checksum(arrays)):
            raise _damaged(path, "its checksum is wrong")
        return arrays

    def discard(self, fingerprint_id: str) -> bool:
        """Unlink it, for memories that will all be written anew. Returns False if there was none."""
        with files.in_our_words("a codebook"):
            return files.remove(self.path(fingerprint_id))

    def keep(self, fingerprint_id: str, arrays: Mapping[str, npt.NDArray[Any]]) -> bool:
        """Returns False if there is one already, which stays. Raises DiskFull, UnsupportedArray, ..."""
        path = self.path(fingerprint_id)
        described = {"fingerprint": fingerprint_id, "checksum": str(checksum(arrays))}
        with files.in_our_words("a codebook"):
            with files.partial(self._folder) as (written, file):
                write_shard(file, [(_KEY, arrays)], described)
                files.complete(file)
                try:
                    os.link(written, path)  # unlike a rename, it never replaces what is there
                except FileExistsError:
                    return False
            files.flush_folder(self._folder)
        return True


def _damaged(path: Path, why: str) -> CodebookDamaged:
    return CodebookDamaged(
        f"{path.parent.name}/{path.name} is damaged ({why}), so the memories coded with it cannot be read; "
        "put it back from a backup, or run `attest memories rebuild`"
    )
