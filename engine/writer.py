"""References become explicit memories (Memory^3, sections 3.1 and 3.3).

Each reference is encoded alone behind the shared prefix, no training involved. Per memory layer and
key-value head the format's rule picks the tokens that are kept; nothing of the prefix is. References
run in batches bounded by a token budget, longest first, so that padding is small and memory use flat.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from engine.codec import Encoded, encode
from engine.errors import MemoryMismatch
from engine.format import REFERENCE_TOKENS, MemoryFormat
from engine.memory import ExplicitMemory
from engine.rotary import rotate
from engine.selection import RULES, select
from engine.transformer import Transformer

TOKEN_BUDGET = 2048  # tokens per batch: large enough to keep matrix units busy, small enough for any laptop


class Kept(NamedTuple):
    """What one memory layer keeps of a batch: encoded (B, H, K, D) keys and values, and (B, H, K) uint8."""

    keys: Encoded
    values: Encoded
    indices: npt.NDArray[np.uint8]


class WritePass:
    """Attention of references behind the prefix, keeping each memory layer's selected keys and values."""

    def __init__(self, transformer: Transformer, fmt: MemoryFormat, lengths: list[int]) -> None:
        longest, device = max(lengths), transformer.device
        prefix = len(transformer.prefix)
        self.format = fmt
        self.lengths = lengths
        self.prefix_keys, self.prefix_values = transformer.prefix_kv
        self.cos, self.sin = transformer.angles(torch.arange(prefix, prefix + longest, device=device))
        self.valid = torch.arange(longest, device=device) < torch.tensor(lengths, device=device)[:, None]
        # causal over the reference, everything sees the prefix; padding comes last, so nothing sees it
        self.mask = torch.ones(longest, prefix + longest, dtype=torch.bool, device=device).tril(prefix)
        self.kept: list[Kept] = []

    def attend(
        self, layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        if layer in self.format.layers:
            self._keep(queries, keys, values, scaling)
        batch = keys.shape[0]
        prefix_keys = self.prefix_keys[layer].expand(batch, -1, -1, -1)
        prefix_values = self.prefix_values[layer].expand(batch, -1, -1, -1)
        return nn.functional.scaled_dot_product_attention(
            rotate(queries, self.cos, self.sin),
            torch.cat((prefix_keys, rotate(keys, self.cos, self.sin)), dim=2),
            torch.cat((prefix_values, values), dim=2),
            attn_mask=self.mask,
            scale=scaling,
            enable_gqa=True,
        )

    def _keep(self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float) -> None:
        if self.format.dense:
            chosen = torch.arange(keys.shape[2], device=keys.device).expand(*keys.shape[:2], -1)
        else:
            scores = RULES[self.format.selection](queries, keys, values, self.valid, scaling)
            chosen = select(scores, self.format.tokens_per_head)  # (B, H, K)
            where = chosen.clamp(max=keys.shape[2] - 1)[..., None].expand(-1, -1, -1, keys.shape[-1])
            keys, values = keys.gather(2, where), values.gather(2, where)
        self.kept.append(
            Kept(
                encode(keys, self.format.codec),
                encode(values, self.format.codec),
                chosen.clamp(max=255).to(torch.uint8).cpu().numpy(),
            )
        )

    def memories(self) -> list[ExplicitMemory]:
        """One memory per reference of the batch, in its order."""
        return [self._memory(i, length) for i, length in enumerate(self.lengths)]

    def _memory(self, i: int, length: int) -> ExplicitMemory:
        count = min(length, self.format.tokens_per_head)

        def joined(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
            return np.stack([array[i, :, :count] for array in arrays])  # (L, H, K, ...)

        def scales(of: list[Encoded]) -> npt.NDArray[np.float32] | None:
            found = [scale for _, scale in of if scale is not None]
            return joined(found) if found else None

        keys, values = [layer.keys for layer in self.kept], [layer.values for layer in self.kept]
        return ExplicitMemory(
            joined([numbers for numbers, _ in keys]),
            joined([numbers for numbers, _ in values]),
            joined([layer.indices for layer in self.kept]),
            length,
            scales(keys),
            scales(values),
        )


def batches(lengths: Sequence[int], token_budget: int) -> Iterator[list[int]]:
    """Indices of references, longest first, in batches whose padded size stays within the budget."""
    batch: list[int] = []
    longest = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) + 1) * longest > token_budget:
            yield batch
            batch = []
        if not batch:
            longest = lengths[i]
        batch.append(i)
    if batch:
        yield batch


def write(
    transformer: Transformer,
    fmt: MemoryFormat,
    references: Sequence[Sequence[int]],
    token_budget: int = TOKEN_BUDGET,
) -> list[ExplicitMemory]:
    """Memories of `references` (token ids), in their order.

    Raises MemoryMismatch for an empty reference or one longer than `REFERENCE_TOKENS`.
    """
    lengths = [len(reference) for reference in references]
    for i, length in enumerate(lengths):
        if not 1 <= length <= REFERENCE_TOKENS:
            raise MemoryMismatch(f"reference {i} has {length} tokens; 1 to {REFERENCE_TOKENS} fit a memory")
    memories: list[ExplicitMemory | None] = [None] * len(references)
    prefix = len(transformer.prefix)
    for batch in batches(lengths, token_budget):
        longest = lengths[batch[0]]
        ids = np.zeros((len(batch), longest), dtype=np.int64)
        for row, i in enumerate(batch):
            ids[row, : lengths[i]] = references[i]
        attest = WritePass(transformer, fmt, [lengths[i] for i in batch])
        positions = torch.arange(prefix, prefix + longest, device=transformer.device)
        transformer.hidden(torch.from_numpy(ids).to(transformer.device), positions, attest)
        for i, memory in zip(batch, attest.memories(), strict=True):
            memories[i] = memory
    return [memory for memory in memories if memory is not None]
