"""Several answers in one llama.cpp context: their next tokens share each pass over the weights.

Whoever has tokens to process hands them in and waits. The first to find nobody computing computes for all
who wait (a group commit), so one answer alone pays for no thread and no hand-over.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from engine.llama.context import BATCH_TOKENS, Context, Run

# An answer that draws its next token is back within a fraction of this; one whose reader is slow is not
# waited for any longer.
GATHER_SECONDS = 0.004


class _Request:
    def __init__(self, run: Run) -> None:
        self.run = run
        self.logits: npt.NDArray[np.float32] | None = None
        self.error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.logits is not None or self.error is not None


class Batcher:
    """Safe to share between threads, and the only way to a context that answers share."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._state = threading.Condition()
        self._waiting: list[_Request] = []
        self._computing = False
        self._decoding = 0  # answers that will soon hand in their next token

    @contextmanager
    def exclusive(self) -> Iterator[Context]:
        """The context, for moving sequences about, while nobody computes."""
        with self._state:
            self._state.wait_for(lambda: not self._computing)
            self._computing = True
        try:
            yield self._context
        finally:
            with self._state:
                self._computing = False
                self._state.notify_all()

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Around a stretch in which an answer hands in one token after the other."""
        with self._state:
            self._decoding += 1
        try:
            yield
        finally:
            with self._state:
                self._decoding -= 1
                self._state.notify_all()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Inside `decoding`, while the next token is not to be waited for."""
        with self._state:
            self._decoding -= 1
            self._state.notify_all()
        try:
            yield
        finally:
            with self._state:
                self._decoding += 1

    def run(self, run: Run) -> npt.NDArray[np.float32]:
        """Process a run of at most `BATCH_TOKENS` tokens: logits (rows, vocabulary). Raises EngineError."""
        mine = _Request(run)
        with self._state:
            self._waiting.append(mine)
            self._state.notify_all()
            while not mine.done and self._computing:
                self._state.wait()
            if not mine.done:
                self._computing = True
                self._state.wait_for(lambda: len(self._waiting) >= self._decoding, GATHER_SECONDS)
                batch = self._take(mine)
        if not mine.done:
            self._compute(batch)
        if mine.error is not None:
            raise mine.error
        assert mine.logits is not None
        return mine.logits

    def _take(self, first: _Request) -> list[_Request]:
        """`first` and as many others as fit a call, the shortest first: a long prompt delays nobody twice."""
        others = sorted((r for r in self._waiting if r is not first), key=lambda r: len(r.run.tokens))
        room, batch = BATCH_TOKENS, []
        for request in [first, *others]:
            if len(request.run.tokens) <= room:
                batch.append(request)
                room -= len(request.run.tokens)
        self._waiting = [r for r in self._waiting if r not in batch]
        return batch

    def _compute(self, batch: Sequence[_Request]) -> None:
        try:
            for request, logits in zip(batch, self._context.run([r.run for r in batch]), strict=True):
                request.logits = logits
        except BaseException as error:  # noqa: BLE001  everybody in the batch must hear of it
            for request in batch:
                request.error = error
        finally:
            with self._state:
                self._computing = False
                self._state.notify_all()
