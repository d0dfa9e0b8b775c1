"""POST /v1/answers: the object that `attest ask --json` prints, whole or as it grows."""

import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.sse import format_sse_event
from pydantic import BaseModel, ConfigDict, Field

from app.answering.answer import (
    Answer,
    AnswerEvent,
    Mode,
    QueuedEvent,
    ReadEvent,
    TokenEvent,
    TrimmedEvent,
)
from app.api.access import client_of
from app.api.replies import Json, error_content, to_json
from app.api.streaming import EVENT, Answers, streamed, whole
from app.api.text import Text
from app.errors import AttestError, NotReady
from app.service import Service

DEFAULT_COLLECTION = "default"
MOST_TOKENS = 4096
TRIMMED = "Attest-Trimmed-Messages"  # a header, for the object itself is that of the command line
DESCRIPTION = (
    "Answer a question from a collection's documents. With `stream`, as server-sent events: `token` ({text}, "
    "what the answer grew by), `read` (one element of `reads`), at the end `done` (the whole object). Before "
    "the first token there may be `queued` ({ahead}, questions before this one) and `trimmed` ({messages}, "
    f"the oldest of the history, which did not fit; without `stream` the header `{TRIMMED}`). An answer that "
    "fails in the middle ends with `error`. Whoever hangs up stops the answer."
)


class Exchange(BaseModel):
    """A question that was asked before, and its answer."""

    model_config = ConfigDict(extra="forbid")

    question: Text
    answer: Text


class AskRequest(BaseModel):
    """A question, with the options of `attest ask`."""

    model_config = ConfigDict(extra="forbid")

    question: Annotated[Text, Field(min_length=1, max_length=100_000)]
    collection: Text = DEFAULT_COLLECTION
    documents: Annotated[list[Text], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="ids of those that alone are asked; they are in the collection"
    )
    mode: Mode = "memory"
    max_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] = 128
    history: Annotated[list[Exchange], Field(max_length=1000)] = []
    evidence: bool = False
    stream: bool = False


def answer_routes(service: Service, answers: Answers) -> APIRouter:
    router = APIRouter(tags=["answers"])

    @router.post(
        "/answers",
        response_model=Answer,
        responses={200: {"content": {"text/event-stream": {"schema": EVENT}}}},
        description=DESCRIPTION,
    )
    async def ask(asked: AskRequest, request: Request) -> Response:
        history = [(each.question, each.answer) for each in asked.history]
        client = client_of(request)

        def asking(stop: threading.Event) -> Iterator[AnswerEvent]:
            return service.ask(
                asked.question,
                asked.collection,
                mode=asked.mode,
                history=history,
                max_tokens=asked.max_tokens,
                stop=stop,
                client=client,
                evidence=asked.evidence,
                documents=asked.documents,
            )

        check_ready(service)
        events = answers.events(request, asking)
        if asked.stream:
            return await streamed(_frames(events), _failed)
        async with aclosing(events):
            done = await whole(events)
        return Json(done.answer.to_json(), headers={TRIMMED: str(done.trimmed)} if done.trimmed else None)

    return router


def check_ready(service: Service) -> None:
    """Raises NotReady while there is no model to answer."""
    status = service.engine_status()
    if not status.ready:
        raise NotReady(status.message)


async def _frames(events: AsyncIterator[AnswerEvent]) -> AsyncGenerator[bytes]:
    async for event in events:
        if isinstance(event, TokenEvent):
            yield _frame("token", {"text": event.text})
        elif isinstance(event, ReadEvent):
            yield _frame("read", event.read)
        elif isinstance(event, QueuedEvent):
            yield _frame("queued", {"ahead": event.ahead})
        elif isinstance(event, TrimmedEvent):
            yield _frame("trimmed", {"messages": event.messages})
        else:
            yield _frame("done", event.answer)


def _frame(name: str, content: Any) -> bytes:
    return format_sse_event(event=name, data_str=to_json(content))


def _failed(error: AttestError) -> bytes:
    return _frame("error", error_content(error))
