"""An answer's events, from the thread that makes them to the loop that sends them.

The service is asked in a thread of a pool of its own, so that answers which wait for their turn leave the
threads of quick requests alone. Whoever hangs up, before or in the middle of an answer, stops it.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from contextvars import copy_context
from dataclasses import dataclass

from fastapi.responses import StreamingResponse
from starlette.requests import Request

from app.answering.answer import Answer, AnswerEvent, DoneEvent, TrimmedEvent
from app.errors import AttestError

AT_ONCE = 32  # answers that wait or are written; the model itself takes fewer
EVENT = {  # one server-sent event, as OpenAPI describes a stream of them
    "type": "object",
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["data"],
}
Ask = Callable[[threading.Event], Iterator[AnswerEvent]]


class Answers:
    """The threads in which answers are made."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, "attest-answer")

    async def events(self, request: Request, ask: Ask) -> AsyncGenerator[AnswerEvent]:
        """What `ask` yields, as it comes; raises what it raises. The body of `request` has been read."""
        loop, stop = asyncio.get_running_loop(), threading.Event()
        arrived: asyncio.Queue[AnswerEvent | None] = asyncio.Queue()

        def run() -> None:
            try:
                if not stop.is_set():
                    for event in ask(stop):
                        loop.call_soon_threadsafe(arrived.put_nowait, event)
            finally:
                loop.call_soon_threadsafe(arrived.put_nowait, None)

        running = loop.run_in_executor(self._pool, copy_context().run, run)  # for whoever asks, there too
        running.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left
        watching = asyncio.create_task(_hang_up(request, stop))
        try:
            while (event := await arrived.get()) is not None:
                yield event
            await running
        finally:
            stop.set()
            watching.cancel()


@dataclass(frozen=True)
class Whole:
    """A finished answer, and how many of the oldest messages did not fit into it."""

    answer: Answer
    trimmed: int = 0


async def whole(events: AsyncIterator[AnswerEvent]) -> Whole:
    """Wait for the end."""
    trimmed = 0
    async for event in events:
        if isinstance(event, TrimmedEvent):
            trimmed = event.messages
        elif isinstance(event, DoneEvent):
            return Whole(event.answer, trimmed)
    raise AttestError("the answer was stopped")


async def streamed(
    frames: AsyncGenerator[bytes], failed: Callable[[AttestError], bytes]
) -> StreamingResponse:
    """Server-sent events; begun when there is a first one, so that a refusal still has its status."""
    first = await anext(frames)

    async def send() -> AsyncIterator[bytes]:
        async with aclosing(frames):
            yield first
            try:
                async for frame in frames:
                    yield frame
            except AttestError as error:
                yield failed(error)

    return StreamingResponse(send(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _hang_up(request: Request, stop: threading.Event) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    stop.set()
