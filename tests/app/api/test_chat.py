"""OpenAI's own client, against the served page and API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient

from app.answering.answer import AnswerEvent, TokenEvent
from app.api.chat import ChatMessage, conversation_of
from app.api.server import api_routes
from app.errors import AttestError, MemoryRefused
from app.keys import make_key
from app.service import Service
from app.web.server import build_app
from tests.app.api.conftest import QUESTION, served
from tests.app.api.test_library import error
from tests.app.conftest import answer


@pytest.fixture
def page(ready: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The whole application on a port; its address."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    with served(build_app(ready, routes=api_routes(ready), upload_folder=tmp_path)) as address:
        yield address


def test_the_real_client_lists_models_and_streams_an_answer(
    page: str, ready: Service, filled: list[str]
) -> None:
    ask: Any = {"model": "default", "messages": [{"role": "user", "content": QUESTION}]}
    expected = answer(ready, QUESTION)
    with openai.OpenAI(base_url=f"{page}/v1", api_key="none is needed", max_retries=0) as client:
        assert [(model.id, model.owned_by) for model in client.models.list()] == [("default", "attest")]
        assert client.models.retrieve("default").id == "default"
        chunks = list(client.chat.completions.create(**ask, stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert text.strip() == expected.answer
        assert len(chunks) > 10
        assert {chunk.id for chunk in chunks} == {chunks[0].id}
        assert chunks[0].choices[0].delta.role == "assistant"
        assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]
        cited = chunks[-1].model_dump()["attest"]["citations"]
        assert cited[0]["document_id"] == filled[0]
        whole = client.chat.completions.create(**ask)
        assert whole.choices[0].message.content == expected.answer
        assert whole.model_dump()["attest"]["citations"] == cited
        short = client.chat.completions.create(**ask, max_completion_tokens=3)
        assert short.choices[0].finish_reason == "length"
        with pytest.raises(openai.NotFoundError, match="there is no collection 'gpt-4'"):
            client.chat.completions.create(**{**ask, "model": "gpt-4"}, stream=True)
        make_key(ready.store, "someone", ["ask"])
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
    _, secret = make_key(ready.store, "this one", ["ask"])
    with openai.OpenAI(base_url=f"{page}/v1", api_key=secret, max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["default"]
        assert client.chat.completions.create(**ask).choices[0].message.content == expected.answer


@pytest.mark.usefixtures("filled")
def test_what_other_clients_send_is_passed_over(client: TestClient) -> None:
    asked = {
        "model": "default",
        "messages": [
            {"role": "system", "content": "You are a pirate."},
            {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
        ],
        "temperature": 0.3,
        "tools": [],
        "stream_options": {"include_usage": True},
    }
    reply = client.post("/v1/chat/completions", json=asked).json()
    plain = client.post("/v1/answers", json={"question": QUESTION, "max_tokens": 512}).json()
    assert reply["choices"][0]["message"] == {"role": "assistant", "content": plain["answer"]}
    assert reply["attest"]["citations"] == plain["citations"]
    image = {"type": "image_url", "image_url": {"url": "http://example.com/"}}
    asked["messages"] = [{"role": "user", "content": [image]}]
    assert error(client.post("/v1/chat/completions", json=asked)) == (422, "invalid_request")
    asked["messages"] = [{"role": "assistant", "content": "Yes?"}]
    assert error(client.post("/v1/chat/completions", json=asked)) == (422, "invalid_request")


def test_a_model_that_cannot_read_memories_answers_from_text(
    client: TestClient, ready: Service, filled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ready.ask

    def refusing(*words: str, mode: Any, **options: Any) -> Iterator[AnswerEvent]:
        if mode == "memory":
            raise MemoryRefused("a sliding window")
        yield from ask(*words, mode=mode, **options)

    monkeypatch.setattr(ready, "ask", refusing)
    asked = {"model": "default", "messages": [{"role": "user", "content": QUESTION}]}
    reply = client.post("/v1/chat/completions", json=asked).json()
    assert reply["attest"]["engine"]["mode"] == "text"
    assert reply["attest"]["citations"][0]["document_id"] == filled[0]


def test_an_answer_that_fails_in_the_middle_says_so_as_the_client_expects(
    client: TestClient, ready: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumbling(*_: object, **__: object) -> Iterator[AnswerEvent]:
        yield TokenEvent("One")
        raise AttestError("the model stumbled")

    monkeypatch.setattr(ready, "ask", stumbling)
    http: Any = client
    with openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="x", http_client=http) as reader:
        stream = reader.chat.completions.create(
            model="default", messages=[{"role": "user", "content": "?"}], stream=True
        )
        assert next(stream).choices[0].delta.role == "assistant"
        assert next(stream).choices[0].delta.content == "One"
        with pytest.raises(openai.APIError, match="the model stumbled"):
            next(stream)


def messages(*turns: tuple[str, str]) -> list[ChatMessage]:
    return [ChatMessage(role=role, content=text) for role, text in turns]  # type: ignore[arg-type]


def test_conversations() -> None:
    one = messages(("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"))
    assert conversation_of(one) == ("c", [("a", "b")])
    joined = messages(("user", "a"), ("user", "b"), ("assistant", "c"), ("assistant", "d"), ("user", "e"))
    assert conversation_of(joined) == ("e", [("a\nb", "c\nd")])
    assert conversation_of(messages(("assistant", "hello"), ("user", "a"), ("user", "b"))) == ("a\nb", [])
    for wrong in (messages(("user", "a"), ("assistant", "b")), messages(("system", "s"))):
        with pytest.raises(AttestError, match="the last message has to be the user's"):
            conversation_of(wrong)
