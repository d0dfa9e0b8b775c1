"""Memories written by llama.cpp itself: keys, values and queries caught from the graph of one reference.

Rotated keys and queries are turned back, which is exact up to fp32, so nothing depends on how a family
normalises or biases them before. Each reference is one call of its own behind the shared prefix: what a
memory holds depends on its reference alone.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from engine.errors import BackendUnavailable
from engine.format import MemoryFormat
from engine.keeping import Keeping
from engine.llama.context import Context, Run
from engine.llama.model import LlamaModel
from engine.llama.placing import Placing
from engine.llama.watching import Watch
from engine.memory import ExplicitMemory

_NODES: dict[str, str | None] = {"Qcur": "ROPE", "Kcur": "ROPE", "Vcur": None}


class Writing:
    """Not safe to share between threads."""

    def __init__(self, model: LlamaModel, placing: Placing, prefix: Sequence[int], threads: int) -> None:
        self._model, self._placing, self._prefix = model, placing, list(prefix)
        self._watch = Watch(_NODES)
        self._context = Context(model, 256, 2, threads=threads, watcher=self._watch)
        self._context.run([Run(0, 0, self._prefix)])

    def write(self, fmt: MemoryFormat, reference: Sequence[int]) -> ExplicitMemory:
        """One reference's memory; its length was checked by the caller."""
        start = len(self._prefix)
        self._context.remove(1)
        self._context.share(0, 1)
        self._watch.on = True
        self._context.run([Run(1, start, list(reference))])
        self._watch.on = False
        caught = self._watch.take()
        if len(caught) != 3 * self._model.layers:
            raise BackendUnavailable(
                f"{self._model.path.name}: llama.cpp names its queries, keys and values otherwise than "
                "expected; choose --backend torch"
            )
        keeping = Keeping(fmt, [len(reference)])
        positions = start + np.arange(len(reference))
        for layer in fmt.layers:
            queries = self._raw(caught["Qcur", layer], self._model.heads, positions)
            keys = self._raw(caught["Kcur", layer], self._model.kv_heads, positions)
            values = caught["Vcur", layer].reshape(len(reference), self._model.kv_heads, -1)
            keeping.add(_batched(queries), _batched(keys), _batched(values), self._model.head_dim**-0.5)
        return keeping.memories()[0]

    def _raw(
        self, rotated: npt.NDArray[np.float32], heads: int, positions: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        return self._placing.raw_keys(rotated.reshape(len(positions), heads, -1), positions)


def _batched(vectors: npt.NDArray[np.float32]) -> torch.Tensor:
    """(T, heads, D) -> (1, heads, T, D)."""
    return torch.from_numpy(vectors).transpose(0, 1)[None].contiguous()
