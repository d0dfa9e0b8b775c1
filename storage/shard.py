"""One file of arrays, grouped in entries: safetensors, written by us so that an entry lies in one piece.

Format: 8 bytes little-endian header length, JSON header, data
(https://github.com/huggingface/safetensors#format). Tensor names are "<entry key>/<array name>". Arrays
of an entry lie side by side, largest items first, each entry on a 64-byte boundary (filled by uint8
tensors named "<key>/.fill", since the format allows no holes); reading maps the file and copies nothing.
Knows no database and no meaning of the arrays. Never pickle.
"""

import json
import mmap
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from storage.errors import UnsupportedArray

_NAMES = {
    "<f2": "F16",
    "<f4": "F32",
    "<f8": "F64",
    "|i1": "I8",
    "<i2": "I16",
    "<i4": "I32",
    "<i8": "I64",
    "|u1": "U8",
    "<u2": "U16",
    "<u4": "U32",
    "<u8": "U64",
    "|b1": "BOOL",
}
_DTYPES = {name: np.dtype(code) for code, name in _NAMES.items()}
_ALIGN = 64
_FILL = ".fill"
_HEADER_LIMIT = 100_000_000  # the format's own limit


class ShardDamaged(Exception):
    """The file is not a whole shard. Stays inside the room: the bank says which memories it held."""


@dataclass(frozen=True)
class Entry:
    """One entry as written. bytes: of its arrays. checksum: CRC-32 of names, formats, shapes and bytes."""

    key: str
    bytes: int
    checksum: int


def write_shard(
    file: BinaryIO, entries: Sequence[tuple[str, Mapping[str, npt.NDArray[Any]]]], metadata: Mapping[str, str]
) -> list[Entry]:
    """Write all entries into an empty file. Raises UnsupportedArray, OSError."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    pieces: list[npt.NDArray[Any]] = []
    written = []
    end = 0

    def lay(name: str, array: npt.NDArray[Any]) -> None:
        nonlocal end
        header[name] = {
            "dtype": _NAMES[array.dtype.str],
            "shape": list(array.shape),
            "data_offsets": [end, end + array.nbytes],
        }
        pieces.append(array)
        end += array.nbytes

    for key, arrays in entries:
        laid = _lay_out(arrays)
        for name, array in laid.items():
            lay(f"{key}/{name}", array)
        if end % _ALIGN:
            lay(f"{key}/{_FILL}", np.zeros(_ALIGN - end % _ALIGN, np.uint8))
        written.append(Entry(key, sum(array.nbytes for array in laid.values()), checksum(laid)))

    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % _ALIGN)
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for array in pieces:
        file.write(_octets(array))
    return written


def checksum(arrays: Mapping[str, npt.NDArray[Any]]) -> int:
    """CRC-32 over names, number formats, shapes and bytes, independent of the arrays' order."""
    crc = 0
    for name in sorted(arrays):
        array = arrays[name]
        crc = zlib.crc32(f"{name}:{_NAMES[array.dtype.str]}:{array.shape};".encode(), crc)
        crc = zlib.crc32(_octets(array), crc)
    return crc


class Shard:
    """A shard mapped into memory. Arrays stay valid after the shard object is gone."""

    def __init__(self, path: Path) -> None:
        """Raises FileNotFoundError, OSError, ShardDamaged."""
        with path.open("rb") as file:
            try:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as error:  # an empty file cannot be mapped
                raise ShardDamaged("the file is empty") from error
        self.metadata, self._entries = _parse(self._map)

    @property
    def keys(self) -> set[str]:
        return set(self._entries)

    def arrays(self, key: str) -> dict[str, npt.NDArray[Any]]:
        """The entry's arrays: read-only views of the file. Raises KeyError."""
        return {
            name: np.ndarray(shape, dtype, buffer=self._map, offset=offset)
            for name, dtype, shape, offset in self._entries[key]
        }


_Place = tuple[str, np.dtype[Any], tuple[int, ...], int]


def _parse(data: mmap.mmap) -> tuple[dict[str, str], dict[str, list[_Place]]]:
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(_HEADER_LIMIT, len(data) - 8):
        raise ShardDamaged("the header is cut off")
    base = 8 + length
    entries: dict[str, list[_Place]] = {}
    try:
        header = json.loads(data[8:base])
        metadata = dict(header.pop("__metadata__", {}))
        for name, tensor in header.items():
            key, _, array = name.partition("/")
            dtype, shape = _DTYPES[tensor["dtype"]], tuple(int(side) for side in tensor["shape"])
            start, end = tensor["data_offsets"]
            count = 1
            for side in shape:
                count *= side
            if start < 0 or min(shape, default=0) < 0 or end - start != count * dtype.itemsize:
                raise ShardDamaged("a tensor's size disagrees with its shape")
            if base + end > len(data):
                raise ShardDamaged("the file is cut off")
            place = entries.setdefault(key, [])
            if array != _FILL:
                place.append((array, dtype, shape, base + start))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ShardDamaged("the header is not readable") from error
    return metadata, entries


def _lay_out(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Contiguous, little-endian, largest items first so that every array is aligned to its items."""
    if not arrays:
        raise UnsupportedArray("an entry needs at least one array")
    ready = {}
    for name, array in arrays.items():
        little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        if little.dtype.str not in _NAMES or "/" in name or name == _FILL:
            raise UnsupportedArray(
                f"array {name!r} has number format {array.dtype}; a shard holds integers, booleans and "
                "floats of 16 to 64 bits under names without '/'"
            )
        ready[name] = little
    return dict(sorted(ready.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])))


def _octets(array: npt.NDArray[Any]) -> memoryview:
    """The array's bytes; without a copy unless it is empty or has no sides, which a view refuses."""
    if not array.size or not array.ndim or sys.byteorder == "big":
        return memoryview(array.tobytes())
    return np.ascontiguousarray(array).view(np.uint8).data.cast("B")
