"""The bytes of one sequence's state, as llama.cpp 0.3.36's bindings (state version of its release) read them.

    u32 magic, i32 sequence
    u32 streams = 1, u32 cells, then per cell: i32 position, u32 sequences = 1, i32 sequence
    u32 transposed, u32 layers
    per layer: i32 type (1 = f16), u64 bytes of a row, rows of keys
    per layer: i32 type, u64 bytes of a row, rows of values                                  (not transposed)
               i32 type, u32 bytes of a number, u32 numbers of a row, columns of values      (transposed)

Source: llama_kv_cache::state_write_meta and state_write_data in llama.cpp's src/llama-kv-cache.cpp. The
layout is no public promise, so `engine.llama.probe` checks it at start-up, not in an answer.
"""

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.errors import MemoryMismatch

_F16 = 1
_CELL = np.dtype([("position", "<i4"), ("sequences", "<u4"), ("sequence", "<i4")])


@dataclass(frozen=True)
class State:
    """Cells of one sequence. positions (C,) int32; keys (rotated, in the model's own order) and values
    (L, C, H * D) float16."""

    positions: npt.NDArray[np.int32]
    keys: npt.NDArray[np.float16]
    values: npt.NDArray[np.float16]


@dataclass(frozen=True)
class Layout:
    """magic: the release's mark, taken from a state that it wrote itself. transposed: values by column, as
    without flash attention. layers, width (H * D): the model's."""

    magic: int
    transposed: bool
    layers: int
    width: int

    def size(self, cells: int) -> int:
        """Bytes of a state."""
        per_layer = 2 * 12 + 2 * 2 * cells * self.width
        return 8 + 8 + _CELL.itemsize * cells + 8 + self.layers * per_layer

    def pack(self, state: State) -> bytes:
        """The bytes for `llama_state_seq_set_data`. Raises MemoryMismatch for arrays of another shape."""
        cells = len(state.positions)
        shape = (self.layers, cells, self.width)
        if state.keys.shape != shape or state.values.shape != shape:
            raise MemoryMismatch(
                f"a memory has rows of shape {state.keys.shape} and {state.values.shape}, this model's cache "
                f"takes {shape} (layers, cells, width); rebuild the bank for this model"
            )
        table = np.zeros(cells, dtype=_CELL)
        table["position"], table["sequences"] = state.positions, 1
        row = 2 * self.width
        parts = [struct.pack("<IiII", self.magic, 0, 1, cells), table.tobytes()]
        parts.append(struct.pack("<II", int(self.transposed), self.layers))
        keys = np.ascontiguousarray(state.keys, dtype="<f2")
        for layer in keys:
            parts += [struct.pack("<iQ", _F16, row), layer.data]
        values = state.values.transpose(0, 2, 1) if self.transposed else state.values
        head = struct.pack("<iII", _F16, 2, self.width) if self.transposed else struct.pack("<iQ", _F16, row)
        for layer in np.ascontiguousarray(values, dtype="<f2"):
            parts += [head, layer.data]
        return b"".join(parts)

    def unpack(self, data: bytes) -> State:
        """Inverse of `pack`. Raises MemoryMismatch for anything that `pack` would not have written."""
        if len(data) < 16:
            raise _refused("it is cut short")
        magic, _, streams, cells = struct.unpack_from("<IiII", data)
        if magic != self.magic or streams != 1:
            raise _refused("it does not begin like one")
        if len(data) != self.size(cells):
            raise _refused(f"{len(data)} bytes where {self.size(cells)} are {cells} cells")
        at = 16
        table = np.frombuffer(data, _CELL, cells, at)
        at += table.nbytes
        if (table["sequences"] != 1).any() or (table["position"] < 0).any():
            raise _refused("its cells belong to several sequences")
        if struct.unpack_from("<II", data, at) != (int(self.transposed), self.layers):
            raise _refused("it has other layers, or its values lie the other way round")
        at += 8
        shape = (cells, self.width)
        row = struct.pack("<iQ", _F16, 2 * self.width)
        keys, at = self._layers(data, at, row, shape)
        if self.transposed:
            row = struct.pack("<iII", _F16, 2, self.width)
            values, at = self._layers(data, at, row, shape[::-1])
            values = values.transpose(0, 2, 1)
        else:
            values, at = self._layers(data, at, row, shape)
        if not (np.isfinite(keys).all() and np.isfinite(values).all()):
            raise _refused("it holds numbers that are not finite")
        return State(table["position"].astype(np.int32), keys, values)

    def _layers(
        self, data: bytes, at: int, head: bytes, shape: tuple[int, int]
    ) -> tuple[npt.NDArray[np.float16], int]:
        found = []
        for _ in range(self.layers):
            if data[at : at + len(head)] != head:
                raise _refused("its rows have another type or size")
            at += len(head)
            found.append(np.frombuffer(data, "<f2", shape[0] * shape[1], at).reshape(shape))
            at += found[-1].nbytes
        return np.stack(found), at


def _refused(why: str) -> MemoryMismatch:
    return MemoryMismatch(f"this is no sequence state that the cache can take: {why}; rebuild the memory")
