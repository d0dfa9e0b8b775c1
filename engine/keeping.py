"""What a memory keeps of one batch of references: chosen by the format's rule, encoded, layer by layer."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from engine.codec import Encoded, cut, encode, key_value_codecs
from engine.format import MemoryFormat
from engine.memory import ExplicitMemory
from engine.selection import RULES, everything, select


class Kept(NamedTuple):
    """One memory layer: encoded (B, H, K, D) keys and values, and (B, H, K) uint8."""

    keys: Encoded
    values: Encoded
    indices: npt.NDArray[np.uint8]


class Keeping:
    """Collects the memory layers of B references, in the order of the format's layers.

    lengths: tokens of each reference.
    """

    def __init__(self, fmt: MemoryFormat, lengths: Sequence[int]) -> None:
        self.format, self.lengths = fmt, list(lengths)
        self._kept: list[Kept] = []

    def add(self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float) -> None:
        """One layer's queries (B, Hq, T, D) and keys, values (B, H, T, D), raw, padded at the end."""
        if self.format.dense:
            chosen = everything(self.lengths, keys)
        else:
            scores = RULES[self.format.selection](queries, keys, values, self.lengths, scaling)
            chosen = select(scores, self.format.tokens_per_head)  # (B, H, K)
        of_keys, of_values = key_value_codecs(self.format.codec)
        self._kept.append(
            Kept(
                encode(_rows(keys, chosen), of_keys),
                encode(_rows(values, chosen), of_values),
                chosen.to(torch.uint8).cpu().numpy(),
            )
        )

    def memories(self) -> list[ExplicitMemory]:
        """One memory per reference of the batch, in its order."""
        return [self._memory(i, length) for i, length in enumerate(self.lengths)]

    def _memory(self, i: int, length: int) -> ExplicitMemory:
        count = min(length, self.format.tokens_per_head)

        def joined(layers: list[Encoded]) -> Encoded:
            """(L, H, K, ...)"""
            own = [cut(layer, i, count) for layer in layers]
            scales = [scale for _, scale in own if scale is not None]
            return np.stack([numbers for numbers, _ in own]), np.stack(scales) if scales else None

        keys, key_scales = joined([layer.keys for layer in self._kept])
        values, value_scales = joined([layer.values for layer in self._kept])
        indices = np.stack([layer.indices[i, :, :count] for layer in self._kept])
        return ExplicitMemory(keys, values, indices, length, key_scales, value_scales)


def _rows(vectors: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Rows `chosen` (B, H, K) of `vectors` (B, H, R, D): (B, H, K, D).

    Whole rows are moved, which is several times faster than `gather`.
    """
    batch, heads, tokens, dim = vectors.shape
    each = torch.arange(batch, device=chosen.device)[:, None, None] * tokens + chosen
    flat = each * heads + torch.arange(heads, device=chosen.device)[:, None]
    rows = vectors.transpose(1, 2).reshape(-1, dim).index_select(0, flat.flatten())
    return rows.view(batch, heads, -1, dim)
