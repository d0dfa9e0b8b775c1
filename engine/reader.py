"""Reading: context attends to loaded memories and to itself in one softmax (Memory^3, sections 3.1, 3.2).

    Y_i = softmax(q_i [K_0 .. K_m; K_ctx[:i]]^T / sqrt(d)) [V_0 .. V_m; V_ctx[:i]]

Memory layers see the memories of the token's own 64-token chunk; other layers run as usual. The same
softmax gives the attention mass that is reported: nothing is estimated afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from engine.codec import decode
from engine.errors import MemoryMismatch
from engine.format import REFERENCE_TOKENS, MemoryFormat
from engine.memory import ExplicitMemory
from engine.rotary import rotate
from engine.transformer import Transformer, causal_mask


@dataclass(frozen=True)
class MemoryBlock:
    """Memories side by side, ready to be attended to.

    keys (rotated, divided by the format's temperature), values: (L, H, N, D). tokens: (L, H, N) int64,
    column -> slot * REFERENCE_TOKENS + token index. columns: how many of the N columns each slot (memory)
    takes.
    """

    keys: torch.Tensor
    values: torch.Tensor
    tokens: torch.Tensor
    columns: tuple[int, ...]

    @property
    def slots(self) -> int:
        return len(self.columns)

    def visible(self, slots: torch.Tensor) -> torch.Tensor:
        """(T, slots) bool -> (T, N) bool."""
        widths = torch.tensor(self.columns, device=slots.device)
        return slots.repeat_interleave(widths, dim=1)

    def select(self, slots: Sequence[int]) -> "MemoryBlock":
        """A block of these slots only, in this order."""
        starts = [sum(self.columns[:i]) for i in range(self.slots)]
        columns = torch.cat([torch.arange(starts[i], starts[i] + self.columns[i]) for i in slots])
        columns = columns.to(self.keys.device)
        shift = torch.cat(
            [torch.full((self.columns[i],), (new - i) * REFERENCE_TOKENS) for new, i in enumerate(slots)]
        ).to(self.keys.device)
        return MemoryBlock(
            self.keys[:, :, columns],
            self.values[:, :, columns],
            self.tokens[:, :, columns] + shift,
            tuple(self.columns[i] for i in slots),
        )


def load(
    transformer: Transformer, fmt: MemoryFormat, memories: Sequence[ExplicitMemory], order: Sequence[int]
) -> MemoryBlock | None:
    """Rotate memories into place and join them; None for no memories.

    order: place of each memory among those of its chunk; matters for serial positions only.
    Raises MemoryMismatch if a memory's shape is not the format's.
    """
    if not memories:
        return None
    layers, heads, dim = len(fmt.layers), transformer.kv_heads, transformer.head_dim
    for memory in memories:
        expected = (layers, heads, min(fmt.tokens_per_head, memory.length), dim)
        if memory.shape != expected:
            raise MemoryMismatch(
                f"a memory has shape {memory.shape}, this engine reads {expected} (layers, heads, "
                "tokens, dimension); rebuild the bank for this model and format"
            )
    columns = tuple(memory.tokens for memory in memories)
    place_on = (transformer.device, transformer.dtype)
    keys = torch.cat([decode(m.keys, m.key_scales, *place_on) for m in memories], dim=2)
    values = torch.cat([decode(m.values, m.value_scales, *place_on) for m in memories], dim=2)
    indices = torch.cat([torch.from_numpy(memory.indices.astype("int64")) for memory in memories], dim=2)
    slot = torch.tensor(range(len(memories))).repeat_interleave(torch.tensor(columns))  # (N,)
    place = torch.tensor(list(order)).repeat_interleave(torch.tensor(columns))  # (N,)
    step = 0 if fmt.positions == "parallel" else REFERENCE_TOKENS
    prefix = len(transformer.prefix)
    positions = torch.arange(prefix, prefix + REFERENCE_TOKENS + step * max(order, default=0))
    cos, sin = transformer.angles(positions.to(transformer.device))
    offsets = (indices + place * step).to(transformer.device)  # (L, H, N)
    return MemoryBlock(
        rotate(keys, cos[offsets], sin[offsets]) / fmt.temperature,
        values,
        (indices + slot * REFERENCE_TOKENS).to(transformer.device),
        columns,
    )


@dataclass(frozen=True)
class Attended:
    """Attention of R query rows, float32, R first.

    tokens (R, slots, REFERENCE_TOKENS), context (R, S): mean over memory layers and query heads; together a
    row sums to 1. heads: (R, slots, memory layers, query heads), mass on each memory. weighted: as `tokens`,
    but the head-weighted mean; the same numbers where no head weights are known.
    """

    tokens: npt.NDArray[np.float32]
    context: npt.NDArray[np.float32]
    heads: npt.NDArray[np.float32]
    weighted: npt.NDArray[np.float32]


class Recorder:
    """Adds up the attention of chosen query rows over memory layers and query heads.

    heads: (memory layers, query heads) weights that sum to 1; None for none.
    """

    def __init__(self, rows: slice, heads: npt.NDArray[np.float32] | None = None) -> None:
        self.rows, self.weights = rows, heads
        self.memory: torch.Tensor | None = None  # (R, slots * REFERENCE_TOKENS), as `weighted`
        self.weighted: torch.Tensor | None = None
        self.context: torch.Tensor | None = None  # (R, S)
        self.heads: list[torch.Tensor] = []  # (query heads, R, slots) of each layer
        self.count = 0

    def add(self, weights: torch.Tensor, tokens: torch.Tensor | None, slots: int) -> None:
        """weights (H, G, T, N + S) of the next memory layer; tokens (H, N) where the first N columns are
        memories.
        """
        heads, groups = weights.shape[:2]
        chosen = weights[:, :, self.rows]
        summed = chosen.sum(dim=1)  # (H, R, N + S)
        rows, columns = summed.shape[1], 0 if tokens is None else tokens.shape[1]
        context = summed[:, :, columns:].sum(dim=0)
        self.context = context if self.context is None else self.context + context
        if self.memory is None or self.weighted is None:
            self.memory = chosen.new_zeros(rows, slots * REFERENCE_TOKENS)
            self.weighted = self.memory.clone()
        on_slots = chosen.new_zeros(heads * groups, rows, slots)
        if tokens is not None:
            index = tokens.reshape(1, -1).expand(rows, -1)
            self.memory.scatter_add_(1, index, _by_row(summed[:, :, :columns]))
            # the columns of a memory are its own in every head
            on_slots.index_add_(2, tokens[0] // REFERENCE_TOKENS, chosen[..., :columns].flatten(0, 1))
            if self.weights is not None and (own := self.weights[len(self.heads)]).any():
                share = torch.from_numpy(own).to(chosen).view(heads, groups, 1, 1)
                weighted = (chosen[..., :columns] * share).sum(dim=1)
                self.weighted.scatter_add_(1, index, _by_row(weighted))
        self.heads.append(on_slots)
        self.count += heads * groups

    def result(self) -> Attended:
        """On the CPU."""
        if self.memory is None or self.context is None or self.weighted is None:
            raise RuntimeError("no memory layer has run")
        mean = self.memory / self.count
        weighted = mean if self.weights is None else self.weighted
        shape = (mean.shape[0], -1 if mean.shape[1] else 0, REFERENCE_TOKENS)
        return Attended(
            mean.view(shape).cpu().numpy(),
            (self.context / self.count).cpu().numpy(),
            torch.stack(self.heads).permute(2, 3, 0, 1).cpu().numpy(),
            weighted.view(shape).cpu().numpy(),
        )


def _by_row(summed: torch.Tensor) -> torch.Tensor:
    """(H, R, N) -> (R, H * N)."""
    return summed.transpose(0, 1).flatten(1)


class ReadPass:
    """Attention of T context tokens over a block of memories and the context cache.

    slots: (T, slots) bool, which memories each token may see; None lets every token see all.
    """

    def __init__(
        self,
        transformer: Transformer,
        fmt: MemoryFormat,
        positions: torch.Tensor,
        block: MemoryBlock | None,
        slots: torch.Tensor | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.cos, self.sin = transformer.angles(positions)
        self.rows = {layer: row for row, layer in enumerate(fmt.layers)}
        self.block = block
        self.hidden_columns = None if block is None or slots is None else ~block.visible(slots)  # (T, N)
        self.recorder = recorder
        self.future: torch.Tensor | None = None

    def attend(
        self, layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        _, query_heads, tokens, dim = queries.shape
        heads, columns = keys.shape[1], keys.shape[2]
        grouped = rotate(queries, self.cos, self.sin).reshape(heads, -1, dim)  # (H, G*T, D)
        context = self._context_scores(grouped, keys[0], tokens, columns) * scaling
        row = self.rows.get(layer)
        block = self.block if row is not None else None
        if block is None or row is None:
            weights = context.softmax(dim=-1, dtype=torch.float32)
            output = torch.matmul(weights.to(values.dtype), values[0])
        else:
            memory = torch.matmul(grouped, block.keys[row].transpose(-1, -2)) * scaling  # (H, G*T, N)
            if self.hidden_columns is not None:
                memory = memory.view(heads, -1, tokens, memory.shape[-1])
                memory = memory.masked_fill(self.hidden_columns, float("-inf")).flatten(1, 2)
            weights = torch.cat((memory, context), dim=-1).softmax(dim=-1, dtype=torch.float32)
            width = memory.shape[-1]
            cast = weights.to(values.dtype)
            output = torch.matmul(cast[..., :width], block.values[row])
            output = output + torch.matmul(cast[..., width:], values[0])
        if self.recorder is not None and row is not None:
            self.recorder.add(
                weights.view(heads, -1, tokens, weights.shape[-1]),
                None if block is None else block.tokens[row],
                0 if block is None else block.slots,
            )
        return output.view(1, query_heads, tokens, dim)

    def _context_scores(
        self, grouped: torch.Tensor, keys: torch.Tensor, tokens: int, columns: int
    ) -> torch.Tensor:
        scores = torch.matmul(grouped, keys.transpose(-1, -2))  # (H, G*T, S)
        if tokens == 1:
            return scores
        if self.future is None:
            self.future = ~causal_mask(tokens, columns, grouped.device)
        scores = scores.view(scores.shape[0], -1, tokens, columns).masked_fill(self.future, float("-inf"))
        return scores.flatten(1, 2)
