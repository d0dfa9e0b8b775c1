"""Where things lie in a sequence that reads memories, and a memory's cells for that place.

    prefix tokens, all but the last     positions 0 .. P-2
    cells of the memories               position P, all of them
    the prefix's last token             position S-1, where S is the first position of the context
    context                             positions S ..

A cell's position only decides what is masked; the keys were rotated to their true positions before they were
put in. llama.cpp wants the context's first position to follow the sequence's last, whether or not memories
are there, and memories to be droppable by a range of positions: hence the last token of the prefix, whose key
keeps the rotation of P-1, sits in front of the context.
"""

import numpy as np
import numpy.typing as npt

from engine.codec import decode_here
from engine.errors import MemoryMismatch
from engine.format import REFERENCE_TOKENS, MemoryFormat
from engine.llama.layout import State
from engine.memory import ExplicitMemory


class Placing:
    """Rotation and order of keys for one model and format.

    prefix: P, tokens of the shared prefix. frequencies: (D / 2,) radians per position. interleaved: see
    `engine.llama.model.LlamaModel`.
    """

    def __init__(
        self,
        fmt: MemoryFormat,
        prefix: int,
        layers: int,
        heads: int,
        frequencies: npt.NDArray[np.float64],
        *,
        interleaved: bool,
    ) -> None:
        self.format, self.prefix, self.layers, self.heads = fmt, prefix, layers, heads
        self.dim = 2 * len(frequencies)
        self.interleaved = interleaved
        self.start = prefix + fmt.width
        angles = np.arange(self.start)[:, None] * frequencies
        self._cos, self._sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        self._frequencies = frequencies

    @property
    def memory_positions(self) -> tuple[int, int]:
        """The range [first, end) that drops every memory of a sequence."""
        return self.prefix, self.start - 1

    def prefix_state(self, state: State) -> State:
        """The prefix as it was computed at 0 .. P-1, moved to where it sits."""
        positions = np.arange(self.prefix, dtype=np.int32)
        positions[-1] = self.start - 1
        return State(positions, state.keys, state.values)

    def memory_state(self, memory: ExplicitMemory, place: int = 0) -> State:
        """A memory's cells; `place` among those of its chunk matters for serial positions only.

        Raises MemoryMismatch if the memory is not one of this model and format.
        """
        self._check(memory)
        offset = self.prefix + (place * REFERENCE_TOKENS if self.format.positions == "serial" else 0)
        where = memory.indices.astype(np.intp) + offset
        keys = decode_here(memory.keys, memory.key_scales) / np.float32(self.format.temperature)
        first, second = keys[..., : self.dim // 2], keys[..., self.dim // 2 :]
        cos, sin = self._cos[where], self._sin[where]
        real, imaginary = halves(self.dim, interleaved=self.interleaved)
        # cells lie as the cache takes them: keys by row, values by column, as without flash attention
        rows = np.empty((self.layers, memory.tokens, self.heads, self.dim), dtype=np.float16)
        columns = np.empty((self.layers, self.heads, self.dim, memory.tokens), dtype=np.float16)
        rotated = rows.transpose(0, 2, 1, 3)  # (L, H, K, D)
        with np.errstate(over="ignore"):  # what is too large for half precision is refused below
            rotated[..., real] = first * cos - second * sin
            rotated[..., imaginary] = second * cos + first * sin
            columns[...] = decode_here(memory.values, memory.value_scales).transpose(0, 1, 3, 2)
        if not (_finite(rows) and _finite(columns)):
            raise _damaged()
        width = self.heads * self.dim
        keys_of_cells = rows.reshape(self.layers, memory.tokens, width)
        values_of_cells = columns.reshape(self.layers, width, memory.tokens).transpose(0, 2, 1)
        positions = np.full(memory.tokens, self.prefix, dtype=np.int32)
        return State(positions, keys_of_cells, values_of_cells)

    def raw_keys(
        self, rotated: npt.NDArray[np.float32], positions: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Canonical keys or queries before rotation, from the model's rotated ones (T, heads, D)."""
        angles = positions[:, None, None] * self._frequencies
        cos, sin = np.cos(angles), np.sin(angles)
        real, imaginary = halves(self.dim, interleaved=self.interleaved)
        first, second = rotated[..., real], rotated[..., imaginary]
        raw = np.concatenate((first * cos + second * sin, second * cos - first * sin), axis=-1)
        return raw.astype(np.float32)

    def _check(self, memory: ExplicitMemory) -> None:
        tokens = max(1, min(self.format.tokens_per_head, memory.length))
        expected = (self.layers, self.heads, tokens, self.dim)
        if memory.shape != expected or memory.values.shape != memory.keys.shape:
            raise MemoryMismatch(
                f"a memory has shape {memory.shape}, this engine reads {expected} (layers, heads, "
                "tokens, dimension); rebuild the bank for this model and format"
            )
        indices = memory.indices
        ordered = (
            1 <= memory.length <= REFERENCE_TOKENS
            and bool((indices[..., 1:] > indices[..., :-1]).all())
            and int(indices[..., -1].max()) < memory.length
        )
        if not ordered:
            raise _damaged()


def _damaged() -> MemoryMismatch:
    return MemoryMismatch("a memory is damaged; run `attest memories verify`, then rebuild the bank")


def halves(dim: int, *, interleaved: bool) -> tuple[slice, slice]:
    """Where the first and the second number of each rotary pair of a key of `dim` numbers lie."""
    if interleaved:
        return slice(0, dim, 2), slice(1, dim, 2)
    return slice(0, dim // 2), slice(dim // 2, dim)


def _finite(half: npt.NDArray[np.float16]) -> bool:
    """By the exponent's bits, several times faster than numpy's own test of half precision."""
    return not bool(((half.view(np.uint16) & 0x7C00) == 0x7C00).any())
