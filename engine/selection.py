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
    return _over_queries(_shares(queries, keys, lengths, scaling), queries, lengths)


def attention_value_norm(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, lengths: Sequence[int], scaling: float
) -> torch.Tensor:
    """Attention received times the length of the value it would bring: the sum of a token's contributions.

    Shapes as `attention`.
    """
    return attention(queries, keys, values, lengths, scaling) * _norms(values)


def contribution_energy(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, lengths: Sequence[int], scaling: float
) -> torch.Tensor:
    """The sum of the squares of a token's contributions, so that a token that few others need, but need
    badly, counts for more than one that all of them glance at. Shapes as `attention`.
    """
    shares = _shares(queries, keys, lengths, scaling)
    return _over_queries(shares.square_(), queries, lengths) * _norms(values).square()


def _shares(
    queries: torch.Tensor, keys: torch.Tensor, lengths: Sequence[int], scaling: float
) -> torch.Tensor:
    """(B, H, G*T, T) fp32: how each query spreads its attention over the tokens of its reference."""
    grouped = queries.reshape(*keys.shape[:2], -1, keys.shape[3])  # (B, H, G*T, D)
    scores = torch.matmul(grouped, (keys * scaling).transpose(-1, -2))
    for i, length in enumerate(lengths):
        # far cheaper than masking: these arrays are the largest of the whole write, and little is padding
        scores[i, :, :, length:] = float("-inf")
    return scores.softmax(dim=-1, dtype=torch.float32)


def _over_queries(shares: torch.Tensor, queries: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """Shares (B, H, G*T, T) summed over the queries that are no padding: (B, H, T), -inf at padding."""
    rows = shares.new_zeros(shares.shape[0], 1, queries.shape[2])  # padding asks for nothing
    for i, length in enumerate(lengths):
        rows[i, :, :length] = 1
    rows = rows.repeat(1, 1, shares.shape[2] // queries.shape[2])  # (B, 1, G*T)
    # a product with the rows' weights sums them in one pass
    summed = torch.matmul(rows[:, None], shares)[:, :, 0]  # (B, H, T)
    for i, length in enumerate(lengths):
        summed[i, :, length:] = float("-inf")
    return summed


def _norms(values: torch.Tensor) -> torch.Tensor:
    """(B, H, T) fp32."""
    norms: torch.Tensor = torch.linalg.vector_norm(values, dim=-1, dtype=torch.float32)
    return norms


RULES: dict[str, Rule] = {
    rule.__name__: rule for rule in (attention, attention_value_norm, contribution_energy)
}


def select(scores: torch.Tensor, tokens_per_head: int) -> torch.Tensor:
    """The best tokens of each reference, ascending.

    scores (B, H, T), -inf at padding. Returns (B, H, K) int64, K = min(tokens_per_head, T); a reference
    with fewer than K tokens has its last one several times, so that padding is nowhere looked at.
    """
    best = scores.topk(min(tokens_per_head, scores.shape[-1]), dim=-1, sorted=False)
    last = scores.ne(float("-inf")).sum(dim=-1, keepdim=True) - 1
    return torch.minimum(best.indices, last).sort(dim=-1).values


def everything(lengths: Sequence[int], keys: torch.Tensor) -> torch.Tensor:
    """All tokens of references with keys (B, H, T, D), as `select` gives them: (B, H, T)."""
    last = torch.tensor(lengths, device=keys.device)[:, None] - 1
    each = torch.arange(keys.shape[2], device=keys.device)
    return torch.minimum(each, last)[:, None].expand(-1, keys.shape[1], -1)
