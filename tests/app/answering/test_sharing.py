"""Several processes, one engine: `attest ask` beside a page, waiting told in words, who owns what."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from app.answering.answer import DoneEvent, QueuedEvent, TokenEvent
from app.service import Service
from app.settings import Settings
from engine import choice
from engine.fake import FakeEngine
from engine.owner import SharedEngine
from engine.protocol import GenerateOptions
from tests.app.conftest import QUESTION, attest, attest_process
from tests.engine.paced import Collected, Paced, prompt, until

pytestmark = pytest.mark.usefixtures("fake_model")


@pytest.fixture
def page(service: Service, filled: list[str]) -> Iterator[int]:
    """A served page in a process of its own; its pid."""
    command = [sys.executable, "-m", "app", "--verbose", "serve", "--port", "0", "--workers", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if re.search(r"process \d+ holds the model fake", line):
                break
        reading = threading.Thread(target=process.stderr.read, daemon=True)
        reading.start()
        yield process.pid
        process.terminate()
        assert process.wait(30) == 0
        reading.join()


def test_ask_beside_a_running_page_loads_no_model(page: int, service: Service) -> None:
    done = attest_process("--verbose", "ask", QUESTION, "--json")
    assert done.status == 0
    assert "ninety days notice" in done.json["answer"]
    assert done.json["reads"]
    assert f"using the model of process {page}" in done.stderr
    assert "holds the model" not in done.stderr


def test_a_worker_beside_a_running_page_writes_with_its_engine(page: int, service: Service, keep) -> None:
    path = keep("new.md", "# Roof\n\nThe landlord shall repair the roof of the premises every tenth year.\n")
    done = attest_process("ingest", path, "--json")
    assert (done.json["status"], done.json["memories"]) == ("ready", 1)
    assert f"using the model of process {page}" in done.stderr
    answer = attest_process("ask", "Who shall repair the roof?", "--json").json
    assert "shall repair the roof" in answer["answer"]


def test_the_next_one_owns_the_engine_when_the_page_is_gone(home, service: Service, filled) -> None:
    with Service(Settings(home, "fake")) as first:
        first.warm().join()
        assert isinstance(service.models()[0], SharedEngine)
        assert not service.models()[0].owned  # type: ignore[attr-defined]
        assert "ninety" in attest("ask", QUESTION).stdout
    assert "ninety" in next(
        event.answer.answer for event in service.ask(QUESTION, "default") if isinstance(event, DoneEvent)
    )
    assert service.models()[0].owned  # type: ignore[attr-defined]


def test_warming_settles_who_owns_the_engine_before_it_is_loaded(
    home, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading = threading.Event()

    def load() -> FakeEngine:
        loading.wait()
        return FakeEngine()

    monkeypatch.setattr(choice, "FakeEngine", load)
    thread = service.warm()
    other = Service(Settings(home, "fake"))
    with other:
        asking = Collected(lambda: other.models()[0].info)
        assert not service.engine_status().ready
        loading.set()
        asking.join()
        thread.join()
        assert asking.error is None
        assert not other.models()[0].owned  # type: ignore[attr-defined]
        assert service.models()[0].owned  # type: ignore[attr-defined]


@pytest.fixture
def busy(home, filled, service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The engine answers another question until the event is set."""
    done = threading.Event()
    engine = Paced(1, threading.Semaphore(1))
    monkeypatch.setattr(choice, "FakeEngine", lambda: engine)
    stream = service.models()[0].generate(
        prompt("first"), None, GenerateOptions(stop=done, client="somebody")
    )
    next(stream)
    other = Collected(lambda: list(stream))
    yield done
    done.set()
    other.join()


def test_who_waits_sees_how_many_are_ahead_then_the_answer(service: Service, busy: threading.Event) -> None:
    events = []
    for event in service.ask(QUESTION, "default"):
        events.append(event)
        busy.set()
    assert events[0] == QueuedEvent(1)
    assert isinstance(events[-1], DoneEvent)
    assert "ninety days" in events[-1].answer.answer
    assert any(isinstance(event, TokenEvent) for event in events)


def test_the_command_line_says_so_on_stderr(service: Service, busy: threading.Event) -> None:
    asking = Collected(lambda: attest("ask", QUESTION, "--json"))
    queue = service.models()[0]._engine.queue  # type: ignore[attr-defined]
    until(lambda: queue.waiting)
    busy.set()
    asking.join()
    done = asking.result
    assert done.stderr == "1 question ahead of yours.\n"  # type: ignore[attr-defined]
    assert "ninety" in done.json["answer"]  # type: ignore[attr-defined]


def test_the_sentences() -> None:
    assert [QueuedEvent(ahead).sentence for ahead in range(3)] == [
        "Yours is the next question.",
        "1 question ahead of yours.",
        "2 questions ahead of yours.",
    ]
