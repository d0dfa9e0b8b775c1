"""One answer's place in the context that answers share: its sequence, its tokens, what it reads."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from engine.llama.batching import Batcher
from engine.llama.context import Run
from engine.llama.placing import Placing
from engine.llama.residents import Residents
from engine.llama.walk import Segment
from engine.protocol import KeyedMemory

PREFIX_SEQUENCE = 0
PIECE_TOKENS = 256  # of a long prompt, so that other answers go on in between


class Answer:
    """One answer's sequence in the shared context."""

    def __init__(
        self,
        batcher: Batcher,
        sequence: int,
        placing: Placing | None = None,
        residents: Residents | None = None,
        room: Callable[[], int] = lambda: 0,
    ) -> None:
        self._batcher, self._sequence = batcher, sequence
        self._placing, self._residents, self._room = placing, residents, room
        self._position = 0 if placing is None else placing.start
        if placing is not None:
            with batcher.exclusive() as context:
                context.share(PREFIX_SEQUENCE, sequence)

    def read(self, memories: Sequence[KeyedMemory]) -> None:
        """Drop the memories and make these visible; the context stays as it is."""
        if self._placing is None or self._residents is None:
            return
        states = [self._residents.state(k.key, k.memory, place) for place, k in enumerate(memories)]
        with self._batcher.exclusive() as context:
            context.remove(self._sequence, *self._placing.memory_positions)
            self._residents.make_room(context, [keyed.key for keyed in memories], self._room())
            for place, (keyed, state) in enumerate(zip(memories, states, strict=True)):
                held = self._residents.sequence(context, keyed.key, place, state)
                context.share(held, self._sequence)

    def feed_prompt(
        self, segments: Sequence[Segment], stop: threading.Event
    ) -> npt.NDArray[np.float32] | None:
        """Logits (vocabulary,) after the prompt; None if it was stopped."""
        logits = None
        for segment in segments:
            self.read(segment.memories)
            for first in range(0, len(segment.tokens), PIECE_TOKENS):
                if stop.is_set():
                    return None
                logits = self.feed(segment.tokens[first : first + PIECE_TOKENS])
        return logits

    def feed(self, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
        """Process the next tokens: logits (vocabulary,) after the last of them."""
        run = Run(self._sequence, self._position, tokens, (len(tokens) - 1,))
        self._position += len(tokens)
        logits: npt.NDArray[np.float32] = self._batcher.run(run)[0]
        return logits


class Places:
    """Sequences for answers, and the room that they share."""

    def __init__(self, sequences: range, tokens: int) -> None:
        self._free, self._tokens = list(sequences), tokens
        self._state = threading.Condition()

    @contextmanager
    def one(self, tokens: int) -> Iterator[int]:
        """A sequence, once one is free and `tokens` fit beside the other answers."""
        with self._state:
            self._state.wait_for(lambda: self._free and tokens <= self._tokens)
            self._tokens -= tokens
            sequence = self._free.pop()
        try:
            yield sequence
        finally:
            with self._state:
                self._tokens += tokens
                self._free.append(sequence)
                self._state.notify_all()
