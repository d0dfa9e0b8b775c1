"""Worker and server killed with SIGKILL during the ingest of real documents: nothing is lost or doubled.

Kills fall where a random share of all that is to be stored is stored, and a random moment later, so that they
are spread over the whole ingest however quick the machine is.
"""

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from app.service import Service
from app.settings import Settings
from engine.registry import DEFAULT_EMBEDDER, REGISTERED
from storage.store import Store
from tests.ingest.contents import busy, contents, damaged, differences, kept_so_far

SUFFIXES = (".pdf", ".docx", ".txt")


def smallest(folder: Path, count: int) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.suffix in SUFFIXES]
    return sorted(sorted(files, key=lambda path: path.stat().st_size)[:count])


class Server:
    """`attest serve` on a home, in a process group of its own. Standard error goes to a file."""

    def __init__(self, home: Path, log: Path) -> None:
        self._home, self._log = home, log
        self._process: subprocess.Popen[bytes] | None = None
        self.workers: dict[int, float] = {}

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        if not self.running():
            command = [sys.executable, "-m", "app", "serve", "--port", "0"]
            environment = {**os.environ, "ATTEST_HOME": str(self._home)}
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(command, env=environment, stderr=log)

    def kill(self, whom: str) -> None:
        """whom: worker, server or both."""
        assert self._process is not None
        workers = [
            child
            for child in psutil.Process(self._process.pid).children(recursive=True)
            if "ingest.worker" in child.cmdline()
        ]
        if whom != "worker":
            self._process.kill()
            self._process.wait()
        if whom != "server":
            for worker in workers:
                worker.kill()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def wait(happened: Callable[[], object], seconds: float = 3000.0) -> None:
    limit = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.005)


def kill_test(tmp_path: Path, paths: list[Path], model: str, embedder: str, kills: int, seed: int) -> None:
    homes = tmp_path / "undisturbed", tmp_path / "killed"
    for home in homes:
        with Service(Settings(home=home, model=model, embedder=embedder)) as service:
            assert {added.status for added in service.add_documents(paths, "law")} == {"queued"}
    os.environ["ATTEST_HOME"] = str(homes[0])
    command = [sys.executable, "-m", "app", "ingest", *map(str, paths), "--collection", "law", "--json"]
    subprocess.run(command, check=False, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert not busy(homes[0])
    expected, whole = contents(homes[0]), kept_so_far(homes[0])

    chance = random.Random(seed)
    moments = sorted(chance.randrange(1, whole) for _ in range(kills))
    server = Server(homes[1], tmp_path / "log")
    done: list[str] = []
    try:
        for moment in moments:
            server.start()
            wait(lambda: kept_so_far(homes[1]) >= moment)  # noqa: B023
            time.sleep(chance.random() * 0.3)
            whom = chance.choice(("worker", "server", "both"))
            server.kill(whom)
            with Store.open(homes[1]) as store:
                at = {f"{job.kind} {job.stage}" for job in store.jobs.list(status="running")}
            done.append(f"{whom} at {moment} of {whole} ({', '.join(sorted(at)) or 'between jobs'})")
            assert damaged(homes[1]) == []
        server.start()
        wait(lambda: not busy(homes[1]))
    finally:
        server.stop()
    print("\n" + "\n".join(done))
    with Store.open(homes[1]) as store:
        jobs = store.jobs.list(limit=1000)
        print(f"{sum(len(job.reasons) for job in jobs)} attempts came to nothing; jobs: {len(jobs)}")
        assert sum("(" in line and "between" not in line for line in done) > kills / 2
    assert differences(expected, contents(homes[1])) == []
    assert damaged(homes[1]) == []
    statuses = [row[6] for row in expected["documents"]]
    print(
        {status: statuses.count(status) for status in set(statuses)}, {k: len(v) for k, v in expected.items()}
    )
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert not re.search("|".join(path.stem for path in paths), (tmp_path / "log").read_text())


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_25_kills_during_30_real_documents(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real embedder; memories by the fake engine, so that most kills fall into reading and embedding."""
    embedder = str(REGISTERED[DEFAULT_EMBEDDER].path())
    monkeypatch.setenv("ATTEST_MODEL", "fake")
    monkeypatch.setenv("ATTEST_EMBEDDER", embedder)
    monkeypatch.setenv("ATTEST_HOME", str(tmp_path))
    kill_test(tmp_path, smallest(shared_data / "documents", 30), "fake", embedder, 25, seed=2026)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_with_the_real_model(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memories are the built-in model's, compared byte for byte."""
    defaults = Settings(home=tmp_path)
    monkeypatch.setenv("ATTEST_HOME", str(tmp_path))
    paths = smallest(shared_data / "documents", 5)
    kill_test(tmp_path, paths, defaults.model, defaults.embedder, 6, seed=7)
