"""Memories that lie in the cache already, each in its own sequence, and the states of those that lately did.

A resident memory is made visible to an answer by sharing its cells, which copies nothing. But every cell of
the cache is looked at for every token, visible or not, so only the memories of the answers that run now stay
(the least recently read are given up first); of the others the finished state is kept in RAM, from where it
is back in a fraction of a millisecond. Giving one up only takes its own sequence off: cells that an answer
still reads stay until that answer drops them.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from engine.llama.context import Context
from engine.llama.layout import Layout
from engine.llama.placing import Placing
from engine.memory import ExplicitMemory

_Name = tuple[int, int]  # key, and place where positions are serial


class Residents:
    """sequences: the ids that it may use, one per memory. states: how many states it keeps in RAM."""

    def __init__(self, placing: Placing, layout: Layout, sequences: range, states: int) -> None:
        self._placing, self._layout = placing, layout
        self._free = list(sequences)
        self._held: OrderedDict[_Name, tuple[int, bytes]] = OrderedDict()
        self._states: OrderedDict[_Name, tuple[ExplicitMemory, bytes]] = OrderedDict()
        self._most_states = states
        self._lock = threading.Lock()  # of the states; the cache is guarded by who hands in the context
        self.bytes_moved = 0

    def __len__(self) -> int:
        return len(self._held)

    def state(self, key: int, memory: ExplicitMemory, place: int) -> bytes:
        """The cells of a memory as the cache takes them, from RAM if it was read lately.

        Raises MemoryMismatch.
        """
        name = self._name(key, place)
        with self._lock:
            known = self._states.get(name)
            if known is not None and same(known[0], memory):
                self._states.move_to_end(name)
                return known[1]
        state = self._layout.pack(self._placing.memory_state(memory, place))
        with self._lock:
            self._states[name] = memory, state
            while len(self._states) > self._most_states:
                self._states.popitem(last=False)
        return state

    def sequence(self, context: Context, key: int, place: int, state: bytes) -> int:
        """The sequence that holds a memory's `state`, put into the cache if it is not there.

        Raises ContextOverflow.
        """
        name = self._name(key, place)
        found = self._held.get(name)
        if found is not None and found[1] is state:
            self._held.move_to_end(name)
            return found[0]
        if found is not None:
            self._drop(context, name)
        elif not self._free:
            self._drop(context, next(iter(self._held)))
        sequence = self._free[-1]
        context.put_bytes(sequence, state)  # what it leaves behind when it fails, the next one drops
        self._free.pop()
        self.bytes_moved += len(state)
        self._held[name] = sequence, state
        return sequence

    def make_room(self, context: Context, keys: Sequence[int], most: int) -> None:
        """Give up the least recently read until at most `most` are left once those of `keys` have come.

        Called before they come, so that they lie where the others lay: cells are looked at up to the last one
        that is taken.
        """
        wanted = {self._name(key, place) for place, key in enumerate(keys)}
        others = [name for name in self._held if name not in wanted]
        for name in others[: max(0, len(others) + len(wanted) - most)]:
            self._drop(context, name)

    def clear(self, context: Context) -> None:
        """Give up all of them, in RAM too."""
        self.make_room(context, (), 0)
        with self._lock:
            self._states.clear()

    def _name(self, key: int, place: int) -> _Name:
        return key, place if self._placing.format.positions == "serial" else 0

    def _drop(self, context: Context, name: _Name) -> None:
        sequence, _ = self._held.pop(name)
        context.remove(sequence)
        self._free.append(sequence)


def same(one: ExplicitMemory, other: ExplicitMemory) -> bool:
    """Whether a key still names the same numbers: a deleted reference's id may have been given again."""
    if one is other:
        return True
    ours, theirs = one.to_arrays(), other.to_arrays()
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[k], theirs[k]) for k in ours)
