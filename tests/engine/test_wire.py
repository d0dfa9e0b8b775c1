"""Frames: what is sent arrives, and what does not add up is refused without harm."""

import json
import socket

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import packets
from engine.errors import EngineGone, FrameInvalid
from engine.memory import ExplicitMemory
from engine.protocol import KeyedMemory
from engine.wire import _HEAD, BODY_BYTES, MAGIC, Connection, Frame


def test_memories_of_every_codec_cross() -> None:
    rng = np.random.default_rng(0)
    whole = ExplicitMemory(
        rng.integers(-127, 127, (3, 2, 5, 8)).astype(np.int8),
        rng.integers(-127, 127, (3, 2, 5, 8)).astype(np.int8),
        rng.integers(0, 9, (3, 2, 5)).astype(np.uint8),
        9,
        rng.random((3, 2, 5), dtype=np.float32),
        rng.random((3, 2, 5), dtype=np.float32),
    )
    half = ExplicitMemory(whole.keys.astype(np.float16), whole.values.astype(np.float16), whole.indices, 9)
    left, right = (Connection(sock) for sock in socket.socketpair())
    left.send("memories", *packets.keyed_out([KeyedMemory(3, whole), KeyedMemory(-1, half)]))
    arrived = packets.keyed_in(right.receive())
    assert [each.key for each in arrived] == [3, -1]
    for sent, got in zip((whole, half), arrived, strict=True):
        assert sent.to_arrays().keys() == got.memory.to_arrays().keys()
        for name, array in sent.to_arrays().items():
            np.testing.assert_array_equal(array, got.memory.to_arrays()[name])
    left.close()
    with pytest.raises(EngineGone):
        right.receive()
    right.close()


def raw(header: bytes, body: bytes = b"", magic: bytes = MAGIC) -> bytes:
    return _HEAD.pack(magic, len(header), len(body)) + header + body


def described(*arrays: object, kind: object = "x", values: object = None) -> bytes:
    return json.dumps({"kind": kind, "fields": values or {}, "arrays": list(arrays)}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        raw(b"{}"),
        raw(b"[]"),
        raw(b"\xff"),
        raw(b"[" * 100_000),
        raw(described(kind=3)),
        raw(described(values=[1])),
        raw(described(), b"more"),
        raw(described(["a", "float32", [2]]), bytes(4)),
        raw(described(["a", "object", [1]]), bytes(8)),
        raw(described(["a", "float32", [-1]]), bytes(4)),
        raw(described(["a", "float32", [True]]), bytes(4)),
        raw(described(["a", "uint8", [2**62, 4]])),
        raw(described(["a", "uint8"])),
        _HEAD.pack(MAGIC, 2**31, 0),
        _HEAD.pack(MAGIC, 2, BODY_BYTES + 1),
    ],
)
def test_a_frame_that_does_not_add_up(data: bytes) -> None:
    sending, receiving = socket.socketpair()
    with sending:
        sending.sendall(data)
        connection = Connection(receiving)
        with pytest.raises(FrameInvalid):
            connection.receive()
        connection.close()


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_refused(data: bytes, headed: bool) -> None:
    sending, receiving = socket.socketpair()
    connection = Connection(receiving)
    with sending:
        sending.sendall(raw(data) if headed else data)
    with pytest.raises((FrameInvalid, EngineGone)):
        connection.receive()  # no such bytes are a whole frame
    connection.close()


def test_a_frame_over_the_limit_is_not_sent() -> None:
    left, right = (Connection(sock) for sock in socket.socketpair())
    with pytest.raises(FrameInvalid, match="over the limit"):
        left.send("x", {"text": "y" * 2**24})
    left.send("x")
    assert right.receive() == Frame("x")
    left.close()
    right.close()
