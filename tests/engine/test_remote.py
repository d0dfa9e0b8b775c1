"""An engine in another process is the same engine; what goes wrong there is said here and stays there."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from engine import owner, serving
from engine.errors import ContextOverflow, EngineAway, EngineError, EngineGone, ModelNotFound
from engine.fake import FakeEngine
from engine.owner import SharedEngine, share
from engine.protocol import Engine, GenerateOptions, KeyedMemory, Queued, Read, Token, Trimmed
from engine.queue import QueuedEngine
from engine.remote import Address, RemoteEngine
from engine.wire import Connection, Frame
from tests.engine.paced import Collected, Paced, cold, prompt, until

WANTED = {"model": "paced", "device": "cpu"}
TEXT = "The notice period of this lease is ninety days. " * 12
OWNER = """
import sys, threading
from pathlib import Path
from engine.owner import share
from tests.engine.paced import Paced
permits = threading.Semaphore(int(sys.argv[2]))
with share(Path(sys.argv[1]), {"model": "paced", "device": "cpu"}, lambda: Paced(1, permits)) as engine:
    print(engine.info.model, flush=True)
    sys.stdin.read()
"""
CLIENT = """
import sys
from pathlib import Path
from engine.owner import share
from engine.protocol import GenerateOptions, Message
with share(Path(sys.argv[1]), {"model": "paced", "device": "cpu"}, lambda: sys.exit("no owner")) as engine:
    for event in engine.generate([Message("user", "for ever")], None, GenerateOptions(10**9)):
        print(event, flush=True)
