"""Frames between processes of one user: a length-prefixed JSON header, then raw array bytes. Never pickle.

    4 bytes magic | 4 bytes header length | 8 bytes body length | header (JSON, UTF-8) | body

The header is {"kind", "fields", "arrays": [[name, dtype, shape]...]}; the body is the arrays, one behind the
other, in C order and this machine's byte order. Sizes are bounded, dtypes are a fixed list, and a frame that
does not add up raises FrameInvalid, after which the connection is of no more use.
"""

import json
import selectors
import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import EngineGone, FrameInvalid

MAGIC = b"ATE1"
HEADER_BYTES = 16 * 2**20
BODY_BYTES = 2**30
FRAME_SECONDS = 60.0  # a frame that was begun must go on; a peer that no longer reads counts as gone
DTYPES = frozenset({"int8", "uint8", "int32", "uint32", "int64", "float16", "float32", "float64"})

_HEAD = struct.Struct("!4sIQ")

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Frame:
    """One message: what it is, its small values and its arrays."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)


class Connection:
    """Frames over one socket, which it owns. One thread receives; any may send or hang up."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.settimeout(FRAME_SECONDS)
        self._selector = selectors.DefaultSelector()
        self._selector.register(sock, selectors.EVENT_READ)
        self._sending = threading.Lock()

    def ready(self, seconds: float | None) -> bool:
        """Whether something (a frame, or the end) has arrived within `seconds`; None waits for ever."""
        return bool(self._selector.select(seconds))

    def send(self, kind: str, fields: Mapping[str, Any] | None = None, arrays: Arrays | None = None) -> None:
        """Raises EngineGone if the other side is, and FrameInvalid if the frame is too large."""
        held = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
        described = [[name, array.dtype.name, list(array.shape)] for name, array in held.items()]
        said = {"kind": kind, "fields": dict(fields or {}), "arrays": described}
        # half a surrogate pair stays half: as an escape, JSON would join it with the next half
        header = json.dumps(said, ensure_ascii=False).encode("utf-8", "surrogatepass")
        body = sum(array.nbytes for array in held.values())
        _check_sizes(len(header), body)
        try:
            with self._sending:
                self._sock.sendall(_HEAD.pack(MAGIC, len(header), body) + header)
                for array in held.values():
                    if array.nbytes:
                        self._sock.sendall(array.reshape(-1).view(np.uint8).data)
        except OSError as error:
            raise EngineGone(_GONE) from error

    def receive(self) -> Frame:
        """The next frame; waits for ever for its beginning. Raises EngineGone or FrameInvalid."""
        self.ready(None)
        magic, header_bytes, body_bytes = _HEAD.unpack(self._read(_HEAD.size))
        if magic != MAGIC:
            raise FrameInvalid("what arrived is not a frame of this protocol; the connection is closed")
        _check_sizes(header_bytes, body_bytes)
        header = bytes(self._read(header_bytes))
        kind, fields, described = _parse(header, body_bytes)
        return Frame(kind, fields, _arrays(self._read(body_bytes), described))

    def hang_up(self) -> None:
        """End the conversation from any thread; whoever receives gets EngineGone and should `close`."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up and free the socket; by the receiving thread."""
        self.hang_up()
        self._selector.close()
        self._sock.close()

    def _read(self, count: int) -> bytearray:
        data = bytearray(count)
        view, done = memoryview(data), 0
        while done < count:
            try:
                got = self._sock.recv_into(view[done:])
            except OSError as error:
                raise EngineGone(_GONE) from error
            if not got:
                raise EngineGone(_GONE)
            done += got
        return data


_GONE = "the process that holds the model ended in the middle of this request; ask again"


def _check_sizes(header: int, body: int) -> None:
    if header > HEADER_BYTES or body > BODY_BYTES:
        raise FrameInvalid(f"a frame of {header} + {body} bytes is over the limit; send less at once")


def _parse(
    header: bytes, body: int
) -> tuple[str, dict[str, Any], list[tuple[str, np.dtype[Any], list[int]]]]:
    try:
        data = json.loads(header.decode("utf-8", "surrogatepass"))
        kind, fields = data["kind"], data["fields"]
        described = [(str(name), str(dtype), list(shape)) for name, dtype, shape in data["arrays"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise FrameInvalid("a frame's header cannot be read; the connection is closed") from None
    if not isinstance(kind, str) or not isinstance(fields, dict):
        raise FrameInvalid("a frame has no kind or no fields; the connection is closed")
    checked = []
    for name, dtype, shape in described:
        sizes_fit = len(shape) <= 8 and all(type(size) is int and 0 <= size <= BODY_BYTES for size in shape)
        if dtype not in DTYPES or not sizes_fit:
            raise FrameInvalid("a frame describes an array that cannot be; the connection is closed")
        checked.append((name, np.dtype(dtype), shape))
    if sum(prod(shape) * dtype.itemsize for _, dtype, shape in checked) != body:
        raise FrameInvalid("a frame's arrays do not fill its body; the connection is closed")
    return kind, fields, checked


def _arrays(
    body: bytearray, described: list[tuple[str, np.dtype[Any], list[int]]]
) -> dict[str, npt.NDArray[Any]]:
    """Copies, so that each is aligned and none keeps the whole body alive."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    first = 0
    for name, dtype, shape in described:
        count = prod(shape)
        arrays[name] = (
            np.frombuffer(body, dtype, count, first).reshape(shape).copy()
            if count
            else np.empty(shape, dtype)
        )
        first += count * dtype.itemsize
    return arrays
