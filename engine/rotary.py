"""Rotary position embedding, taken out of the model's hands and applied where memories need it.

A memory keeps its keys *before* rotation, and the scores that select its tokens use raw queries and keys
(Memory^3, section 3.3). Transformers rotates inside each attention layer, so during our passes the model
is handed the identity rotation (cosine one, sine zero): queries and keys then arrive raw at the attention
function, bit for bit, after biases and norms of whatever family, and are rotated there.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate (..., D) by (..., D) cosines and sines, halves paired as in GPT-NeoX and Llama (HF order)."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sin


class _One:
    """x * one is x: the models' own `x * cos + rotate_half(x) * sin` costs nothing and rounds nothing."""

    def unsqueeze(self, dim: int) -> "_One":
        return self

    def __rmul__(self, x: torch.Tensor) -> torch.Tensor:
        return x


class _Zero:
    """x * zero is zero, and x + zero is x itself."""

    def unsqueeze(self, dim: int) -> "_Zero":
        return self

    def __rmul__(self, x: torch.Tensor) -> "_Zero":
        return self

    def __radd__(self, x: torch.Tensor) -> torch.Tensor:
        return x


_ONE, _ZERO = _One(), _Zero()


class DeferredRotary(nn.Module):
    """Stands in for a model's `rotary_emb`: the real angles outside our passes, the identity inside."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.deferred = False

    def forward(
        self, x: torch.Tensor, position_ids: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.deferred:
            return _ONE, _ZERO  # type: ignore[return-value]  # they only meet `rotate`'s products and sum
        return self.inner(x, position_ids, *args, **kwargs)  # type: ignore[no-any-return]

    def table(self, positions: torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Real cosines and sines, each (P, D), at `positions` (P,), in the dtype and device of `like`."""
        with torch.no_grad():
            cos, sin = self.inner(like, positions[None])
        return cos[0], sin[0]

    @contextmanager
    def defer(self) -> Iterator[None]:
        """Hand the model the identity rotation for the time of one of our passes."""
        self.deferred = True
        try:
            yield
        finally:
            self.deferred = False
