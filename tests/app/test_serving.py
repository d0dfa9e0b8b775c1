"""Serving refuses what it must, keeps its worker alive, and leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from app import supervisor
from app.errors import AttestError
from app.service import Service
from app.serving import serve
from app.settings import Settings
from app.supervisor import Supervisor
from tests.app.conftest import LEASE, attest
from tests.app.library.test_ingesting import until

pytestmark = pytest.mark.usefixtures("fake_model")


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.com"])
def test_other_machines_are_refused(home: Path, host: str) -> None:
    with pytest.raises(AttestError, match=r"nobody has to sign in; add a user first"):
        serve(Settings(home, "fake"), host, 0, 1, False)


def test_a_taken_port_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = attest("serve", "--port", str(port))
    assert (done.status, done.stdout) == (1, "")
    assert f"port {port} cannot be used (Address already in use); choose another with --port" in done.stderr


def test_a_killed_worker_is_started_again_and_none_is_left(
    service: Service, keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "RESTART_SECONDS", (0.0,))
    with Supervisor(service.settings) as watched:
        until(lambda: watched.pids)
        (first,) = watched.pids
        os.kill(first, signal.SIGKILL)
        until(lambda: watched.pids and watched.pids != [first])
        (second,) = watched.pids
        service.add_documents([keep("lease.md", LEASE)], "default")
        until(lambda: service.documents("default")[0].status == "ready")
        assert service.store.workers.alive()[0].pid == second
        assert service.worker_status().alive
    assert gone(first)
    assert gone(second)
    assert watched.pids == []
    assert not service.store.workers.alive()


def test_closing_at_once_leaves_no_worker(service: Service) -> None:
    for _ in range(3):
        before = set(psutil.Process().children())
        with Supervisor(service.settings, 2):
            pass
        assert set(psutil.Process().children()) <= before


def test_the_served_page_answers_and_ends_in_order_on_sigterm(service: Service) -> None:
    command = [sys.executable, "-m", "app", "serve", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        url = next(found[0] for line in process.stderr if (found := re.search(r"http://127.0.0.1:\d+", line)))
        with urllib.request.urlopen(url, timeout=60) as page:
            assert page.status == 200
        until(service.store.workers.alive)
        worker = service.store.workers.alive()[0].pid
        process.terminate()
        assert process.wait(30) == 0
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    time.sleep(0.1)
    assert gone(worker)
    assert not service.store.workers.alive()
