"""References become explicit memories (Memory^3, sections 3.1 and 3.3).

Each reference is encoded alone behind the shared prefix, no training involved. Per memory layer and
key-value head the format's rule picks the tokens that are kept; nothing of the prefix is.

References are packed one behind the other into batches of exactly `PACK_TOKENS` tokens, the rest of the last
one filled up. Kernels choose how to add numbers up by the shape of a product, so with one shape a memory
depends on its reference alone, to the last bit: written now or in the background, alone or with others
(tests hold this). Packing also leaves no padding where the work is; only attention, a small part of it, runs
on references padded to `REFERENCE_TOKENS`.
"""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import nn

from engine.errors import MemoryMismatch
from engine.format import REFERENCE_TOKENS, MemoryFormat
from engine.keeping import Keeping
from engine.memory import ExplicitMemory
from engine.packing import PACK_TOKENS, packs
from engine.rotary import rotate
from engine.transformer import Transformer


class Written(Exception):
    """Ends a pass early: what comes after the last memory layer would be thrown away."""


class WritePass:
    """Attention of packed references, each behind the prefix, keeping the memory layers' keys and values."""

    def __init__(self, transformer: Transformer, fmt: MemoryFormat, lengths: list[int]) -> None:
        device, prefix = transformer.device, len(transformer.prefix)
        self.format = fmt
        self.lengths = lengths
        self.prefix_keys, self.prefix_values = transformer.prefix_kv
        starts = np.cumsum([0, *lengths[:-1]])
        steps = torch.arange(REFERENCE_TOKENS, device=device)
        counts = torch.tensor(lengths, device=device)[:, None]
        self.valid = steps < counts  # (B, R) with R = REFERENCE_TOKENS
        # column of the pack that each token of each padded reference is, and back
        columns = torch.where(self.valid, torch.tensor(starts, device=device)[:, None] + steps, 0)
        self.columns = columns.flatten()
        self.cells = torch.zeros(PACK_TOKENS, dtype=torch.long, device=device)
        self.cells[: sum(lengths)] = torch.nonzero(self.valid.flatten())[:, 0]
        self.positions = prefix + self.cells % REFERENCE_TOKENS  # (PACK_TOKENS,)
        self.cos, self.sin = transformer.angles(prefix + steps)
        # causal over the reference, everything sees the prefix; padding comes last, so nothing sees it
        shape = (REFERENCE_TOKENS, prefix + REFERENCE_TOKENS)
        self.mask = torch.full(shape, float("-inf"), dtype=transformer.dtype, device=device).triu(prefix + 1)
        self.keeping = Keeping(fmt, lengths)

    def attend(
        self, layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        queries, keys, values = (self._padded(x) for x in (queries, keys, values))
        if layer in self.format.layers:
            self.keeping.add(queries, keys, values, scaling)
            if layer == self.format.layers[-1]:
                raise Written
        batch = keys.shape[0]
        prefix_keys = self.prefix_keys[layer].expand(batch, -1, -1, -1)
        prefix_values = self.prefix_values[layer].expand(batch, -1, -1, -1)
        output = nn.functional.scaled_dot_product_attention(
            rotate(queries, self.cos, self.sin),
            torch.cat((prefix_keys, rotate(keys, self.cos, self.sin)), dim=2),
            torch.cat((prefix_values, values), dim=2),
            attn_mask=self.mask,
            scale=scaling,
            enable_gqa=True,
        )
        # rows of all heads lie together in memory on both sides, so whole rows are moved
        rows = output.transpose(1, 2).flatten(2).flatten(0, 1)  # (B * R, Hq * D)
        moved = rows.index_select(0, self.cells)  # (PACK_TOKENS, Hq * D)
        return moved.view(1, PACK_TOKENS, output.shape[1], -1).transpose(1, 2)

    def _padded(self, packed: torch.Tensor) -> torch.Tensor:
        """(1, heads, PACK_TOKENS, D) -> (B, heads, REFERENCE_TOKENS, D)."""
        _, heads, _, dim = packed.shape
        rows = packed[0].transpose(0, 1).flatten(1).index_select(0, self.columns)
        return rows.view(len(self.lengths), REFERENCE_TOKENS, heads, dim).transpose(1, 2)


def write(
    transformer: Transformer, fmt: MemoryFormat, references: Sequence[Sequence[int]]
) -> list[ExplicitMemory]:
    """Memories of `references` (token ids), in their order.

    Raises MemoryMismatch for an empty reference or one longer than `REFERENCE_TOKENS`.
    """
    lengths = checked_lengths(references)
    memories: list[ExplicitMemory] = []
    for pack in packs(lengths):
        ids = torch.zeros(1, PACK_TOKENS, dtype=torch.long)
        packed = np.concatenate([np.asarray(references[i], dtype=np.int64) for i in pack])
        ids[0, : len(packed)] = torch.from_numpy(packed)
        attest = WritePass(transformer, fmt, [lengths[i] for i in pack])
        with suppress(Written):
            transformer.hidden(ids.to(transformer.device), attest.positions, attest)
        memories += attest.keeping.memories()
    return memories


def checked_lengths(references: Sequence[Sequence[int]]) -> list[int]:
    """Tokens of each reference. Raises MemoryMismatch if one is empty or too long for a memory."""
    lengths = [len(reference) for reference in references]
    for i, length in enumerate(lengths):
        if not 1 <= length <= REFERENCE_TOKENS:
            raise MemoryMismatch(f"reference {i} has {length} tokens; 1 to {REFERENCE_TOKENS} fit a memory")
    return lengths
