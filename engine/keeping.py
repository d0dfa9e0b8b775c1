"""What a memory keeps of one batch of references: chosen by the format's rule, encoded, layer by layer."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from engine.codec import Encoded, encode
from engine.format import MemoryFormat
from engine.memory import ExplicitMemory
from engine.selection import RULES, select


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
            chosen = torch.arange(keys.shape[2], device=keys.device).expand(*keys.shape[:2], -1)
        else:
            scores = RULES[self.format.selection](queries, keys, values, self.lengths, scaling)
            chosen = select(scores, self.format.tokens_per_head)  # (B, H, K)
            keys, values = _rows(keys, chosen), _rows(values, chosen)
        self._kept.append(
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

        def scales(of: list[Encoded]) -> npt.NDArray[Any] | None:
            found = [scale for _, scale in of if scale is not None]
            return joined(found) if found else None

        keys, values = [layer.keys for layer in self._kept], [layer.values for layer in self._kept]
        return ExplicitMemory(
            joined([numbers for numbers, _ in keys]),
            joined([numbers for numbers, _ in values]),
            joined([layer.indices for layer in self._kept]),
            length,
            scales(keys),
            scales(values),
        )


def _rows(vectors: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Rows `chosen` (B, H, K) of `vectors` (B, H, R, D): (B, H, K, D).

    Whole rows are moved, which is several times faster than `gather`.
    """
    batch, heads, tokens, dim = vectors.shape
    each = torch.arange(batch, device=chosen.device)[:, None, None] * tokens + chosen.clamp(max=tokens - 1)
    flat = each * heads + torch.arange(heads, device=chosen.device)[:, None]
    rows = vectors.transpose(1, 2).reshape(-1, dim).index_select(0, flat.flatten())
    return rows.view(batch, heads, -1, dim)
