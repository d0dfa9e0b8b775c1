"""Which tokens of a reference a memory keeps: one rule per name, scored per key-value head.

All rules use raw queries and keys (before rotation), no causal mask, the prefix and padding excluded on
both axes, softmax in fp32, summed over queries and over the query heads that share a key-value head
(Memory^3, section 3.3; the paper ran exp() in place of the softmax and calls that unnecessary).
"""

from collections.abc import Callable, Sequence

import torch

Rule = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Sequence[int], float], torch.Tensor]


def attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, lengths: Sequence[int], scaling: float
) -> torch.Tensor:
    """The paper's rule: attention received from all tokens of the reference.

    queries (B, H*G, T, D) and keys, values (B, H, T, D), raw; `lengths` (B) of the
    references. Returns (B, H, T) fp32, -inf at padding.
    """
    batch, heads, tokens, dim = keys.shape
    grouped = queries.reshape(batch, heads, -1, dim)  # (B, H, G*T, D)
    scores = torch.matmul(grouped, (keys * scaling).transpose(-1, -2))  # (B, H, G*T, T)
    rows = scores.new_zeros(batch, 1, queries.shape[2], dtype=torch.float32)  # padding asks for nothing
    for i, length in enumerate(lengths):
        # far cheaper than masking: these arrays are the largest of the whole write, and little is padding
        scores[i, :, :, length:] = float("-inf")
        rows[i, :, :length] = 1
    rows = rows.repeat(1, 1, grouped.shape[2] // tokens)  # (B, 1, G*T)
    # a product with the rows' weights sums them in one pass
    shares = scores.softmax(dim=-1, dtype=torch.float32)
    received = torch.matmul(rows[:, None], shares)[:, :, 0]  # (B, H, T)
    for i, length in enumerate(lengths):
        received[i, :, length:] = float("-inf")
    return received


def attention_value_norm(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, lengths: Sequence[int], scaling: float
) -> torch.Tensor:
    """Attention received times the length of the value it would bring: what a token can contribute.

    Shapes as `attention`.
    """
    received = attention(queries, keys, values, lengths, scaling)
    norms: torch.Tensor = torch.linalg.vector_norm(values, dim=-1, dtype=torch.float32)
    return received * norms


RULES: dict[str, Rule] = {"attention": attention, "attention_value_norm": attention_value_norm}


def select(scores: torch.Tensor, tokens_per_head: int) -> torch.Tensor:
    """The best tokens of each reference, ascending.

    scores (B, H, T), -inf at padding. Returns (B, H, K) int64, K = min(tokens_per_head, T); a reference
    with fewer than K tokens has all of its tokens first and then T, which is no token.
    """
    tokens = scores.shape[-1]
    best = scores.topk(min(tokens_per_head, tokens), dim=-1, sorted=False)
    return best.indices.masked_fill(best.values == float("-inf"), tokens).sort(dim=-1).values
