"""What a model cannot do is said in words: read memories, or take a whole long conversation in."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from app.answering.answer import DoneEvent, TokenEvent, TrimmedEvent
from app.errors import MemoryRefused
from app.service import Service
from engine import choice
from engine.errors import ModelUnsupported
from engine.fake import FakeEngine
from engine.memory import ExplicitMemory
from engine.protocol import EngineInfo, GenerateOptions, MemoriesFor, Message, Read, Token, Trimmed
from tests.app.conftest import LEASE, QUESTION, add, answer, attest
from tests.app.test_doctor import state

pytestmark = pytest.mark.usefixtures("fake_model")

REFUSAL = "gemma.gguf cannot read explicit memories: its attention slides over a window; ask in text mode"


class Refusing(FakeEngine):
    """A model that answers, and neither writes nor reads memories."""

    @property
    def info(self) -> EngineInfo:
        return replace(super().info, refusal=REFUSAL)

    def write(self, references: Sequence[Sequence[int]]) -> list[ExplicitMemory]:
        raise ModelUnsupported(REFUSAL)

    def generate(
        self, messages: Sequence[Message], memories_for: MemoriesFor | None, options: GenerateOptions
    ) -> Iterator[Token | Read]:
        if memories_for is not None:
            raise ModelUnsupported(REFUSAL)
        return super().generate(messages, None, options)


class Forgetful(FakeEngine):
    """Leaves two messages out of every conversation that has more."""

    def generate(  # type: ignore[override]  # one more kind of event
        self, messages: Sequence[Message], memories_for: MemoriesFor | None, options: GenerateOptions
    ) -> Iterator[Token | Read | Trimmed]:
        if len(messages) > 3:
            yield Trimmed(2)
        yield from super().generate(messages, memories_for, options)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "FakeEngine", Refusing)


@pytest.mark.usefixtures("refusing")
def test_memory_mode_is_refused_in_words_before_anything_else(service: Service, filled) -> None:
    with pytest.raises(MemoryRefused, match="slides over a window; ask in text mode"):
        next(service.ask(QUESTION, "default"))
    done = attest("ask", QUESTION, "--json")
    assert (done.status, done.stdout, done.stderr) == (1, "", f"attest: {REFUSAL}\n")


@pytest.mark.usefixtures("refusing")
def test_the_other_modes_answer(service: Service, filled) -> None:
    text = answer(service, QUESTION, mode="text")
    assert text.citations[0].document_name == "lease.md"
    assert attest("ask", QUESTION, "--mode", "none").status == 0


@pytest.mark.usefixtures("refusing")
def test_documents_are_ingested_and_say_why_they_have_no_memories(service: Service, keep) -> None:
    (document_id,) = add(service, keep("lease.md", LEASE))
    row = attest("documents", "show", document_id, "--json").json
    assert (row["status"], row["error"], row["memories"]) == ("ready", None, 0)
    assert row["references"] > 0
    assert row["warnings"] == [
        [None, f"no memories were written, so this document can be asked in text mode only: {REFUSAL}"]
    ]
    assert [job.status for job in service.jobs()] == ["done"]
    assert "ninety days" not in answer(service, QUESTION, mode="text").answer  # the fake reads memories only


@pytest.mark.usefixtures("refusing")
def test_doctor_warns(home) -> None:
    found, message = state(attest("doctor", "--json").json, "backend")
    assert found == "warning"
    assert REFUSAL in message


def test_a_trimmed_conversation_is_said_before_the_answer(
    service: Service, filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "FakeEngine", Forgetful)
    events = list(service.ask(QUESTION, "default", history=[("And the rent?", "Nine hundred euros.")]))
    assert events[0] == TrimmedEvent(2)
    assert isinstance(events[1], TokenEvent)
    assert isinstance(events[-1], DoneEvent)
    assert not any(isinstance(event, TrimmedEvent) for event in service.ask(QUESTION, "default"))


def test_the_command_line_says_so_on_stderr(
    service: Service, filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Always(FakeEngine):
        def generate(self, *arguments):
            yield Trimmed(1)
            yield from super().generate(*arguments)

    monkeypatch.setattr(choice, "FakeEngine", Always)
    done = attest("ask", QUESTION, "--json")
    assert done.stderr == f"{TrimmedEvent(1).sentence}\n"
    assert "ninety days" in done.json["answer"]


def test_the_sentences() -> None:
    assert [TrimmedEvent(count).sentence for count in (1, 4)] == [
        "The conversation is longer than the model can take in; its oldest message was left out.",
        "The conversation is longer than the model can take in; its 4 oldest messages were left out.",
    ]
