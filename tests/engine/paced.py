"""Engines whose pace a test sets, and what was seen of them: how many ran at once, and in which order."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from engine.errors import ContextOverflow
from engine.fake import FakeEngine
from engine.memory import ExplicitMemory
from engine.protocol import (
    Chunk,
    Engine,
    EngineInfo,
    GenerateOptions,
    KeyedMemory,
    MemoriesFor,
    Message,
    Read,
    Score,
    Token,
)


class Paced(FakeEngine):
    """Every token, and every write, takes one permit; `permits` None gives them for nothing.

    A question "overflow" does not fit, and "bug" fails as no engine should. log: calls in the order in which
    they began. most: calls that ran at once. made: tokens so far.
    """

    def __init__(self, parallel: int = 1, permits: threading.Semaphore | None = None) -> None:
        self.parallel, self.permits = parallel, permits
        self.log: list[str] = []
        self.running = self.most = self.made = 0
        self._lock = threading.Lock()

    @property
    def info(self) -> EngineInfo:
        return replace(super().info, parallel=self.parallel)

    def write(self, references: Sequence[Sequence[int]]) -> list[ExplicitMemory]:
        with self._counted(f"write {len(references)}"):
            self._permitted(threading.Event())
            return super().write(references)

    def generate(
        self, messages: Sequence[Message], memories_for: MemoriesFor | None, options: GenerateOptions
    ) -> Iterator[Token | Read]:
        with self._counted(messages[-1].content):
            self._fail(messages[-1].content)
            if memories_for is not None:
                yield from super().generate(messages, memories_for, options)
                return
            for n in range(options.max_tokens):
                if not self._permitted(options.stop):
                    break
                self.made += 1
                yield Token(n, f" {n}")

    def score(self, messages: Sequence[Message], answer: str, memories_for: MemoriesFor | None) -> Score:
        with self._counted("score"):
            return super().score(messages, answer, memories_for)

    def _fail(self, question: str) -> None:
        if question == "overflow":
            raise ContextOverflow("the prompt has 5000 tokens; shorten it")
        if question == "bug":
            raise ValueError("a secret of the document")

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        with self._lock:
            self.log.append(name)
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            yield
        finally:
            with self._lock:
                self.running -= 1

    def _permitted(self, stop: threading.Event) -> bool:
        while not stop.is_set():
            if self.permits is None or self.permits.acquire(timeout=0.01):
                return True
        return False


class Collected(threading.Thread):
    """Runs `call` in a thread; `result` or `error` is there after `join`."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.result: object = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._call()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error


def until(happened: Callable[[], object]) -> None:
    """Wait; the test's own timeout ends it."""
    pause = threading.Event()
    while not happened():
        pause.wait(0.005)


def prompt(text: str) -> list[Message]:
    return [Message("user", text)]


def cold(engine: Engine, text: str) -> MemoriesFor:
    """Memories that are written when they are asked for."""

    def memories_for(chunk: Chunk) -> list[KeyedMemory]:
        return [KeyedMemory(7, memory) for memory in engine.write([engine.tokenize(text).ids])]

    return memories_for
