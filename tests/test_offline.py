"""No test reaches another machine: not this process, not those that the application starts."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from app.service import Service
from app.settings import Settings
from app.supervisor import Supervisor
from ingest import sandbox
from tests.app.library.test_ingesting import until
from tests.conftest import OFFLINE

ELSEWHERE = "192.0.2.1"  # for documentation; nobody is there


def tried(connections: Path) -> str:
    """What was tried so far, which is forgotten."""
    found = connections.read_text(encoding="utf-8")
    connections.write_text("", encoding="utf-8")
    return found


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_this_process_cannot_connect(connections: Path, method: str, kind: int) -> None:
    with socket.socket(type=kind) as one, pytest.raises(AssertionError, match=ELSEWHERE):
        getattr(one, method)((ELSEWHERE, 9))
    assert f"tried to reach {ELSEWHERE}" in tried(connections)


def test_nor_send_nor_ask_for_an_address(connections: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as one, pytest.raises(AssertionError):
        one.sendto(b"", (ELSEWHERE, 9))
    with pytest.raises(AssertionError, match=r"example\.org"):
        socket.getaddrinfo("example.org", 80)
    assert len(tried(connections).splitlines()) == 2
    assert socket.getaddrinfo("localhost", 80)


def test_a_process_that_swallows_its_failure_is_told_of(connections: Path) -> None:
    program = f"""
import socket
try:
    socket.create_connection(("{ELSEWHERE}", 9))
except BaseException:
    print("swallowed")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "swallowed\n"
    assert tried(connections) == f"-c tried to reach {ELSEWHERE}\n"


def test_workers_are_held_too(home: Path) -> None:
    settings = Settings(home, "fake")
    with Service(settings) as service, Supervisor(settings) as workers:
        until(service.store.workers.alive)
        (pid,) = workers.pids
        assert OFFLINE in psutil.Process(pid).environ()["PYTHONPATH"].split(os.pathsep)


def test_the_reading_process_has_no_sockets_at_all(tmp_path: Path) -> None:
    """It takes nothing from the environment, and holds itself (see ingest.parse_main)."""
    program = """
from ingest import parse_main
from ingest.limits import DEFAULT_LIMITS
parse_main._confine(DEFAULT_LIMITS)
import socket
try:
    socket.socket()
except BaseException as error:
    print(type(error).__name__)
"""
    command = [*sandbox.COMMAND[: sandbox.COMMAND.index("-m")], "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout == "PermissionError\n", done.stderr


def test_the_command_line_reaches_nobody_for_a_model_that_is_not_here(
    home: Path, connections: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub's name, and nothing in the environment that says that there is no network."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("ATTEST_MODEL", "someone/some-model-that-is-not-here")
    command = [sys.executable, "-m", "app", "ask", "Hello", "--mode", "none"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert tried(connections) == ""
