"""What `attest doctor` finds, and that its proof of being offline can fail."""

import contextlib
import socket
from pathlib import Path

import pytest

from app.desktop import toolkit
from app.doctor import examine
from app.service import Service
from app.settings import Settings
from engine import choice
from engine.fake import FakeEmbedder
from engine.llama import build
from tests.app.conftest import LEASE, add, attest

pytestmark = pytest.mark.usefixtures("fake_model")


def state(report: dict, name: str) -> tuple[str, str]:
    return next((check["state"], check["message"]) for check in report["checks"] if check["name"] == name)


def test_all_is_well(home: Path) -> None:
    done = attest("doctor", "--offline", "--json")
    assert done.status == 0
    assert done.json["ok"]
    assert {check["state"] for check in done.json["checks"]} <= {"ok", "warning"}
    assert state(done.json, "offline")[0] == "ok"
    assert "none running" in state(done.json, "worker")[1]
    assert "model fake" in attest("doctor").stdout


def test_a_lost_shard_is_found(service: Service, keep, home: Path) -> None:
    add(service, keep("lease.md", LEASE))
    for shard in (home / "bank").rglob("*.safetensors"):
        shard.unlink()
    done = attest("doctor", "--json")
    assert done.status == 1
    assert state(done.json, "store")[0] == "error"
    assert "shards are missing" in state(done.json, "store")[1]


def test_a_store_that_cannot_be_opened(home: Path) -> None:
    home.write_text("a file")
    done = attest("doctor", "--json")
    assert done.status == 1
    assert state(done.json, "store")[0] == "error"


def test_a_device_that_is_not_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    report = examine(Settings(home, "fake", device="cuda"), offline=False)
    assert not report["ok"]
    assert "CUDA was asked for" in state(report, "device")[1]


@pytest.mark.parametrize(
    ("installed", "fault", "expected", "words"),
    [
        (build.VERSION, None, "ok", "fast engine"),
        (build.VERSION, "libgomp.so.1 is missing", "warning", "libgomp"),
        ("0.2.0", None, "warning", build.VERSION),
        (None, None, "warning", "no C++ compiler"),
    ],
)
def test_the_fast_engine_or_why_it_is_not_there(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    installed: str | None,
    fault: str | None,
    expected: str,
    words: str,
) -> None:
    monkeypatch.setattr(build, "installed", lambda: installed)
    monkeypatch.setattr(build, "fault", lambda: fault)
    monkeypatch.setattr(build, "obstacle", lambda: "there is no C++ compiler on this machine")
    report = examine(Settings(home, "fake"), offline=False)
    found, message = state(report, "llama-cpp-python")
    assert (found, report["ok"]) == (expected, True)
    assert words in message
    assert ("make install" in message) == (expected == "warning")


@pytest.mark.parametrize("by_name", [True, False])
def test_a_model_that_calls_home_is_caught(
    home: Path, monkeypatch: pytest.MonkeyPatch, by_name: bool
) -> None:
    class Talkative(FakeEmbedder):
        def embed(self, texts):
            with contextlib.suppress(OSError), socket.socket() as own:  # telemetry fails silently
                if by_name:
                    socket.create_connection(("example.invalid", 443))
                else:
                    own.connect(("127.0.0.1", 9))
            return super().embed(texts)

    monkeypatch.setattr(choice, "FakeEmbedder", Talkative)
    connect, look_up = socket.socket.connect, socket.getaddrinfo
    report = examine(Settings(home, "fake"), offline=True)
    assert state(report, "offline") == ("error", "1 connections were tried")
    assert (socket.socket.connect, socket.getaddrinfo) == (connect, look_up)


def test_a_running_service_is_looked_at_without_loading_its_model(service: Service, keep, home: Path) -> None:
    health = service.health()
    assert not health.engine.ready
    assert {check.name: check.state for check in health.checks}["worker"] == "warning"
    assert service._models._engine is None
    add(service, keep("lease.md", LEASE))
    health = service.health(thorough=True)
    assert (health.documents, health.collections, health.audited) == (1, 1, [])
    assert health.memories == health.passages > 0
    assert health.memory_bytes > 0
    assert {check.name: check.state for check in health.checks}["store"] == "ok"
    for shard in (home / "bank").rglob("*.safetensors"):
        shard.unlink()
    health = service.health(thorough=True)
    assert "memories rebuild" in next(each.message for each in health.problems if each.name == "store")
    assert health.audited


def test_a_window_that_cannot_be_opened_is_no_fault(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolkit, "obstacle", lambda: "pywebview is not installed; make install")
    report = examine(Settings(home, "fake"), offline=False)
    assert report["ok"]
    assert state(report, "window") == ("ok", "none can be opened: pywebview is not installed; make install")
