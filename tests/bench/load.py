"""Many readers and a few who ask, at one `attest serve` for a while: is anything refused, slow or unfair?

    python -m tests.bench.load --readers 50 --askers 5 --seconds 120

The sample contracts are ingested into a new home (or --home, where they stay), with the real built-in model
unless ATTEST_MODEL says otherwise. Askers ask on the page, again and again. Readers do what the page does:
open it with all that a browser loads, let its list tick, and every few seconds look at something: the picture
of a page, the API, their conversations, the page anew. All come within `--ramp` seconds, which count too.
Prints one JSON object:

    errors      what failed, and how often      count, p50_ms, p95_ms   by kind of request
    reads_p95_ms   of all that readers did      answers   by asker      ahead   the most that anybody was told
    answer_ms   p50 and p95 from the question to the end of its answer
    cores       of processor time that the server took on average, its model included
    load        the machine's load average before and after

A kind is `page`, `asset`, `tick`, `event` (of Gradio's queue, to its end), `picture` (of a page), `drawing`
(a picture that nobody asked for before), `api` or `answer`; `reads_p95_ms` is of page, tick, event, picture
and api.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from app.web.server import SCRIPTS
from app.web.showing import IDLE_SECONDS
from tests.app.web.browsing import CHROMIUM, chromium
from tests.bench.tabs import Events, Figures, Tab
from tests.conftest import ROOT

QUESTIONS = ROOT / "tests" / "app" / "sample_questions.jsonl"
COLLECTION = "Sample contracts"
LOOKS_SECONDS = (2.0, 6.0)  # between two things that a reader does, besides the ticks
READS = ("page", "tick", "event", "picture", "api")
WORDS = ("agreement", "notice", "dose", "hygiene")


class Crowd:
    """Readers and askers of one collection. looks: seconds between two things that a reader looks at."""

    def __init__(
        self,
        collection: str,
        questions: Sequence[str],
        assets: Sequence[str] = (),
        looks: tuple[float, float] = LOOKS_SECONDS,
    ) -> None:
        self._collection, self._questions = collection, questions
        self._assets, self._looks = assets, looks
        self._drawn: set[str] = set()
        self._enough = asyncio.Event()
        self.figures = Figures()
        self.answers: list[int] = []
        self.ahead = 0

    async def come(
        self, address: str, readers: int, askers: int, ramp: float, seconds: float, answers: int | None = None
    ) -> None:
        """Stay for `seconds`, or until there are `answers` in all."""
        self.answers = [0] * askers
        limits = httpx.Limits(max_connections=None, keepalive_expiry=3)  # a browser tries again instead
        async with (
            httpx.AsyncClient(base_url=address, limits=limits, timeout=600) as client,
            asyncio.TaskGroup() as group,
        ):
            events = await Events.of(client)
            people = [self._asker] * askers + [self._reader] * readers
            for index, person in enumerate(people):
                tab = Tab(client, events, self.figures, self._collection, self._assets)
                group.create_task(person(tab, index, ramp * index / len(people), answers))
            group.create_task(self._end(seconds))

    async def _end(self, seconds: float) -> None:
        await self._stopped(seconds)
        self._enough.set()

    async def _stopped(self, seconds: float) -> bool:
        """Wait for so long, or until it is enough, which it says."""
        try:
            await asyncio.wait_for(self._enough.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _reader(self, tab: Tab, index: int, late: float, answers: int | None) -> None:
        if await self._stopped(late):
            return
        chance = random.Random(index)
        async with tab.open(), asyncio.TaskGroup() as group:
            await tab.load()
            group.create_task(self._ticks(tab))
            known = (await tab.get("api", f"/v1/documents?collection={self._collection}"))["documents"]
            drawn = [each for each in known if each["name"].endswith(".pdf")]
            while not await self._stopped(chance.uniform(*self._looks)):
                match chance.randrange(6):
                    case 0 | 1:
                        seen = chance.choice(drawn)
                        page = chance.randint(1, seen["pages"])
                        path = f"/page/documents/{seen['document_id']}/pages/{page}.png?width=1240"
                        await tab.get("drawing" if path not in self._drawn else "picture", path)
                        self._drawn.add(path)
                    case 2:
                        await tab.get("api", f"/v1/documents?collection={self._collection}")
                    case 3:
                        await tab.get("api", f"/v1/documents/{chance.choice(known)['document_id']}")
                    case 4:
                        await tab.find(chance.choice(WORDS))
                    case _:
                        await tab.get("page", "/")

    async def _ticks(self, tab: Tab) -> None:
        while not await self._stopped(IDLE_SECONDS):
            await tab.tick()

    async def _asker(self, tab: Tab, index: int, late: float, answers: int | None) -> None:
        if await self._stopped(late):
            return
        async with tab.open():
            await tab.load()
            while not self._enough.is_set():
                question = self._questions[self.answers[index] % len(self._questions)]
                ahead = await tab.ask(question)
                if ahead is not None:
                    self.answers[index] += 1
                    self.ahead = max(self.ahead, ahead)
                if answers is not None and sum(self.answers) >= answers:
                    self._enough.set()

    def report(self) -> dict[str, Any]:
        times = self.figures.times
        reads = [value for kind in READS for value in times.get(kind, ())]
        return {
            "errors": dict(self.figures.errors),
            "count": {kind: len(values) for kind, values in times.items()},
            "p50_ms": {kind: _percentile(values, 50) for kind, values in times.items()},
            "p95_ms": {kind: _percentile(values, 95) for kind, values in times.items()},
            "reads_p95_ms": _percentile(reads, 95),
            "answers": self.answers,
            "ahead": self.ahead,
        }


def _percentile(values: Sequence[float], share: float) -> float | None:
    return round(float(np.percentile(values, share)), 1) if values else None


@contextmanager
def attest_serve(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """`attest serve` on `home` in a process of its own, with its models loaded; its address, and itself."""
    command = [sys.executable, "-m", "app", "serve", "--port", "0"]
    environment = {**os.environ, "ATTEST_HOME": str(home)}
    with (home / "serve.log").open("w+") as log:
        server = subprocess.Popen(command, stderr=log, env=environment)
        try:
            while not (said := _address(home / "serve.log")) and server.poll() is None:
                time.sleep(0.1)
            while not httpx.get(f"{said}/healthz").json()["engine_ready"]:
                time.sleep(0.2)
            yield said, psutil.Process(server.pid)
        finally:
            server.terminate()
            server.wait()


def _address(log: Path) -> str:
    lines = log.read_text(encoding="utf-8").splitlines()
    return next((line.split()[-1] for line in lines if line.startswith("Attest is ready at ")), "")


def loaded_by_a_browser(address: str) -> list[str]:
    """Paths of what a browser fetches with the page; none where there is no browser."""
    if not CHROMIUM.exists():
        return []
    paths: list[str] = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("request", lambda request: paths.append(request.url.removeprefix(address)))
        page.goto(address)
        page.wait_for_selector("#at-documents li")
    scripts = tuple(f"/page/{script}" for script in SCRIPTS)
    return [path for path in paths if path.startswith(("/assets/", "/static/", "/theme.css", *scripts))]


def fill(home: Path) -> None:
    """The sample contracts, with their memories."""
    folder = ROOT / "assets" / "samples" / "legal"
    command = [
        sys.executable,
        "-m",
        "app",
        "ingest",
        str(folder),
        "--collection",
        COLLECTION,
        "--profile",
        "legal",
    ]
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "ATTEST_HOME": str(home)}
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--askers", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--ramp", type=float, default=20, help="seconds within which all have come")
    parser.add_argument("--home", type=Path, help="a home to use; the samples are added to it, once")
    given = parser.parse_args()
    lines = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    questions = [line["question"] for line in lines if line["collection"] == COLLECTION]
    place = nullcontext(given.home) if given.home else tempfile.TemporaryDirectory()
    with place as folder:
        home = Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        fill(home)
        with attest_serve(home) as (address, server):
            crowd = Crowd(COLLECTION, questions, loaded_by_a_browser(address))
            load, started, before = os.getloadavg()[0], time.perf_counter(), server.cpu_times()
            asyncio.run(crowd.come(address, given.readers, given.askers, given.ramp, given.seconds))
            after, seconds = server.cpu_times(), time.perf_counter() - started
    figures = {
        "readers": given.readers,
        "askers": given.askers,
        **crowd.report(),
        "cores": round((after.user + after.system - before.user - before.system) / seconds, 2),
        "load": [round(load, 2), round(os.getloadavg()[0], 2)],
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
