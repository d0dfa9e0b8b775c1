"""Which tokens of a reference a memory keeps: one rule per name, scored per key-value head.

All rules use raw queries and keys (before rotation), no causal mask, the prefix and padding excluded on
both axes, softmax in fp32, summed over queries and over the query heads that share a key-value head
(Memory^3, section 3.3; the paper ran exp() in place of the softmax and calls that unnecessary).
"""

from collections.abc import Callable

import torch

Rule = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]


def attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, valid: torch.Tensor, scaling: float
) -> torch.Tensor:
    """The paper's rule: attention received from all tokens of the reference.

    queries (B, H*G, T, D) and keys, values (B, H, T, D), raw; valid (B, T) bool. Returns (B, H, T) fp32,
    -inf at padding.
    """
    batch, heads, tokens, dim = keys.shape
    grouped = queries.reshape(batch, heads, -1, dim)  # (B, H, G*T, D)
    scores = torch.matmul(grouped, keys.transpose(-1, -2)).float() * scaling  # (B, H, G*T, T)
    scores = scores.masked_fill(~valid[:, None, None, :], float("-inf")).softmax(dim=-1)
    groups = grouped.shape[2] // tokens
    row_valid = valid.repeat(1, groups)[:, None, :, None]  # (B, 1, G*T, 1)
    received = (scores * row_valid).sum(dim=2)  # (B, H, T)
    return received.masked_fill(~valid[:, None, :], float("-inf"))


def attention_value_norm(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, valid: torch.Tensor, scaling: float
) -> torch.Tensor:
    """Attention received times the length of the value it would bring: what a token can contribute.

    Shapes as `attention`.
    """
    received = attention(queries, keys, values, valid, scaling)
    lengths: torch.Tensor = torch.linalg.vector_norm(values.float(), dim=-1)
    return received * lengths


RULES: dict[str, Rule] = {"attention": attention, "attention_value_norm": attention_value_norm}


def select(scores: torch.Tensor, lengths: list[int], tokens_per_head: int) -> list[torch.Tensor]:
    """The best tokens of each reference, ascending.

    scores (B, H, T), -inf at padding. Returns B tensors (H, min(tokens_per_head, length)) of int64.
    """
    longest = min(tokens_per_head, scores.shape[-1])
    best = scores.topk(longest, dim=-1).indices  # (B, H, K), best first
    return [best[i, :, : min(tokens_per_head, n)].sort(dim=-1).values for i, n in enumerate(lengths)]
