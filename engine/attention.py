"""Our attention inside transformers' models: one function, registered once, that defers to a pass.

A forward call that carries `attest=<pass>` among its keyword arguments has its attention computed by that
pass: `engine.writer.WritePass` or `engine.reader.ReadPass`. Without one, scaled dot product attention runs
as in the stock model, so a prepared model still serves everybody else.
"""

from typing import Any, Protocol, cast

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "attest"


class AttentionPass(Protocol):
    """Computes attention for one forward call."""

    def attend(
        self,
        layer: int,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        """queries (B, Hq, T, D) raw; keys, values (B, H, S, D). Returns (B, Hq, T, D)."""
        ...


def forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    attest: AttentionPass | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Signature and result layout, (B, T, Hq, D), of transformers' attention functions."""
    if attest is None:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
        return output, None
    output = attest.attend(cast(int, module.layer_idx), query, key, value, scaling)
    return output.transpose(1, 2).contiguous(), None


def register() -> None:
    """Make the implementation name known to transformers. Safe to call again."""
    AttentionInterface.register(NAME, forward)
    AttentionMaskInterface.register(NAME, sdpa_mask)
