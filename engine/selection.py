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
    scores = torch.matmul(grouped, (keys * scaling).transpose(-1, -2))  # (B, H, G*T, T)
    padded = not bool(valid.all())
    if padded:
        scores.masked_fill_(~valid[:, None, None, :], float("-inf"))
    shares = scores.softmax(dim=-1, dtype=torch.float32)
    rows = valid.float().repeat(1, grouped.shape[2] // tokens)  # (B, G*T): padding asks for nothing
    # a product with the rows' weights sums them in one pass; these arrays are the largest of the whole write
    received = torch.matmul(rows[:, None, None, :], shares)[:, :, 0]  # (B, H, T)
    return received.masked_fill(~valid[:, None, :], float("-inf")) if padded else received


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


def select(scores: torch.Tensor, tokens_per_head: int) -> torch.Tensor:
    """The best tokens of each reference, ascending.

    scores (B, H, T), -inf at padding. Returns (B, H, K) int64, K = min(tokens_per_head, T); a reference
    with fewer than K tokens has all of its tokens first and then T, which is no token.
    """
    tokens = scores.shape[-1]
    best = scores.topk(min(tokens_per_head, tokens), dim=-1, sorted=False)
    return best.indices.masked_fill(best.values == float("-inf"), tokens).sort(dim=-1).values
