"""The files as people gave them, named by what is in them: originals/<first two hex digits>/<sha256>.

Beside one that is locked with a password may lie a copy that is not, <sha256>.readable.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from storage import files
from storage.errors import OriginalUnreadable

READABLE = ".readable"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Content:
    """What a file holds. bytes: its size."""

    sha256: str
    bytes: int


class Originals:
    """The folder of originals."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, sha256: str) -> Path:
        return self._root / sha256[:2] / sha256

    def readable(self, sha256: str) -> Path:
        """The copy that can be read without a password; the original, if it needs none."""
        copy = self._readable(sha256)
        return copy if copy.is_file() else self.path(sha256)

    def keep_readable(self, source: Path, sha256: str) -> None:
        """Keep a copy that can be read without a password. Raises OriginalUnreadable, DiskFull."""
        with self.copied(source) as (_, copy), files.in_our_words("the store of originals"):
            files.settle(copy, self._readable(sha256))

    def all_of(self, sha256: str) -> list[Path]:
        """The files that are kept of one content."""
        return [path for path in (self.path(sha256), self._readable(sha256)) if path.is_file()]

    def _readable(self, sha256: str) -> Path:
        return self.path(sha256).with_name(sha256 + READABLE)

    def look(self, source: Path) -> tuple[int, int]:
        """When a file was changed last (nanoseconds) and its size. Raises OriginalUnreadable."""
        try:
            found = source.stat()
        except OSError as error:
            raise _unreadable(source, error) from error
        return found.st_mtime_ns, found.st_size

    def identify(self, source: Path) -> Content:
        """Hash a file without keeping it. Raises OriginalUnreadable."""
        digest, size = hashlib.sha256(), 0
        with _readable(source) as file:
            while block := _read(source, file):
                digest.update(block)
                size += len(block)
        return Content(digest.hexdigest(), size)

    @contextmanager
    def copied(self, source: Path) -> Iterator[tuple[Content, Path]]:
        """A flushed copy under a temporary name, for `settle`. Raises OriginalUnreadable, DiskFull."""
        digest, size = hashlib.sha256(), 0
        with (
            files.in_our_words("the store of originals"),
            _readable(source) as file,
            files.partial(self._root) as (path, copy),
        ):
            while block := _read(source, file):
                digest.update(block)
                size += len(block)
                copy.write(block)
            files.complete(copy)
            yield Content(digest.hexdigest(), size), path

    def settle(self, copy: Path, sha256: str) -> None:
        """Give a copy its name. Call it in the transaction that names it, so that no sweep takes it."""
        files.settle(copy, self.path(sha256))


@contextmanager
def _readable(source: Path) -> Iterator[BinaryIO]:
    try:
        file = source.open("rb")
    except OSError as error:
        raise _unreadable(source, error) from error
    with file:
        yield file


def _read(source: Path, file: BinaryIO) -> bytes:
    try:
        return file.read(_BLOCK)
    except OSError as error:
        raise _unreadable(source, error) from error


def _unreadable(source: Path, error: OSError) -> OriginalUnreadable:
    return OriginalUnreadable(f"{source.name} cannot be read: {error.strerror or type(error).__name__}")
