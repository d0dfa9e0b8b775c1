"""What a question looks for (`engine.attend`), with softmax and queries caught from llama.cpp's graph.

A context of its own runs without flash attention, so that a layer's softmax is a node of the graph. All
memories lie in sequences of their own, in a cache that is empty before, and the prompt sees them all.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import numpy.typing as npt

from engine.errors import BackendUnavailable, ContextOverflow
from engine.llama.context import BATCH_TOKENS, Context, Node, Run, with_room
from engine.llama.layout import State
from engine.llama.model import LlamaModel
from engine.llama.placing import Placing
from engine.llama.watching import Watch
from engine.memory import ExplicitMemory
from engine.protocol import Attention

_SEQUENCES = 250  # llama.cpp tells 256 apart

Caught = dict[int, npt.NDArray[np.float32]]


class Looking:
    """compute: entered around each computation, so that others get their turn.

    Not safe to share between threads.
    """

    def __init__(
        self,
        model: LlamaModel,
        placing: Placing,
        prefix: State,
        threads: int,
        compute: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._model, self._placing, self._prefix = model, placing, prefix
        self._threads, self._compute = threads, compute
        self._softmax = Watch({"kq_soft_max": None})
        self._queries = Watch({"Qcur": "ROPE"})
        self._context: Context | None = None

    def attend(self, prompt: Sequence[int], own: slice, memories: Sequence[ExplicitMemory]) -> Attention:
        """own: the question's tokens in the prompt. Raises ContextOverflow if there are too many memories."""
        if len(memories) > _SEQUENCES:
            raise ContextOverflow(f"at most {_SEQUENCES} memories can be told apart, not {len(memories)}")
        widths = [memory.tokens for memory in memories]
        first = len(self._prefix.positions)
        starts = first + np.cumsum([0, *widths[:-1]])
        states = [self._placing.memory_state(memory) for memory in memories]
        end = first + sum(widths)

        def on_memories(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            """(heads, T, cells) -> (T, heads, memories)"""
            masses = np.add.reduceat(weights[..., :end], starts, axis=-1)
            return masses.transpose(1, 0, 2)

        mass = self._read(prompt, states, self._softmax, on_memories)  # (layers, T, heads, memories)
        question = mass[:, own].mean(axis=1)
        return Attention(question.transpose(2, 0, 1), mass[:, -1].transpose(2, 0, 1))

    def queries(self, prompt: Sequence[int], own: slice) -> npt.NDArray[np.float32]:
        """(layers, query heads, tokens, D), before rotation; the prompt's last token comes last."""
        rotated = self._read(prompt, (), self._queries, lambda caught: caught)
        positions = self._placing.start + np.arange(len(prompt))
        rows = [*range(*own.indices(len(prompt))), len(prompt) - 1]
        raw = [self._placing.raw_keys(layer[rows], positions[rows]) for layer in rotated]
        return np.stack(raw).transpose(0, 2, 1, 3)

    def _read(
        self,
        prompt: Sequence[int],
        states: Sequence[State],
        watch: Watch,
        taken: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]],
    ) -> npt.NDArray[np.float32]:
        """Read the prompt with all of `states` in sight. (layers, T, ...): what `taken` makes of a layer."""
        cells = len(self._prefix.positions) + sum(len(state.positions) for state in states) + len(prompt)
        with self._compute():
            context = self._ready(cells)
            context.clear()
            context.put(0, self._prefix)
            for sequence, state in enumerate(states, 1):
                context.put(sequence, state)
                context.share(sequence, 0)
        parts = []
        for first in range(0, len(prompt), BATCH_TOKENS):
            tokens = list(prompt[first : first + BATCH_TOKENS])
            with self._compute():
                watch.on = True
                context.run([Run(0, self._placing.start + first, tokens)])
                watch.on = False
            caught = {layer: array for (_, layer), array in watch.take().items()}
            parts.append(
                np.stack([taken(self._shaped(caught, layer, len(tokens), watch)) for layer in caught])
            )
        return np.concatenate(parts, axis=1)

    def _shaped(self, caught: Caught, layer: int, tokens: int, watch: Watch) -> npt.NDArray[np.float32]:
        if len(caught) != self._model.layers:
            raise BackendUnavailable(
                f"{self._model.path.name}: llama.cpp names what it computes otherwise than expected; choose "
                "--backend torch"
            )
        heads = self._model.heads
        shape = (heads, tokens, -1) if watch is self._softmax else (tokens, heads, self._model.head_dim)
        return caught[layer].reshape(shape)

    def _ready(self, cells: int) -> Context:
        """A context with room for so many cells, the one of last time if it is large enough."""
        self._context = with_room(
            self._context,
            self._model,
            cells,
            _SEQUENCES + 2,
            threads=self._threads,
            watcher=self._watch,
        )
        return self._context

    def _watch(self, name: str, ask: bool, node: Node) -> bool:
        return (self._softmax if self._softmax.on else self._queries)(name, ask, node)
