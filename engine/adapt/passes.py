"""Writing and reading memories with gradients: the passes of training.

What `engine.writer` and `engine.reader` do one answer at a time, from stored numbers, happens here for a
batch of questions in one computation, so that an answer's loss reaches the keys and values that it read and
the weights that wrote them. Prefix, positions, selection, rounding by the codec and the joint softmax are
those of inference; the tests hold both to the same numbers.
"""

from collections.abc import Sequence

import torch

from engine.codec import key_value_codecs, round_trip
from engine.format import MEMORIES_PER_CHUNK, REFERENCE_TOKENS, MemoryFormat
from engine.rotary import rotate
from engine.selection import RULES, everything, select
from engine.transformer import Transformer, causal_mask


class LiveWrite:
    """Attention of references (R, P + REFERENCE_TOKENS), each behind its own prefix, padded at the end.

    Keeps, per layer, the prefix's keys and values (H, P, D) and, per memory layer, those of the chosen tokens
    as they are read from disk (R, H, K, D), keys rotated and divided by the format's temperature. K is the
    format's tokens per head; `counts` (R,) of them are real. With serial positions keys come rotated for each
    place that a memory may be read at, (places * R, H, K, D).
    """

    def __init__(self, transformer: Transformer, fmt: MemoryFormat, lengths: Sequence[int]) -> None:
        self.format, self.lengths, self.prefix = fmt, list(lengths), len(transformer.prefix)
        self.counts = torch.tensor(lengths, device=transformer.device).clamp(max=fmt.tokens_per_head)
        self.places = 1 if fmt.positions == "parallel" else MEMORIES_PER_CHUNK
        self.positions = torch.arange(self.prefix + REFERENCE_TOKENS, device=transformer.device)
        self.cos, self.sin = transformer.angles(self.positions)
        reach = torch.arange(transformer.context_start(fmt), device=transformer.device)
        self.memory_cos, self.memory_sin = transformer.angles(reach)
        self.mask = causal(transformer, len(self.positions))
        self.prefix_kv: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.memories: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def attend(
        self, layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        rotated, prefix = rotate(keys, self.cos, self.sin), self.prefix
        self.prefix_kv[layer] = rotated[0, :, :prefix], values[0, :, :prefix]
        if layer in self.format.layers:
            self.keep(layer, queries, keys, values, scaling)
        return attend(rotate(queries, self.cos, self.sin), rotated, values, self.mask, scaling)

    def keep(
        self, layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float
    ) -> None:
        """Choose from the raw vectors (R, heads, P + REFERENCE_TOKENS, D) of a layer."""
        chosen = self.prefix + self._choose(queries, keys, values, scaling)
        rows = chosen[..., None].expand(-1, -1, -1, keys.shape[3])
        of_keys, of_values = key_value_codecs(self.format.codec)
        kept = round_trip(keys.gather(2, rows), of_keys)
        self.memories[layer] = self._placed(kept, chosen), round_trip(values.gather(2, rows), of_values)

    def _placed(self, keys: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Keys (R, H, K, D) of tokens `chosen` (R, H, K), rotated for each place: (places * R, H, K, D)."""
        steps = [chosen + place * REFERENCE_TOKENS for place in range(self.places)]
        rotated = [rotate(keys, self.memory_cos[each], self.memory_sin[each]) for each in steps]
        return torch.cat(rotated) / self.format.temperature

    @torch.no_grad()
    def _choose(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """(R, H, K) token indices; a short reference has its last one repeated, and `counts` tells."""
        if self.format.dense:
            return everything(self.lengths, keys[:, :, self.prefix :])
        queries, keys, values = (x[:, :, self.prefix :] for x in (queries, keys, values))
        scores = RULES[self.format.selection](queries, keys, values, self.lengths, scaling)
        return select(scores, self.format.tokens_per_head)


class LiveRead:
    """Attention of B contexts (B, T), padded at the end, over prefix, memories and themselves.

    memories: (B, S) indices of written references, -1 where a context reads fewer than S. With serial
    positions S is at most `MEMORIES_PER_CHUNK`.
    """

    def __init__(
        self, transformer: Transformer, written: LiveWrite, memories: torch.Tensor, tokens: int
    ) -> None:
        fmt = written.format
        self.written, self.memories = written, memories.clamp(min=0)
        batch, slots = memories.shape
        place = torch.arange(slots, device=memories.device) if written.places > 1 else 0
        self.placed = self.memories + place * len(written.lengths)  # rows of keys
        self.positions = transformer.context_start(fmt) + torch.arange(tokens, device=transformer.device)
        self.cos, self.sin = transformer.angles(self.positions)
        counts = written.counts[self.memories].where(memories >= 0, 0)  # (B, S)
        kept = torch.arange(fmt.tokens_per_head, device=counts.device)
        seen = (kept < counts[..., None]).view(batch, 1, 1, -1).expand(-1, 1, tokens, -1)
        context = causal_mask(tokens, tokens, counts.device).expand(batch, 1, -1, -1)
        prefix = context.new_ones(batch, 1, tokens, written.prefix)
        self.mask = _additive(torch.cat((prefix, seen, context), dim=-1), transformer.dtype)
        self.plain = _additive(torch.cat((prefix, context), dim=-1), transformer.dtype)

    def attend(
        self, layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        batch = keys.shape[0]
        queries, keys = rotate(queries, self.cos, self.sin), rotate(keys, self.cos, self.sin)
        parts = [[x.expand(batch, -1, -1, -1) for x in self.written.prefix_kv[layer]]]
        mask = self.plain
        if layer in self.written.memories:
            memory_keys, memory_values = self.written.memories[layer]
            parts.append([_read(memory_keys, self.placed), _read(memory_values, self.memories)])
            mask = self.mask
        parts.append([keys, values])
        keys, values = (torch.cat(each, dim=2) for each in zip(*parts, strict=True))
        return attend(queries, keys, values, mask, scaling)


class LivePlain:
    """Causal attention of B texts (B, T), padded at the end: the stock model, without prefix or memories.

    branches: where the branches of each text begin, if it is a beginning and several ways to go on from it,
    one behind the other. Each goes on from the beginning, sees nothing of the others, and has the positions
    that it would have alone.
    """

    def __init__(
        self, transformer: Transformer, tokens: int, branches: Sequence[Sequence[int]] | None = None
    ) -> None:
        self.positions = torch.arange(tokens, device=transformer.device)
        self.cos, self.sin = transformer.angles(self.positions)
        self.mask = causal(transformer, tokens)
        if branches is not None:
            places, numbers = _branched(branches, tokens)
            mine = (numbers[:, :, None] == numbers[:, None]) | (numbers[:, None] == 0)  # (B, T, T)
            visible = mine.tril().unsqueeze(1).to(transformer.device)
            self.mask = _additive(visible, transformer.dtype)
            places = places.to(transformer.device)
            self.cos, self.sin = self.cos[places].unsqueeze(1), self.sin[places].unsqueeze(1)  # (B, 1, T, D)

    def attend(
        self, layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        queries, keys = rotate(queries, self.cos, self.sin), rotate(keys, self.cos, self.sin)
        return attend(queries, keys, values, self.mask, scaling)


def _branched(branches: Sequence[Sequence[int]], tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, tokens) positions, and to which branch a token belongs: 0 for the beginning of a text."""
    places = torch.arange(tokens).repeat(len(branches), 1)
    numbers = torch.zeros(len(branches), tokens, dtype=torch.long)
    for row, starts in enumerate(branches):
        for number, start in enumerate(starts, 1):
            places[row, start:] = torch.arange(starts[0], starts[0] + tokens - start)
            numbers[row, start:] = number
    return places, numbers


def attend(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, scaling: float
) -> torch.Tensor:
    """Attention by hand: on processors its gradient is far cheaper than the fused kernel's.

    queries (B, H*G, T, D); keys, values (B, H, S, D); mask, additive, broadcasts to (B, 1, T, S).
    """
    batch, heads, columns, dim = keys.shape
    tokens = queries.shape[2]
    grouped = (queries * scaling).reshape(batch, heads, -1, dim)  # (B, H, G*T, D)
    scores = torch.matmul(grouped, keys.transpose(-1, -2)).view(batch, heads, -1, tokens, columns)
    weights = (scores + mask[:, None]).softmax(dim=-1).view(batch, heads, -1, columns)
    return torch.matmul(weights, values).view(batch, -1, tokens, dim)


def _read(kept: torch.Tensor, memories: torch.Tensor) -> torch.Tensor:
    """Rows (R, H, K, D) of all references to (B, H, S * K, D) of each context's own, `memories` (B, S)."""
    mine = kept.index_select(0, memories.flatten()).view(*memories.shape, *kept.shape[1:])
    return mine.transpose(1, 2).flatten(2, 3)


def causal(transformer: Transformer, tokens: int) -> torch.Tensor:
    """An additive mask (1, 1, T, T)."""
    return _additive(causal_mask(tokens, tokens, transformer.device), transformer.dtype)


def _additive(visible: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(..., T, S) bool to 0 where visible and the lowest number elsewhere, at least four-dimensional."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    mask = mask.masked_fill(~visible, torch.finfo(dtype).min)
    return mask if mask.dim() == 4 else mask[None, None]
