"""Chat completions and models as OpenAI's clients call them; a model is a collection.

What such clients send and this does not do is passed over: sampling (answers are greedy), tools, system
messages (a collection's profile instructs the model). The answer's evidence is in one more field, `attest`.
"""

import threading
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.sse import format_sse_event
from pydantic import BaseModel, Field

from app.answering.answer import Answer, AnswerEvent, DoneEvent, Mode, TokenEvent, TrimmedEvent
from app.api.access import client_of
from app.api.answers import MOST_TOKENS, check_ready
from app.api.replies import Json, error_content, to_json
from app.api.streaming import EVENT, Answers, Whole, streamed, whole
from app.api.text import Text
from app.errors import AttestError, MemoryRefused, NotFound
from app.service import Service
from storage.records import CollectionRow

DONE = format_sse_event(data_str="[DONE]")
Role = Literal["system", "developer", "user", "assistant"]


class TextPart(BaseModel):
    """A part of a message; others than text are refused."""

    type: Literal["text"]
    text: Text


class ChatMessage(BaseModel):
    """role system and developer: passed over, since a collection's profile instructs the model."""

    role: Role
    content: Text | list[TextPart]

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content)


class ChatRequest(BaseModel):
    """model: a collection's name. mode: as of `attest ask`; a model that cannot read memories uses text.

    Other fields of OpenAI's are taken and passed over.
    """

    model: Text
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=2000)]
    stream: bool = False
    max_tokens: Annotated[int | None, Field(ge=1)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1)] = None
    n: Annotated[int | None, Field(ge=1, le=1)] = None
    mode: Mode = "memory"

    @property
    def tokens(self) -> int:
        """The longest answer, in tokens."""
        return min(self.max_completion_tokens or self.max_tokens or 512, MOST_TOKENS)


class AssistantMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str


class Choice(BaseModel):
    index: int
    message: AssistantMessage
    finish_reason: Literal["stop", "length"]


class ChatCompletion(BaseModel):
    """attest: the object of POST /v1/answers. attest_trimmed_messages: the oldest, which did not fit."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    attest: Answer
    attest_trimmed_messages: int


class Model(BaseModel):
    """A collection. created: Unix seconds."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[Model]


def chat_routes(service: Service, answers: Answers) -> APIRouter:
    router = APIRouter(tags=["as OpenAI's"])

    @router.get("/models", response_model=ModelList)
    def models() -> Response:
        """The collections, which are what can be asked."""
        return Json({"object": "list", "data": [_model(row) for row in service.collections()]})

    @router.get("/models/{name:path}", response_model=Model)
    def model(name: str) -> Response:
        """One collection."""
        for row in service.collections():
            if row.name == name:
                return Json(_model(row))
        raise NotFound(f"there is no collection {name!r}; GET /v1/models lists them")

    @router.post(
        "/chat/completions",
        response_model=ChatCompletion,
        responses={200: {"content": {"text/event-stream": {"schema": EVENT}}}},
    )
    async def complete(asked: ChatRequest, request: Request) -> Response:
        """Answer the last message of a conversation from the documents of the collection `model`.

        With `stream`, chunks as OpenAI sends them; the last one before `[DONE]` has `attest`.
        """
        question, history = conversation_of(asked.messages)
        client = client_of(request)

        def asking(stop: threading.Event) -> Iterator[AnswerEvent]:
            def ask(mode: Mode) -> Iterator[AnswerEvent]:
                return service.ask(
                    question,
                    asked.model,
                    mode=mode,
                    history=history,
                    max_tokens=asked.tokens,
                    stop=stop,
                    client=client,
                )

            try:
                yield from ask(asked.mode)
            except MemoryRefused:  # before any event; `attest.engine.mode` says how it was answered
                yield from ask("text")

        check_ready(service)
        events = answers.events(request, asking)
        if asked.stream:
            return await streamed(_frames(asked, events), _failed)
        async with aclosing(events):
            return Json(_completion(asked, await whole(events)))

    return router


def conversation_of(messages: Sequence[ChatMessage]) -> tuple[str, list[tuple[str, str]]]:
    """The question at the end, and the questions before it with their answers.

    Messages of one side that follow each other are joined. Raises AttestError if the end is no question.
    """
    spoken = [message for message in messages if message.role in ("user", "assistant")]
    if not spoken or spoken[-1].role != "user":
        raise AttestError("the last message has to be the user's: it is the question")
    history: list[tuple[str, str]] = []
    asked: list[str] = []
    for message in spoken:
        if message.role == "user":
            asked.append(message.text)
        elif asked:
            history.append(("\n".join(asked), message.text))
            asked = []
        elif history:
            history[-1] = (history[-1][0], f"{history[-1][1]}\n{message.text}")
    return "\n".join(asked), history


def _model(row: CollectionRow) -> dict[str, Any]:
    return {"id": row.name, "object": "model", "created": int(row.created_at), "owned_by": "attest"}


def _completion(asked: ChatRequest, done: Whole) -> dict[str, Any]:
    message = {"role": "assistant", "content": done.answer.answer}
    return {
        **_head(asked, "chat.completion"),
        "choices": [{"index": 0, "message": message, "finish_reason": _reason(asked, done.answer)}],
        **_evidence(done),
    }


async def _frames(asked: ChatRequest, events: AsyncIterator[AnswerEvent]) -> AsyncGenerator[bytes]:
    head = _head(asked, "chat.completion.chunk")

    def chunk(delta: dict[str, str], reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return format_sse_event(data_str=to_json({**head, "choices": [choice], **more}))

    trimmed, begun = 0, False
    async for event in events:
        if not begun:
            begun = True
            yield chunk({"role": "assistant", "content": ""})
        if isinstance(event, TrimmedEvent):
            trimmed = event.messages
        elif isinstance(event, TokenEvent):
            yield chunk({"content": event.text})
        elif isinstance(event, DoneEvent):
            yield chunk({}, _reason(asked, event.answer), **_evidence(Whole(event.answer, trimmed)))
            yield DONE


def _head(asked: ChatRequest, kind: str) -> dict[str, Any]:
    name = f"chatcmpl-{uuid.uuid4().hex}"
    return {"id": name, "object": kind, "created": int(time.time()), "model": asked.model}


def _evidence(done: Whole) -> dict[str, Any]:
    return {"attest": done.answer.to_json(), "attest_trimmed_messages": done.trimmed}


def _reason(asked: ChatRequest, answer: Answer) -> str:
    return "length" if answer.timings.tokens >= asked.tokens else "stop"


def _failed(error: AttestError) -> bytes:
    return format_sse_event(data_str=to_json(asdict(error_content(error))))