"""


@pytest.fixture
def inner() -> Paced:
    return Paced()


@pytest.fixture
def owning(home: Path, inner: Paced) -> Iterator[SharedEngine]:
    with share(home, WANTED, lambda: inner) as engine:
        assert engine.claim()
        assert engine.info.model == "fake"
        yield engine


@pytest.fixture
def client(home: Path, owning: SharedEngine) -> Iterator[SharedEngine]:
    with share(home, WANTED, not_here) as engine:
        assert not engine.claim()
        yield engine


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started = []

    def run(script: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def not_here() -> Engine:
    raise AssertionError("this process should not load a model")


def queue_of(engine: SharedEngine) -> QueuedEngine:
    assert isinstance(engine._engine, QueuedEngine)
    return engine._engine


def text_of(events: list[Token | Read | Queued | Trimmed]) -> str:
    return "".join(event.text for event in events if isinstance(event, Token))


def same_reads(left: Read, right: Read) -> None:
    for one in fields(Read):
        if one.name != "memories":
            assert getattr(left, one.name) == pytest.approx(getattr(right, one.name), abs=1e-12) or getattr(
                left, one.name
            ) == getattr(right, one.name)
    assert [(each.key, each.attention) for each in left.memories] == [
        (each.key, each.attention) for each in right.memories
    ]
    for one, other in zip(left.memories, right.memories, strict=True):
        for name in ("tokens", "heads", "weighted", "weighted_tokens"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_it_is_the_same_engine(client: SharedEngine) -> None:
    local = FakeEngine()
    for name in ("info", "format", "fingerprint"):
        assert getattr(client, name) == getattr(local, name)
    for text in ("", TEXT, "naïve 文書 \ud83d\ude00 \0 <|im_end|>"):
        assert client.tokenize(text) == local.tokenize(text)
    references = [local.tokenize(TEXT).ids[:128], [], local.tokenize("short").ids]
    for here, there in zip(local.write(references), client.write(references), strict=True):
        assert here.length == there.length
        for name, array in here.to_arrays().items():
            np.testing.assert_array_equal(array, there.to_arrays()[name])
            assert array.dtype == there.to_arrays()[name].dtype
    assert client.write([]) == []
    memories = cold(local, TEXT)
    here, there = (
        list(engine.generate(prompt("How long is the notice period?"), memories, GenerateOptions()))
        for engine in (local, client)
    )
    assert [event for event in here if isinstance(event, Token)] == [
        event for event in there if isinstance(event, Token)
    ]
    reads = [[event for event in events if isinstance(event, Read)] for events in (here, there)]
    assert len(reads[0]) > 1
    for left, right in zip(*reads, strict=True):
        same_reads(left, right)
    mine, theirs = (
        engine.score(prompt("notice period?"), "ninety days", memories) for engine in (local, client)
    )
    np.testing.assert_array_equal(mine.log_probabilities, theirs.log_probabilities)
    same_reads(mine.reads[0], theirs.reads[0])
    lost = [
        engine.needed(prompt("notice?"), "ninety days", memories, [[7], []]) for engine in (local, client)
    ]
    np.testing.assert_array_equal(lost[0].log_probabilities, lost[1].log_probabilities)
    np.testing.assert_array_equal(lost[0].without, lost[1].without)
    assert lost[0].without.shape == (2, len(lost[0].log_probabilities))
    assert (lost[0].without[0] < lost[0].log_probabilities).any()
    written = local.write(references[:1] + references[2:])
    question = prompt("How short is the notice period of this lease?")
    seen, sent = (engine.attend(question, written) for engine in (local, client))
    assert seen.question.shape == (2, 1, 1)
    assert seen.question[0] != seen.question[1]
    np.testing.assert_array_equal(seen.question, sent.question)
    np.testing.assert_array_equal(seen.last, sent.last)
    np.testing.assert_array_equal(local.queries(question), client.queries(question))


def test_errors_cross_by_class_and_message_and_say_nothing_of_the_text(client: SharedEngine) -> None:
    with pytest.raises(ContextOverflow, match="the prompt has 5000 tokens; shorten it"):
        list(client.generate(prompt("overflow"), None, GenerateOptions()))
    with pytest.raises(EngineError, match=r"the engine failed \(ValueError\); ask again") as caught:
        list(client.generate(prompt("bug"), None, GenerateOptions()))
    assert "secret" not in str(caught.value)

    def broken(chunk: object) -> list[KeyedMemory]:
        raise LookupError("in the caller")

    with pytest.raises(LookupError, match="in the caller"):
        list(client.generate(prompt("?"), broken, GenerateOptions()))
    assert text_of(list(client.generate(prompt("?"), None, GenerateOptions(2)))) == " 0 1"


def test_a_cold_memory_is_written_inside_its_answer(client: SharedEngine, inner: Paced) -> None:
    events = list(client.generate(prompt("notice period?"), cold(client, TEXT), GenerateOptions(20)))
    assert text_of(events).startswith("The notice period")
    assert inner.log == ["notice period?", "write 1"]
    assert client.score(prompt("notice period?"), "ninety", cold(client, TEXT)).reads
    assert inner.running == 0


def test_stopping_or_leaving_frees_the_owner_within_a_token(
    client: SharedEngine, owning: SharedEngine, inner: Paced
) -> None:
    inner.permits = threading.Semaphore(2)
    queue = queue_of(owning).queue
    stop = threading.Event()
    running = client.generate(prompt("runs"), None, GenerateOptions(stop=stop))
    next(running)
    waiting = client.generate(prompt("waits"), None, GenerateOptions())
    leaving = client.generate(prompt("leaves"), None, GenerateOptions())
    assert next(waiting) == Queued(1)
    assert next(leaving) == Queued(2)
    leaving.close()  # type: ignore[attr-defined]
    until(lambda: queue.waiting == 1)
    stop.set()
    assert text_of(list(running)) == " 1"
    inner.permits.release()
    assert isinstance(next(waiting), Token)
    waiting.close()  # type: ignore[attr-defined]
    until(lambda: not queue.running)
    assert (inner.made, inner.running, queue.waiting) == (3, 0, 0)


def test_a_killed_client_frees_the_owner(
    home: Path, owning: SharedEngine, start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start(CLIENT, home)
    assert process.stdout.readline().startswith("Token")
    queue = queue_of(owning).queue
    assert queue.running == 1
    process.kill()
    until(lambda: not queue.running)


def test_an_owner_killed_in_the_middle_is_succeeded(
    home: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start(OWNER, home, 2)
    assert process.stdout.readline() == "fake\n"
    own = Paced()
    with share(home, WANTED, lambda: own) as engine:
        stream = engine.generate(prompt("?"), None, GenerateOptions())
        assert [next(stream), next(stream)] == [Token(0, " 0"), Token(1, " 1")]
        waiting = Collected(lambda: list(engine.generate(prompt("next"), None, GenerateOptions(1))))
        pause = threading.Event()
        pause.wait(0.2)  # so that it waits there rather than here; either way it must be answered
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(EngineGone, match="ended in the middle of this request; ask again"):
            next(stream)
        waiting.join()
        assert text_of(waiting.result) == " 0"  # type: ignore[arg-type]
        assert text_of(list(engine.generate(prompt("?"), None, GenerateOptions(2)))) == " 0 1"
        assert engine.owned
        assert own.log == ["next", "?"]


def test_tokenizing_and_writing_go_on_with_the_next_owner(
    home: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start(OWNER, home, 0)
    process.stdout.readline()
    own = Paced()
    with share(home, WANTED, lambda: own) as engine:
        assert engine.tokenize("one two").ids
        writing = Collected(lambda: engine.write([[1], [2]]))  # the owner has no permit for it
        threading.Event().wait(0.2)
        process.kill()
        writing.join()
        assert [memory.length for memory in writing.result] == [1, 1]  # type: ignore[attr-defined]
        assert engine.owned


def test_an_owner_that_ends_lets_begun_answers_end_and_sends_the_others_on(home: Path) -> None:
    permits = threading.Semaphore(1)
    first = share(home, WANTED, lambda: Paced(1, permits))
    assert first.info
    second = Paced()
    with share(home, WANTED, lambda: second) as engine:
        begun = engine.generate(prompt("begun"), None, GenerateOptions(2))
        assert next(begun) == Token(0, " 0")
        waits = engine.generate(prompt("waits"), None, GenerateOptions(1))
        assert next(waits) == Queued(1)
        closing = Collected(first.close)
        going_on = Collected(lambda: list(waits))
        permits.release()
        assert text_of(list(begun)) == " 1"
        closing.join()
        going_on.join()
        assert closing.error is None
        assert text_of(going_on.result) == " 0"  # type: ignore[arg-type]
        assert second.log == ["waits"]
    with pytest.raises(EngineError, match="was closed"):
        first.tokenize("x")


def test_another_model_is_loaded_here_and_said_so(
    home: Path, owning: SharedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    own = Paced()
    with share(home, {**WANTED, "model": "other"}, lambda: own) as engine:
        assert list(engine.generate(prompt("mine"), None, GenerateOptions(1)))
        assert not engine.owned
    assert own.log == ["mine"]
    assert f"process {os.getpid()} has loaded a model with another model; loading one here" in caplog.text


def test_who_cannot_load_leaves_it_to_others(home: Path) -> None:
    def missing() -> Engine:
        raise ModelNotFound("there is no such model")

    with share(home, WANTED, missing) as first:
        for _ in range(2):
            with pytest.raises(ModelNotFound):
                first.tokenize("x")
            assert not first.owned
        with share(home, WANTED, Paced) as second:
            assert second.tokenize("x") == first.tokenize("x")
            assert second.owned


@pytest.mark.parametrize(
    "says", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock")]
)
def test_on_a_disk_without_locks_everybody_loads_a_model(
    home: Path, monkeypatch: pytest.MonkeyPatch, says: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def acquire(*_: object, **__: object) -> None:
        raise says

    monkeypatch.setattr("filelock.FileLock.acquire", acquire)
    for _ in range(2):
        with share(home, WANTED, Paced) as engine:
            assert engine.claim()
            assert engine.info.model == "fake"
            assert "cannot be shared" in caplog.text
            assert not list(home.glob("engine/*"))
        caplog.clear()


def test_waiting_for_an_owner_that_loads_can_be_given_up(home: Path) -> None:
    with share(home, WANTED, Paced) as loading:
        assert loading.claim()
        stop = threading.Event()
        with share(home, WANTED, not_here, stop) as engine:
            waiting = Collected(lambda: engine.tokenize("x"))
            stop.set()
            waiting.join()
        assert isinstance(waiting.error, EngineError)
        assert "stopped while another process was loading" in str(waiting.error)


@pytest.mark.parametrize("kind", ["home", "temporary", "loopback"])
def test_only_this_user_can_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    home = Path("/tmp") / f"attest-test-{os.getpid()}" if kind == "home" else tmp_path / ("x" * 90)
    monkeypatch.setattr(owner, "UNIX_SOCKETS", kind != "loopback")
    with share(home, WANTED, Paced) as engine:
        assert engine.info
        described = home / "engine" / "address.json"
        address = Address(**json.loads(described.read_text()))
        assert stat.S_IMODE(described.stat().st_mode) == 0o600
        assert stat.S_IMODE(described.parent.stat().st_mode) == 0o700
        if address.path is not None:
            path = Path(address.path)
            assert (path.parent == home / "engine") == (kind == "home")
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        with share(home, WANTED, not_here) as client:
            assert text_of(list(client.generate(prompt("?"), None, GenerateOptions(2)))) == " 0 1"
        with pytest.raises(EngineAway):
            RemoteEngine(Address(address.path, address.port, "guess"))
    assert not described.exists()
    assert address.path is None or not Path(address.path).exists()
    if kind == "home":
        (home / "engine").rmdir()
        (home / "engine.lock").unlink(missing_ok=True)
        home.rmdir()


REQUEST = {"messages": [["user", "?"]], "options": {}, "asks": False}


@pytest.mark.parametrize(
    "frame",
    [
        Frame("nonsense"),
        Frame("hello"),
        Frame("memories"),
        Frame("tokenize", {"text": 3}),
        Frame("write"),
        Frame("write", {}, {"ids": np.arange(3), "lengths": np.array([9])}),
        Frame("write", {}, {"ids": np.arange(3), "lengths": np.array([4, -1])}),
        Frame("generate"),
        Frame("generate", {**REQUEST, "messages": [["nobody", "?"]]}),
        Frame("generate", {**REQUEST, "options": {"max_tokens": "many"}}),
        Frame("generate", {**REQUEST, "options": {"unknown": 1}}),
        Frame("generate", {**REQUEST, "options": None}),
        Frame("score", {**REQUEST, "answer": None}),
    ],
    ids=lambda frame: frame.kind,
)
def test_a_message_that_makes_no_sense_ends_its_connection_only(
    home: Path, client: SharedEngine, owning: SharedEngine, frame: Frame
) -> None:
    other = greeted(home)
    other.send(frame.kind, frame.fields, frame.arrays)
    with pytest.raises(EngineGone):
        other.receive()
    other.close()
    assert text_of(list(client.generate(prompt("?"), None, GenerateOptions(1)))) == " 0"
    assert queue_of(owning).queue.running == 0


def greeted(home: Path) -> Connection:
    address = Address(**json.loads((home / "engine" / "address.json").read_text()))
    connection = Connection(address.connect())
    connection.send("hello", {"protocol": serving.PROTOCOL, "token": address.token, "pid": 1})
    assert connection.receive().kind == "welcome"
    return connection


def test_memories_that_make_no_sense_end_the_answer_only(
    home: Path, client: SharedEngine, owning: SharedEngine
) -> None:
    other = greeted(home)
    other.send("generate", {**REQUEST, "asks": True})
    assert other.receive().kind == "chunk"
    other.send("memories", {"keys": [1, 2]}, {"0.keys": np.zeros(3, np.float32)})
    with pytest.raises(EngineGone):
        other.receive()
    other.close()
    until(lambda: not queue_of(owning).queue.running)
    assert text_of(list(client.generate(prompt("?"), None, GenerateOptions(1)))) == " 0"
