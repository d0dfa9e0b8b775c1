"""Memories that lie in the cache already: each in its own sequence, the least recently read given up first.

A resident memory is made visible to an answer by sharing its cells, which copies nothing. Giving one up
only takes its own sequence off: cells that an answer still reads stay until that answer drops them.
"""

from collections import OrderedDict

import numpy as np

from engine.llama.context import Context
from engine.llama.placing import Placing
from engine.memory import ExplicitMemory


class Residents:
    """sequences: the ids that it may use, one per memory."""

    def __init__(self, placing: Placing, sequences: range) -> None:
        self._placing = placing
        self._free = list(sequences)
        self._held: OrderedDict[tuple[int, int], tuple[int, ExplicitMemory]] = OrderedDict()
        self.bytes_moved = 0

    def __len__(self) -> int:
        return len(self._held)

    def sequence(self, context: Context, key: int, memory: ExplicitMemory, place: int) -> int:
        """The sequence that holds a memory, put into the cache if it is not there.

        Raises MemoryMismatch, ContextOverflow.
        """
        name = (key, place if self._placing.format.positions == "serial" else 0)
        found = self._held.get(name)
        if found is not None and _equal(found[1], memory):
            self._held.move_to_end(name)
            return found[0]
        state = self._placing.memory_state(memory, place)
        if found is not None:
            self._drop(context, name)
        elif not self._free:
            self._drop(context, next(iter(self._held)))
        sequence = self._free.pop()
        try:
            context.put(sequence, state)
        except BaseException:
            context.remove(sequence)
            self._free.append(sequence)
            raise
        self.bytes_moved += state.keys.nbytes + state.values.nbytes
        self._held[name] = sequence, memory
        return sequence

    def clear(self, context: Context) -> None:
        """Give up all of them."""
        for name in list(self._held):
            self._drop(context, name)

    def _drop(self, context: Context, name: tuple[int, int]) -> None:
        sequence, _ = self._held.pop(name)
        context.remove(sequence)
        self._free.append(sequence)


def _equal(one: ExplicitMemory, other: ExplicitMemory) -> bool:
    """Whether a key still names the same numbers: a deleted reference's id may have been given again."""
    if one is other:
        return True
    ours, theirs = one.to_arrays(), other.to_arrays()
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[k], theirs[k]) for k in ours)
