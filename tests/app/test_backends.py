"""Which backend is loaded: the setting, one question's own wish, and when the owner's engine will do."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import AttestError
from app.measuring import bench
from app.measuring import speed as bench_speed
from app.service import Service
from app.settings import Settings
from app.supervisor import worker_command
from engine import choice
from engine.errors import ModelNotFound
from engine.fake import FakeEngine
from engine.protocol import EngineInfo
from ingest import worker
from tests.app.conftest import QUESTION, attest
from tests.app.test_doctor import state
from tests.engine import tiny_adapter

pytestmark = pytest.mark.usefixtures("fake_model")


class Named(FakeEngine):
    """Says that it is llama.cpp."""

    @property
    def info(self) -> EngineInfo:
        return replace(super().info, backend="llamacpp", device_reason="it runs on 2 threads")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Backends that were asked for, in order, of a model that is loaded with `open_engine`."""
    asked: list[str] = []

    def open_engine(name: str, *, backend: str, **_: object) -> FakeEngine:
        asked.append(backend)
        return FakeEngine()

    monkeypatch.setattr(choice, "open_engine", open_engine)
    return asked


def test_the_setting_decides_what_is_loaded(home, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTEST_MODEL", "tiny.gguf")
    monkeypatch.setenv("ATTEST_BACKEND", "torch")
    assert attest("ask", "Hello", "--mode", "none").status == 0
    assert attest("ask", "Hello", "--mode", "none", "--backend", "llamacpp").status == 0
    assert attest("ask", "Hello", "--mode", "none", "--backend", "auto").status == 0
    assert opened == ["torch", "llamacpp", "auto"]


def test_the_worker_is_told(home, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home, "tiny.gguf", backend="llamacpp", adapter="none")
    command = worker_command(settings, "--until-idle")
    assert command[command.index("--adapter") + 1] == "none"
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    monkeypatch.setattr(worker.os, "nice", lambda _: None)
    monkeypatch.setattr(worker.Choice, "load_embedder", lambda _: choice.FakeEmbedder())
    arguments = command[command.index("--home") :]
    arguments[arguments.index("--parent") + 1] = str(worker.os.getppid())
    assert worker.main(arguments) == 0
    assert opened == ["llamacpp"]


@pytest.mark.parametrize(
    ("owner", "wanted", "loads"),
    [
        ("auto", "auto", False),
        ("auto", "llamacpp", False),  # which the owner's "auto" came to
        ("auto", "torch", True),
        ("llamacpp", "auto", False),
        ("llamacpp", "torch", True),
    ],
)
def test_another_backend_than_the_owners_is_loaded_here(
    home,
    service: Service,
    filled,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    owner: str,
    wanted: str,
    loads: bool,
) -> None:
    made = []
    monkeypatch.setattr(choice, "FakeEngine", lambda: made.append(1) or Named())
    with Service(Settings(home, "fake", backend=owner)) as page:
        page.engine()
        done = attest("ask", QUESTION, "--backend", wanted)
    assert done.status == 0
    assert "ninety days" in done.stdout
    assert len(made) == 1 + loads
    assert ("another backend; loading one here" in caplog.text) == loads


@pytest.mark.parametrize(("wanted", "loads"), [("auto", False), ("none", False), ("folder", True)])
def test_another_adapter_than_the_owners_is_loaded_here(
    home,
    service: Service,
    filled,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    wanted: str,
    loads: bool,
) -> None:
    made = []
    monkeypatch.setattr(choice, "FakeEngine", lambda: made.append(1) or FakeEngine())
    shapes = {"model.layers.0.mlp.up_proj.weight": (8, 8)}
    folder = tiny_adapter.write(tmp_path / "tuned", shapes, "fake", FakeEngine().format)
    with Service(Settings(home, "fake", adapter="none")) as page:
        page.engine()
        monkeypatch.setenv("ATTEST_ADAPTER", str(folder) if wanted == "folder" else wanted)
        assert attest("ask", QUESTION).status == 0
    assert len(made) == 1 + loads
    assert ("another adapter; loading one here" in caplog.text) == loads


def test_an_adapter_that_is_not_there_is_a_message(home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTEST_MODEL", "tiny.gguf")
    monkeypatch.setenv("ATTEST_ADAPTER", "/no/such/adapter")
    done = attest("ask", "Hello", "--mode", "none")
    assert (done.status, done.stdout) == (1, "")
    assert "/no/such/adapter/adapter_config.json cannot be read" in done.stderr


def test_a_question_without_documents_loads_no_embedder(
    service: Service, filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise ModelNotFound("the embedder is not there; install it")

    monkeypatch.setattr(choice, "FakeEmbedder", missing)
    assert attest("ask", QUESTION, "--mode", "none").status == 0
    for mode in ("memory", "text"):
        done = attest("ask", QUESTION, "--mode", mode)
        assert (done.status, done.stdout) == (1, "")
        assert "the embedder is not there" in done.stderr
    service.warm().join()
    status = service.engine_status()
    assert (status.ready, status.message) == (False, "the embedder is not there; install it")


def test_many_first_questions_load_each_model_once(
    service: Service, filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    for name in ("FakeEngine", "FakeEmbedder"):
        real = getattr(choice, name)
        monkeypatch.setattr(choice, name, lambda name=name, real=real: made.append(name) or real())
    threads = [
        threading.Thread(target=lambda: list(service.ask(QUESTION, "default")), daemon=True) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == ["FakeEmbedder", "FakeEngine"]


def test_doctor_says_which_backend_answers_and_why(home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "FakeEngine", Named)
    assert state(attest("doctor", "--json").json, "backend") == (
        "ok",
        "llamacpp answers with fake: it runs on 2 threads",
    )


def test_doctor_names_the_adapter(home, monkeypatch: pytest.MonkeyPatch) -> None:
    class Adapted(FakeEngine):
        @property
        def info(self) -> EngineInfo:
            return replace(super().info, adapter="tuned")

    monkeypatch.setattr(choice, "FakeEngine", Adapted)
    assert state(attest("doctor", "--json").json, "backend") == (
        "ok",
        "fake answers with fake and adapter tuned: made for tests",
    )


def test_doctor_says_why_none_answers(home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTEST_MODEL", "/no/such.gguf")
    done = attest("doctor", "--json")
    assert done.status == 1
    found, message = state(done.json, "backend")
    assert found == "error"
    assert "/no/such.gguf" in message


RESULT = {"backend": "torch", "ratios": {"decode_memory_over_none": 0.97}}


def test_bench_speed_takes_the_setting_or_its_own_backend(home, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(settings: Settings, backend: str) -> dict[str, object]:
        asked.append(backend)
        if backend == "llamacpp":
            raise ModelNotFound("it is not there")
        return RESULT

    monkeypatch.setattr(bench_speed, "bench_speed", run)
    monkeypatch.setenv("ATTEST_BACKEND", "torch")
    assert attest("bench", "speed", "--json").json == RESULT
    assert attest("bench", "speed", "--backend", "auto").stdout == (
        "decode_memory_over_none: 0.97\nbackend: torch\n"
    )
    failed = attest("bench", "speed", "--backend", "llamacpp")
    assert (failed.status, failed.stderr) == (1, "attest: it is not there\n")
    assert asked == ["torch", "auto", "llamacpp"]


def test_bench_ingest_compares_with_torch_whatever_answers(home, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(settings: Settings, document: object) -> dict[str, object]:
        if settings.backend != "torch":
            raise AttestError("no plain prefill")
        return RESULT

    monkeypatch.setattr(bench, "bench_ingest", run)
    monkeypatch.setenv("ATTEST_BACKEND", "llamacpp")
    assert attest("bench", "ingest", "--json").json == RESULT
