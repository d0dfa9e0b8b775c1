"""Where a reader takes its bytes from: a file on disk, or one that came inside another (an attachment).

The reading process may not write, so what is unpacked stays in memory; `Held` offers what readers use of a
Path. `sniff` and the readers take either.
"""

import io
from pathlib import PurePath
from typing import IO, Literal, Protocol


class Source(Protocol):
    """The part of pathlib.Path that readers use."""

    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    def read_bytes(self) -> bytes: ...

    def open(self, mode: Literal["rb"], /) -> IO[bytes]: ...


class Held:
    """A file in memory under the name that the file around it gives it."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.suffix = PurePath(name).suffix
        self._data = data

    def read_bytes(self) -> bytes:
        return self._data

    def open(self, mode: Literal["rb"], /) -> IO[bytes]:
        return io.BytesIO(self._data)
