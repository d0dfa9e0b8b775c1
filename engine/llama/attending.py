"""Exact reads and log-probabilities: one more pass over a known answer, with the softmax caught.

A context of its own runs without flash attention, so that each layer's softmax is a node of the graph; the
decode loop is not slowed. Memories lie in sequences of their own from the start, in a cache that is empty
before, so it is known which cell is which token of which memory.

What an answer needs comes from the same cache: the prompt stays as it was computed, and the answer alone is
computed again without some memories, which is no more than not sharing their cells with it. Several such
answers are computed in one batch, each a sequence that branches off the prompt.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.decode import Stretch
from engine.errors import ContextOverflow
from engine.format import CHUNK_TOKENS, MEMORIES_PER_CHUNK, REFERENCE_TOKENS
from engine.llama.context import BATCH_TOKENS, Context, Run, with_room
from engine.llama.layout import State
from engine.llama.model import LlamaModel
from engine.llama.placing import Placing
from engine.llama.residents import same
from engine.llama.walk import Segment, answer_segments, joined
from engine.llama.watching import Watch
from engine.protocol import KeyedMemory, Needed, Read
from engine.reader import Attended
from engine.sampling import log_probabilities

_SOFTMAX = "kq_soft_max"
_BRANCHES = 5  # answers without something that are computed at once
_SEQUENCES = 250 - _BRANCHES  # of memories; llama.cpp tells 256 apart


class Attending:
    """Reads of whole answers. compute: entered around each computation, so that others get their turn.
    heads: weights of `engine.heads`, (layers, query heads).

    Not safe to share between threads.
    """

    def __init__(
        self,
        model: LlamaModel,
        placing: Placing | None,
        prefix: State | None,
        threads: int,
        compute: Callable[[], AbstractContextManager[object]],
        heads: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self._model, self._placing, self._prefix = model, placing, prefix
        self._threads, self._compute, self._heads = threads, compute, heads
        self._watch = Watch({_SOFTMAX: None})
        self._context: Context | None = None
        self._latest: _Latest | None = None

    def attend(
        self,
        prompt: Sequence[Segment],
        tokens: Sequence[int],
        stretches: Sequence[tuple[KeyedMemory, ...]],
        *,
        plain: bool,
    ) -> tuple[npt.NDArray[np.float32], tuple[Read, ...]]:
        """Logits (tokens, vocabulary) from which each token of the answer was picked, and its reads.

        stretches: what each 64 tokens of the answer read. plain: the stock model, without prefix; its reads
        have the question and the answer only.
        """
        answer = answer_segments(tokens, stretches)
        self._latest = None
        run = self._pass(prompt, answer, None if plain else self._placing)
        asked = sum(len(segment.tokens) for segment in prompt)
        for segment in prompt[:-1]:
            with self._compute():
                run.process(segment, ())
        rows: list[npt.NDArray[np.float32]] = []
        with self._compute():
            rows.append(run.process(prompt[-1], (len(prompt[-1].tokens) - 1,), watch=True))
        reads = []
        for i, segment in enumerate(answer):
            stretch = Stretch(i * CHUNK_TOKENS, segment.memories, run.prefix_cells, asked)
            with self._compute():
                if segment.tokens:
                    rows.append(run.process(segment, range(len(segment.tokens)), watch=True))
            for attended, row in run.attended(segment.memories):
                stretch.add(attended, row, range(len(segment.memories)))
            reads.append(stretch.read())
        logits = np.concatenate(rows)
        if not plain:
            chosen = log_probabilities(logits, tokens)
            self._latest = _Latest((*prompt, *answer), tuple(tokens), run, chosen)
        return logits, tuple(reads)

    def needed(
        self,
        prompt: Sequence[Segment],
        tokens: Sequence[int],
        stretches: Sequence[tuple[KeyedMemory, ...]],
        groups: Sequence[Collection[int]],
    ) -> Needed:
        """Log-probabilities of the answer, with all memories and without each group of keys in turn.

        What `attend` computed last is not computed again.
        """
        answer = answer_segments(tokens, stretches)
        if self._latest is None or not self._latest.of((*prompt, *answer), tokens):
            self.attend(prompt, tokens, stretches, plain=False)
        latest = self._latest
        assert latest is not None
        asked = sum(len(segment.tokens) for segment in prompt)
        begin = Segment(prompt[-1].tokens[-1:], prompt[-1].memories)
        without = [
            latest.run.without(
                asked - 1, joined(begin, answer), tokens, groups[i : i + _BRANCHES], self._compute
            )
            for i in range(0, len(groups), _BRANCHES)
        ]
        empty = np.empty((0, len(tokens)), dtype=np.float32)
        return Needed(latest.log_probabilities, np.concatenate([empty, *without]))

    def _pass(self, prompt: Sequence[Segment], answer: Sequence[Segment], placing: Placing | None) -> "_Pass":
        run = _Pass(self._ready(prompt, answer), self._watch, placing, self._prefix, self._heads)
        with self._compute():
            run.load((*prompt, *answer))
        return run

    def _ready(self, prompt: Sequence[Segment], answer: Sequence[Segment]) -> Context:
        """A context with room for it all, the one of last time if it is large enough."""
        memories = {keyed.key: keyed.memory for s in (*prompt, *answer) for keyed in s.memories}
        if len(memories) > _SEQUENCES:
            raise ContextOverflow(
                f"the question read {len(memories)} memories and at most {_SEQUENCES} can be told apart: "
                "shorten it"
            )
        per_place = (
            MEMORIES_PER_CHUNK
            if self._placing is not None and self._placing.format.positions == "serial"
            else 1
        )
        cells = REFERENCE_TOKENS + sum(memory.tokens for memory in memories.values()) * per_place
        cells += sum(len(segment.tokens) for segment in prompt)
        cells += sum(len(segment.tokens) for segment in answer) * (1 + _BRANCHES)
        self._context = with_room(
            self._context,
            self._model,
            cells,
            1 + _SEQUENCES + _BRANCHES,
            threads=self._threads,
            watcher=self._watch,
        )
        return self._context


@dataclass(frozen=True)
class _Latest:
    """The pass that the cache holds. tokens: of the answer; log_probabilities: theirs."""

    segments: tuple[Segment, ...]
    tokens: tuple[int, ...]
    run: "_Pass"
    log_probabilities: npt.NDArray[np.float32]

    def of(self, segments: Sequence[Segment], tokens: Sequence[int]) -> bool:
        if self.tokens != tuple(tokens) or len(self.segments) != len(segments):
            return False
        return all(
            mine.tokens == other.tokens and _alike(self.run.by_name(mine), self.run.by_name(other))
            for mine, other in zip(self.segments, segments, strict=True)
        )


def _alike(mine: dict[tuple[int, int], KeyedMemory], other: dict[tuple[int, int], KeyedMemory]) -> bool:
    return mine.keys() == other.keys() and all(same(mine[at].memory, other[at].memory) for at in mine)


class _Pass:
    """One walk through an empty cache."""

    def __init__(
        self,
        context: Context,
        watch: Watch,
        placing: Placing | None,
        prefix: State | None,
        heads: npt.NDArray[np.float32] | None,
    ) -> None:
        self._context, self._watch, self._placing, self._heads = context, watch, placing, heads
        self._prefix = None if placing is None else prefix
        self.prefix_cells = 0 if self._prefix is None else len(self._prefix.positions)
        self._cells = self._first_context_cell = 0
        self._first_cell: dict[tuple[int, int], tuple[int, int]] = {}  # name -> sequence, first cell
        self._position = 0 if placing is None else placing.start
        # of each pass: softmax by layer, the wanted rows of it, and the cell of its first token
        self._kept: list[tuple[dict[int, npt.NDArray[np.float32]], list[int], int]] = []

    def load(self, segments: Iterable[Segment]) -> None:
        """Fill the cache with the prefix and every memory that any of the segments reads."""
        self._context.clear()
        if self._placing is None or self._prefix is None:
            return
        self._context.put(0, self._prefix)
        self._cells = self.prefix_cells
        for segment in segments:
            for place, keyed in enumerate(segment.memories):
                name = self._name(keyed, place)
                if name not in self._first_cell:
                    sequence = 1 + len(self._first_cell)
                    self._context.put(sequence, self._placing.memory_state(keyed.memory, place))
                    self._first_cell[name] = sequence, self._cells
                    self._cells += keyed.memory.tokens
        self._first_context_cell = self._cells

    def by_name(self, segment: Segment) -> dict[tuple[int, int], KeyedMemory]:
        """The memories of a segment; their order matters only where positions follow it."""
        return {self._name(keyed, place): keyed for place, keyed in enumerate(segment.memories)}

    def _name(self, keyed: KeyedMemory, place: int) -> tuple[int, int]:
        serial = self._placing is not None and self._placing.format.positions == "serial"
        return keyed.key, place if serial else 0

    def without(
        self,
        kept: int,
        segments: Sequence[Segment],
        tokens: Sequence[int],
        groups: Sequence[Collection[int]],
        compute: Callable[[], AbstractContextManager[object]],
    ) -> npt.NDArray[np.float32]:
        """Log-probabilities (groups, tokens) of the answer, computed again behind the context's first `kept`
        tokens without each group of memories (keys), all groups at once.
        """
        context, first = self._context, 1 + len(self._first_cell)
        branches = dict(zip(range(first, first + len(groups)), groups, strict=True))
        position = (0 if self._placing is None else self._placing.start) + kept
        found = np.empty((len(groups), len(tokens)), dtype=np.float32)
        with compute():
            context.remove(0, position)
            self._forget_memories(0)
            for branch in branches:
                context.share(0, branch)
        done, most = 0, BATCH_TOKENS // len(groups)
        for segment in segments:
            for branch, group in branches.items():
                self._forget_memories(branch)
                self._remember(branch, segment, group)
            for start in range(0, len(segment.tokens), most):
                some = segment.tokens[start : start + most]
                with compute():
                    logits = context.run(
                        [Run(branch, position, some, range(len(some))) for branch in branches]
                    )
                answered = tokens[done : done + len(some)]
                found[:, done : done + len(some)] = [log_probabilities(rows, answered) for rows in logits]
                position, done = position + len(some), done + len(some)
        for branch in branches:
            context.remove(branch)
        return found

    def _forget_memories(self, sequence: int) -> None:
        if self._placing is not None:
            self._context.remove(sequence, *self._placing.memory_positions)

    def _remember(self, sequence: int, segment: Segment, group: Collection[int] = ()) -> None:
        """Let a sequence see the memories of a segment, without those of the group."""
        for place, keyed in enumerate(segment.memories):
            if self._placing is not None and keyed.key not in group:
                self._context.share(self._first_cell[self._name(keyed, place)][0], sequence)

    def process(
        self,
        segment: Segment,
        rows: Sequence[int],
        *,
        watch: bool = False,
    ) -> npt.NDArray[np.float32]:
        """Compute a segment: logits (rows, vocabulary).

        watch: keep the attention of those rows for `attended`.
        """
        self._forget_memories(0)
        self._remember(0, segment)
        found = []
        for first in range(0, len(segment.tokens), CHUNK_TOKENS):
            tokens = segment.tokens[first : first + CHUNK_TOKENS]
            wanted = [row - first for row in rows if first <= row < first + len(tokens)]
            self._watch.on = watch and bool(wanted)
            found += list(self._context.run([Run(0, self._position, tokens, wanted)])[0])
            self._watch.on = False
            self._position += len(tokens)
            self._cells += len(tokens)
            if watch and wanted:
                shape = (self._context.model.heads, len(tokens), -1)
                caught = {layer: array.reshape(shape) for (_, layer), array in self._watch.take().items()}
                self._kept.append((caught, wanted, self._cells - len(tokens)))
        return np.stack(found) if found else np.empty((0, self._context.model.vocabulary_size), np.float32)

    def attended(self, memories: Sequence[KeyedMemory]) -> Iterator[tuple[Attended, int]]:
        """Per row since the last call: where its attention is kept, and in which row of that."""
        kept, self._kept = self._kept, []
        for caught, rows, first in kept:
            attended = self._attended(caught, rows, first, memories)
            for i in range(len(rows)):
                yield attended, i

    def _attended(
        self,
        caught: dict[int, npt.NDArray[np.float32]],
        rows: list[int],
        first: int,
        memories: Sequence[KeyedMemory],
    ) -> Attended:
        """first: the cell of the pass's first token."""
        layers, heads = sorted(caught), self._context.model.heads
        kv_heads = self._context.model.kv_heads
        shape = (len(rows), len(memories), REFERENCE_TOKENS)
        tokens, weighted = np.zeros(shape), np.zeros(shape)
        on_heads = np.zeros((len(rows), len(memories), len(layers), heads), dtype=np.float32)
        ends = [first + row + 1 for row in rows]
        context = np.zeros((len(rows), self.prefix_cells + ends[-1] - self._first_context_cell))
        for place, layer in enumerate(layers):
            mass = caught[layer][:, rows]  # (H, R, cells)
            own = None if self._heads is None else self._heads[place]
            for i, keyed in enumerate(memories):
                _, cell = self._first_cell[self._name(keyed, i)]
                part = mass[:, :, cell : cell + keyed.memory.tokens]
                on_heads[:, i, place] = part.sum(axis=2).T
                where = _one_hot(keyed.memory.indices[layer])
                tokens[:, i] += _on_tokens(part, kv_heads) @ where
                if own is not None and own.any():
                    weighted[:, i] += _on_tokens(part * own[:, None, None], kv_heads) @ where
            every = mass.sum(axis=0)
            context[:, : self.prefix_cells] += every[:, : self.prefix_cells]
            context[:, self.prefix_cells :] += every[:, self._first_context_cell : ends[-1]]
        count = len(layers) * heads
        mean = (tokens / count).astype(np.float32)
        return Attended(
            mean,
            (context / count).astype(np.float32),
            on_heads,
            mean if self._heads is None else weighted.astype(np.float32),
        )


def _on_tokens(part: npt.NDArray[np.float32], kv_heads: int) -> npt.NDArray[np.float32]:
    """(H, R, k) -> (R, kv_heads * k): query heads of one key-value head see the same tokens in its cells."""
    grouped: npt.NDArray[np.float32] = part.reshape(kv_heads, -1, *part.shape[1:]).sum(axis=1)
    return grouped.transpose(1, 0, 2).reshape(part.shape[1], -1)


def _one_hot(indices: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(kv_heads * k, REFERENCE_TOKENS): which token of the reference each cell of each head is."""
    found = np.zeros((indices.size, REFERENCE_TOKENS), dtype=np.float32)
    found[np.arange(indices.size), indices.ravel()] = 1
    return found
