"""Exact reads and log-probabilities: one more pass over a known answer, with the softmax caught.

A context of its own runs without flash attention, so that each layer's softmax is a node of the graph; the
decode loop is not slowed. Memories lie in sequences of their own from the start, in a cache that is empty
before, so it is known which cell is which token of which memory.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import numpy.typing as npt
import torch

from engine.decode import Stretch
from engine.errors import ContextOverflow
from engine.format import CHUNK_TOKENS, MEMORIES_PER_CHUNK, REFERENCE_TOKENS
from engine.llama.context import Context, Run
from engine.llama.layout import State
from engine.llama.model import LlamaModel
from engine.llama.placing import Placing
from engine.llama.walk import Segment
from engine.llama.watching import Watch
from engine.protocol import KeyedMemory, Read

_SOFTMAX = "kq_soft_max"
_SEQUENCES = 250  # llama.cpp tells 256 apart


class Attending:
    """Reads of whole answers. compute: entered around each computation, so that others get their turn.

    Not safe to share between threads.
    """

    def __init__(
        self,
        model: LlamaModel,
        placing: Placing | None,
        prefix: State | None,
        threads: int,
        compute: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._model, self._placing, self._prefix = model, placing, prefix
        self._threads, self._compute = threads, compute
        self._watch = Watch({_SOFTMAX: None})
        self._context: Context | None = None

    def attend(
        self, prompt: Sequence[Segment], answer: Sequence[Segment], *, plain: bool
    ) -> tuple[npt.NDArray[np.float32], tuple[Read, ...]]:
        """Logits (tokens, vocabulary) from which each token of the answer was picked, and its reads.

        plain: the stock model, without prefix; its reads have the question and the answer only.
        """
        run = _Pass(self._ready(prompt, answer), self._watch, None if plain else self._placing, self._prefix)
        with self._compute():
            run.load((*prompt, *answer))
        asked = sum(len(segment.tokens) for segment in prompt)
        for segment in prompt[:-1]:
            with self._compute():
                run.process(segment, ())
        rows: list[npt.NDArray[np.float32]] = []
        with self._compute():
            rows.append(run.process(prompt[-1], (len(prompt[-1].tokens) - 1,)))
        stretches = []
        for i, segment in enumerate(answer):
            stretch = Stretch(i * CHUNK_TOKENS, segment.memories, run.prefix_cells, asked)
            with self._compute():
                if segment.tokens:
                    rows.append(run.process(segment, range(len(segment.tokens))))
            for memory, context in run.masses(segment.memories):
                stretch.add(torch.from_numpy(memory), torch.from_numpy(context))
            stretches.append(stretch.read())
        return np.concatenate(rows), tuple(stretches)

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
        cells += sum(len(segment.tokens) for segment in (*prompt, *answer))
        if self._context is None or self._context.cells < cells:
            if self._context is not None:
                self._context.close()
            self._context = Context(
                self._model,
                max(2048, 1 << (cells - 1).bit_length()),
                _SEQUENCES + 2,
                threads=self._threads,
                flash=False,
                watcher=self._watch,
            )
        return self._context


class _Pass:
    """One walk through an empty cache."""

    def __init__(self, context: Context, watch: Watch, placing: Placing | None, prefix: State | None) -> None:
        self._context, self._watch, self._placing = context, watch, placing
        self._prefix = None if placing is None else prefix
        self.prefix_cells = 0 if self._prefix is None else len(self._prefix.positions)
        self._cells = self._first_context_cell = 0
        self._first_cell: dict[tuple[int, int], tuple[int, int]] = {}  # name -> sequence, first cell
        self._position = 0 if placing is None else placing.start
        # softmax by layer, the row in it, and the cell behind the last that the row may see
        self._rows: list[tuple[dict[int, npt.NDArray[np.float32]], int, int]] = []

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

    def _name(self, keyed: KeyedMemory, place: int) -> tuple[int, int]:
        serial = self._placing is not None and self._placing.format.positions == "serial"
        return keyed.key, place if serial else 0

    def process(self, segment: Segment, rows: Sequence[int]) -> npt.NDArray[np.float32]:
        """Compute a segment; logits (rows, vocabulary), and attention of those rows kept for `masses`."""
        if self._placing is not None:
            self._context.remove(0, *self._placing.memory_positions)
            for place, keyed in enumerate(segment.memories):
                self._context.share(self._first_cell[self._name(keyed, place)][0], 0)
        found = []
        for first in range(0, len(segment.tokens), CHUNK_TOKENS):
            tokens = segment.tokens[first : first + CHUNK_TOKENS]
            wanted = [row - first for row in rows if first <= row < first + len(tokens)]
            self._watch.on = bool(wanted)
            found += list(self._context.run([Run(0, self._position, tokens, wanted)])[0])
            self._watch.on = False
            self._position += len(tokens)
            self._cells += len(tokens)
            if wanted:
                caught = {layer: array for (_, layer), array in self._watch.take().items()}
                for row in wanted:
                    end = self._cells - len(tokens) + row + 1
                    self._rows.append((self._shaped(caught, len(tokens)), row, end))
        return np.stack(found) if found else np.empty((0, self._context.model.vocabulary_size), np.float32)

    def _shaped(
        self, caught: dict[int, npt.NDArray[np.float32]], tokens: int
    ) -> dict[int, npt.NDArray[np.float32]]:
        heads = self._context.model.heads
        return {layer: array.reshape(heads, tokens, -1) for layer, array in caught.items()}

    def masses(
        self, memories: Sequence[KeyedMemory]
    ) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
        """Per row since the last call: mass on (memories, REFERENCE_TOKENS) and on the context's cells."""
        found = [self._mass(layers, row, end, memories) for layers, row, end in self._rows]
        self._rows = []
        return found

    def _mass(
        self,
        layers: dict[int, npt.NDArray[np.float32]],
        row: int,
        end: int,
        memories: Sequence[KeyedMemory],
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        model = self._context.model
        group = model.heads // model.kv_heads
        on_memory = np.zeros((len(memories), REFERENCE_TOKENS), dtype=np.float64)
        context = np.zeros(self.prefix_cells + end - self._first_context_cell, dtype=np.float64)
        for layer, weights in layers.items():
            # (H, cells): query heads that share a key-value head see the same tokens in the same cells
            mass = weights[:, row].reshape(model.kv_heads, group, -1).sum(axis=1)
            for i, keyed in enumerate(memories):
                _, cell = self._first_cell[self._name(keyed, i)]
                own = mass[:, cell : cell + keyed.memory.tokens]
                np.add.at(on_memory[i], keyed.memory.indices[layer], own)
            every = mass.sum(axis=0)
            context[: self.prefix_cells] += every[: self.prefix_cells]
            context[self.prefix_cells :] += every[self._first_context_cell : end]
        weight = len(layers) * model.heads
        return (on_memory / weight).astype(np.float32), (context / weight).astype(np.float32)
