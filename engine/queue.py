"""Who is served next: answers take turns by client, writing fills the gaps. Knows no model.

`FairQueue` decides, `QueuedEngine` puts any engine behind it. The rules:

* At most `capacity` requests run at once, one of them at most a write.
* Waiting answers are served round robin by client, first come first served within a client. A client that
  comes anew goes in front of the one that was served last, and behind all others.
* A write starts when no answer waits, or when `OVERTAKES` answers have started while it waited. A long write
  is cut into the packs of `engine.packing`, each a request of its own, so an answer waits for one at most.
* What an answer has written while it asks for its memories is part of that answer and waits for nothing.
"""

import threading
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
import numpy.typing as npt

from engine.format import Fingerprint, MemoryFormat
from engine.memory import ExplicitMemory
from engine.packing import packs
from engine.protocol import (
    Attention,
    Chunk,
    Engine,
    EngineInfo,
    GenerateOptions,
    KeyedMemory,
    MemoriesFor,
    Message,
    Needed,
    Queued,
    Read,
    Score,
    Token,
    Tokens,
    Trimmed,
)

OVERTAKES = 8  # answers that may start while a write waits; the next free place is then the write's
POLL_SECONDS = 0.05  # a stop is an event of its own: nothing wakes the waiting but a look at it


class Place:
    """One request in the queue. started: it may run. Made by `FairQueue` only."""

    def __init__(self, client: str | None) -> None:
        self.client = client  # None: a write
        self.started = False


class FairQueue:
    """Safe to share between threads. Every place that was joined must be left, started or not."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.capacity = capacity
        self._changed = threading.Condition()
        self._line: dict[str, deque[Place]] = {}  # clients with waiting answers
        self._turns: deque[str] = deque()  # the same clients, the next first
        self._latest: str | None = None  # whose answer started last
        self._writes: deque[Place] = deque()
        self._running: set[Place] = set()
        self._overtaken = 0

    @property
    def running(self) -> int:
        """Requests that run now."""
        with self._changed:
            return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests that wait now."""
        with self._changed:
            return len(self._writes) + sum(map(len, self._line.values()))

    def join(self, client: str) -> Place:
        """Take a place for an answer of `client`; it may have started already."""
        place = Place(client)
        with self._changed:
            if client not in self._line:
                self._line[client] = deque()
                if client != self._latest and self._turns and self._turns[-1] == self._latest:
                    self._turns.insert(len(self._turns) - 1, client)
                else:
                    self._turns.append(client)
            self._line[client].append(place)
            self._dispatch()
        return place

    def join_behind(self) -> Place:
        """Take a place for a write; it may have started already."""
        place = Place(None)
        with self._changed:
            self._writes.append(place)
            self._dispatch()
        return place

    def leave(self, place: Place) -> None:
        """Give the place up, done or cancelled. Doing it again is harmless."""
        with self._changed:
            if place in self._running:
                self._running.remove(place)
            elif place in self._writes:
                self._writes.remove(place)
                self._overtaken = self._overtaken if self._writes else 0
            elif place.client is not None and place in self._line.get(place.client, ()):
                self._line[place.client].remove(place)
                self._forget_idle(place.client)
            else:
                return
            self._dispatch()

    def ahead(self, place: Place) -> int:
        """Answers to be served before this waiting one, as things stand; 0 once it has started.

        While answers run, so that at least one of them must end first, that one counts.
        """
        with self._changed:
            return self._ahead(place)

    def wait(self, place: Place, stop: threading.Event | None = None, known: int | None = None) -> int | None:
        """Block until the place has started or `stop` is set (None), or until `ahead` is not `known`."""
        with self._changed:
            while not place.started and not (stop is not None and stop.is_set()):
                ahead = self._ahead(place)
                if stop is not None and ahead != known:
                    return ahead
                self._changed.wait(POLL_SECONDS if stop is not None else None)
        return None

    @contextmanager
    def turn(self, client: str | None) -> Iterator[None]:
        """Wait for a place (None: as a write), hold it inside."""
        place = self.join_behind() if client is None else self.join(client)
        try:
            self.wait(place)
            yield
        finally:
            self.leave(place)

    def _ahead(self, place: Place) -> int:
        if place.started or place.client is None:
            return 0
        own = self._line[place.client].index(place)
        position = self._turns.index(place.client)
        others = sum(
            min(len(self._line[client]), own + (turn < position))
            for turn, client in enumerate(self._turns)
            if turn != position
        )
        return own + others + any(each.client is not None for each in self._running)

    def _dispatch(self) -> None:
        """Start whatever may start."""
        while len(self._running) < self.capacity:
            writing = any(each.client is None for each in self._running)
            if self._writes and not writing and (not self._turns or self._overtaken >= OVERTAKES):
                place = self._writes.popleft()
                self._overtaken = 0
            elif self._turns:
                client = self._turns.popleft()
                place = self._line[client].popleft()
                self._turns.append(client)
                self._forget_idle(client)
                self._latest = client
                self._overtaken += bool(self._writes)
            else:
                break
            place.started = True
            self._running.add(place)
        self._changed.notify_all()

    def _forget_idle(self, client: str) -> None:
        if not self._line[client]:
            del self._line[client]
            self._turns.remove(client)


