"""Arrays and headings as database values, and back. Byte order is little-endian on every machine.

boxes: zlib of float32 (4, n), column after column, because neighbours in one column resemble each other.
"""

import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.records import DocumentWarning, PageHeading

_SURROGATE = re.compile("[\ud800-\udfff]")
_COMPRESSION = 1  # level 1 is five times faster than 6 here, for a tenth more bytes


def clean(text: str) -> str:
    """The text with unpaired surrogates, which no database takes, replaced one for one by U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def pack_boxes(boxes: npt.NDArray[np.float32]) -> bytes:
    """(n, 4) float32 to bytes."""
    columns = np.ascontiguousarray(boxes.T, dtype="<f4")  # (4, n)
    return zlib.compress(columns.tobytes(), _COMPRESSION)


def unpack_boxes(data: bytes) -> npt.NDArray[np.float32]:
    """Bytes to (n, 4) float32."""
    columns = np.frombuffer(zlib.decompress(data), dtype="<f4").reshape(4, -1)  # (4, n)
    return np.ascontiguousarray(columns.T, dtype=np.float32)


def pack_uint32(values: npt.ArrayLike) -> bytes:
    return np.ascontiguousarray(values, dtype="<u4").tobytes()


def unpack_uint32(data: bytes) -> npt.NDArray[np.uint32]:
    """Bytes to (n,) uint32."""
    return np.frombuffer(data, dtype="<u4").astype(np.uint32)


def pack_vector(vector: npt.ArrayLike) -> bytes:
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def pack_headings(headings: Sequence[PageHeading]) -> list[list[Any]]:
    return [[heading.start, heading.level, clean(heading.text)] for heading in headings]


def unpack_headings(data: Sequence[Sequence[Any]]) -> tuple[PageHeading, ...]:
    return tuple(PageHeading(start, level, text) for start, level, text in data)


def pack_warning(warning: DocumentWarning) -> dict[str, Any]:
    return {"page": warning.page, "message": clean(warning.message)}


def unpack_warnings(data: Sequence[dict[str, Any]]) -> tuple[DocumentWarning, ...]:
    return tuple(DocumentWarning(entry["page"], entry["message"]) for entry in data)
