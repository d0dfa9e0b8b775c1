"""Answers over HTTP: the command line's object, its stream, and what ends it early."""

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from starlette.types import ASGIApp

from app.answering.answer import AnswerEvent, QueuedEvent, TokenEvent, TrimmedEvent
from app.api.streaming import AT_ONCE
from app.errors import AttestError, MemoryRefused
from app.service import Service
from tests.app.api.conftest import QUESTION, served
from tests.app.api.test_library import error
from tests.app.conftest import attest

AS_JSON = {"content-type": "application/json"}


def events(text: str) -> list[tuple[str, Any]]:
    """Server-sent events: name and content."""
    found = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def timeless(answer: Any) -> Any:
    """Without how long it took."""
    return {**answer, "timings": {"tokens": answer["timings"]["tokens"]}}


@pytest.mark.usefixtures("fake_model", "filled")
def test_what_was_needed_is_measured_for_whoever_asks(client: TestClient) -> None:
    plain, measured = (
        client.post("/v1/answers", json={"question": QUESTION, "evidence": evidence}).json()
        for evidence in (False, True)
    )
    assert all(each["needed"] is None for each in plain["citations"])
    assert all(isinstance(each["needed"], float) for each in measured["citations"])


@pytest.mark.usefixtures("fake_model", "filled")
@pytest.mark.parametrize("mode", ["memory", "text", "none"])
def test_the_answer_is_the_command_lines_object(client: TestClient, mode: str) -> None:
    asked = client.post("/v1/answers", json={"question": QUESTION, "mode": mode})
    assert asked.status_code == 200
    printed = attest("ask", QUESTION, "--mode", mode, "--no-keep", "--json").json
    assert timeless(asked.json()) == timeless(printed)
    if mode != "none":
        assert asked.json()["citations"]


@pytest.mark.usefixtures("filled")
def test_a_stream_has_tokens_then_reads_then_the_whole(client: TestClient) -> None:
    asked = {"question": "Which item goes to which warehouse, clause 3?", "max_tokens": 200}
    reply = client.post("/v1/answers", json={**asked, "stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    found = events(reply.text)
    names = [name for name, _ in found]
    assert names[-1] == "done"
    assert names.count("done") == 1
    done = found[-1][1]
    assert timeless(done) == timeless(client.post("/v1/answers", json=asked).json())
    reads = [content for name, content in found if name == "read"]
    assert len(reads) > 1
    assert reads == done["reads"]
    tokens = 0
    for name, content in found[:-1]:  # each read comes when its stretch is written
        if name == "token":
            tokens += 1
        else:
            assert (name, content["to_token"]) == ("read", tokens)
    assert names[-2] == "read"
    assert "".join(content["text"] for name, content in found if name == "token").strip() == done["answer"]


@pytest.mark.usefixtures("filled")
def test_an_answer_follows_its_history(client: TestClient, ready: Service, monkeypatch: Any) -> None:
    asked: list[Any] = []

    def ask(question: str, collection: str, **options: Any) -> Iterator[AnswerEvent]:
        asked.append((question, collection, options["history"], options["client"]))
        yield QueuedEvent(2)
        yield TrimmedEvent(3)
        raise AttestError("the model stumbled")

    monkeypatch.setattr(ready, "ask", ask)
    body = {"question": "And then?", "history": [{"question": "When?", "answer": "In May."}]}
    reply = client.post("/v1/answers", json={**body, "stream": True})
    assert asked[0][:3] == ("And then?", "default", [("When?", "In May.")])
    assert events(reply.text) == [
        ("queued", {"ahead": 2}),
        ("trimmed", {"messages": 3}),
        ("error", {"error": {"message": "the model stumbled", "type": "invalid_request"}}),
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_refusals_have_their_status(
    client: TestClient, ready: Service, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(**body: Any) -> tuple[int, str]:
        content = json.dumps({**body, "stream": stream})
        return error(client.post("/v1/answers", content=content, headers=AS_JSON))

    assert ask(question=QUESTION) == (404, "not_found")
    client.post("/v1/collections", json={"name": "default"})
    assert ask(question=QUESTION) == (409, "nothing_to_ask")
    assert ask(question="") == (422, "invalid_request")
    assert ask(question=" ") == (422, "invalid_request")
    assert ask(question=QUESTION, colection="x") == (422, "invalid_request")
    assert ask(question=QUESTION, max_tokens=0) == (422, "invalid_request")
    assert ask(question=QUESTION, mode="telepathy") == (422, "invalid_request")
    assert ask(question="\ud800") == (422, "invalid_request")

    def refuse(*_: object, **__: object) -> Iterator[AnswerEvent]:
        raise MemoryRefused("a sliding window")
        yield

    monkeypatch.setattr(ready, "ask", refuse)
    assert ask(question=QUESTION) == (409, "memory_refused")


def test_until_the_model_is_loaded_nothing_is_answered(client: TestClient, ready: Service) -> None:
    ready._models._engine = None
    for path, body in (
        ("/v1/answers", {"question": QUESTION}),
        ("/v1/chat/completions", {"model": "default", "messages": [{"role": "user", "content": "?"}]}),
    ):
        reply = client.post(path, json=body)
        assert error(reply) == (503, "unavailable")
        assert reply.headers["retry-after"] == "5"
        assert "loading the model fake" in reply.json()["error"]["message"]


class Endless:
    """Answers that go on until they are stopped."""

    def __init__(self) -> None:
        self.begun, self.stopped = threading.Semaphore(0), threading.Semaphore(0)

    def ask(self, *_: object, stop: threading.Event, **__: object) -> Iterator[AnswerEvent]:
        self.begun.release()
        yield TokenEvent("word")
        stop.wait()
        self.stopped.release()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/v1/answers", "/v1/chat/completions"])
def test_whoever_hangs_up_stops_the_answer(
    guarded: ASGIApp, ready: Service, monkeypatch: pytest.MonkeyPatch, path: str, stream: bool
) -> None:
    endless = Endless()
    monkeypatch.setattr(ready, "ask", endless.ask)
    chat = {"model": "default", "messages": [{"role": "user", "content": QUESTION}]}
    body = {"question": QUESTION} if path == "/v1/answers" else chat
    with served(guarded) as address:
        connection = http.client.HTTPConnection(urlsplit(address).netloc)
        connection.request("POST", path, json.dumps({**body, "stream": stream}), AS_JSON)
        assert endless.begun.acquire(timeout=60)
        if stream:
            with connection.getresponse() as reply:
                assert next(line for line in reply if b"word" in line)
        connection.close()
        assert endless.stopped.acquire(timeout=60)


def test_answers_that_wait_leave_quick_requests_alone(
    guarded: ASGIApp, ready: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = Endless()
    monkeypatch.setattr(ready, "ask", endless.ask)
    with served(guarded) as address:
        waiting = []
        for _ in range(AT_ONCE + 10):
            connection = http.client.HTTPConnection(urlsplit(address).netloc)
            connection.request(
                "POST",
                "/v1/answers",
                json.dumps({"question": QUESTION}),
                {"content-type": "application/json"},
            )
            waiting.append(connection)
        for _ in range(AT_ONCE):
            assert endless.begun.acquire(timeout=60)
        quick = http.client.HTTPConnection(urlsplit(address).netloc)
        quick.request("GET", "/v1/collections")
        with quick.getresponse() as reply:
            assert reply.status == 200
        quick.close()
        for connection in waiting:
            connection.close()
        for _ in range(AT_ONCE):
            assert endless.stopped.acquire(timeout=60)