class QueuedEngine:
    """`Engine` in front of another, which then gets at most `info.parallel` calls at once.

    `generate` yields `Queued` whenever the number ahead changes while it waits; setting `stop` or closing the
    generator frees its place, waiting or running.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.queue = FairQueue(engine.info.parallel)
        self._inside = threading.local()  # set while an answer, which holds a place, asks for memories

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    @property
    def format(self) -> MemoryFormat:
        return self._engine.format

    @property
    def fingerprint(self) -> Fingerprint:
        return self._engine.fingerprint

    def tokenize(self, text: str) -> Tokens:
        return self._engine.tokenize(text)

    def write(self, references: Sequence[Sequence[int]]) -> list[ExplicitMemory]:
        if getattr(self._inside, "answer", False):
            return self._engine.write(references)
        memories: list[ExplicitMemory] = []
        for pack in packs([len(reference) for reference in references]):
            with self.queue.turn(None):
                memories += self._engine.write([references[i] for i in pack])
        return memories

    def generate(
        self, messages: Sequence[Message], memories_for: MemoriesFor | None, options: GenerateOptions
    ) -> Iterator[Token | Read | Queued | Trimmed]:
        place = self.queue.join(options.client)
        try:
            ahead: int | None = None
            while (ahead := self.queue.wait(place, options.stop, ahead)) is not None:
                yield Queued(ahead)
            if options.stop.is_set():
                return
            asking = None if memories_for is None else self._asking(memories_for)
            stream = self._engine.generate(messages, asking, options)
            with closing(stream):  # type: ignore[type-var]  # engines' streams are generators
                yield from stream
        finally:
            self.queue.leave(place)

    def score(self, messages: Sequence[Message], answer: str, memories_for: MemoriesFor | None) -> Score:
        with self.queue.turn(""):
            return self._engine.score(
                messages, answer, None if memories_for is None else self._asking(memories_for)
            )

    def needed(
        self,
        messages: Sequence[Message],
        answer: str,
        memories_for: MemoriesFor,
        groups: Sequence[Collection[int]],
    ) -> Needed:
        with self.queue.turn(""):
            return self._engine.needed(messages, answer, self._asking(memories_for), groups)

    def attend(self, messages: Sequence[Message], memories: Sequence[ExplicitMemory]) -> Attention:
        with self.queue.turn(""):
            return self._engine.attend(messages, memories)

    def queries(self, messages: Sequence[Message]) -> npt.NDArray[np.float32]:
        """Takes no turn: it is short, and its answer takes one next."""
        return self._engine.queries(messages)

    def _asking(self, memories_for: MemoriesFor) -> MemoriesFor:
        """`memories_for`, during which `write` is part of the answer that holds the place."""

        def asked(chunk: Chunk) -> Sequence[KeyedMemory]:
            self._inside.answer = True
            try:
                return memories_for(chunk)
            finally:
                self._inside.answer = False

        return asked
