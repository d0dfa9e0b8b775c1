"""A tab of the page without a browser: it sends what the page's own script sends, and waits as long.

Speaks Gradio's protocol: ticks are asked for at once, other events join a queue and are answered in a stream
of their session; a heartbeat stays open for as long as the tab does. Times are milliseconds, seen from here.
"""

import json
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

AHEAD = re.compile(r"(\d+) questions? ahead of yours")
PROBLEM = re.compile(r'role=\\?"alert')


@dataclass
class Figures:
    """What all tabs saw: times by kind of request, and what failed."""

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)

    @asynccontextmanager
    async def timed(self, kind: str) -> AsyncIterator[None]:
        """Time what happens inside; a failure is counted instead."""
        started = time.perf_counter()
        try:
            yield
        except (httpx.HTTPError, Refused) as error:
            self.errors[f"{kind}: {type(error).__name__} {error}"] += 1
        else:
            self.times[kind].append(1000 * (time.perf_counter() - started))


class Refused(Exception):
    """The server answered, but not with what was asked for."""


@dataclass(frozen=True)
class Events:
    """Numbers of the page's events, as its description has them; marks: where in its results one is."""

    numbers: dict[tuple[str, str], list[int]]
    inputs: dict[int, int]
    marks: dict[int, int]

    @classmethod
    async def of(cls, client: httpx.AsyncClient) -> "Events":
        config = (await client.get("/config")).json()
        names = {each["id"]: each["props"].get("elem_id") or each["type"] for each in config["components"]}
        numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
        for event in config["dependencies"]:
            for component, kind in event["targets"]:
                numbers[names.get(component, "page"), kind].append(event["id"])
        (mark,) = (key for key, name in names.items() if name == "at-mark")
        return cls(
            dict(numbers),
            {each["id"]: len(each["inputs"]) for each in config["dependencies"]},
            {
                each["id"]: each["outputs"].index(mark)
                for each in config["dependencies"]
                if mark in each["outputs"]
            },
        )


class Tab:
    """One reader's tab. assets: paths that a browser without a cache loads with the page."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        events: Events,
        figures: Figures,
        collection: str,
        assets: Sequence[str] = (),
    ) -> None:
        self._client, self._events, self._figures = client, events, figures
        self._collection, self._assets = collection, assets
        self._session = f"{random.getrandbits(52):011x}"
        self._mark = ""

    async def load(self) -> None:
        """As when the address is entered: the page, what it needs, and its first events."""
        await self.get("page", "/")
        for path in self._assets:
            await self.get("asset", path)
        first = self._events.numbers["page", "load"]
        async with self._figures.timed("event"):
            await self._done(first, [[""] * min(1, self._events.inputs[number]) for number in first])

    async def get(self, kind: str, path: str) -> Any:
        """The answer's JSON, where it is some."""
        async with self._figures.timed(kind):
            answer = await self._client.get(path)
            if answer.status_code != 200:
                raise Refused(f"{answer.status_code} for {path}")
            return answer.json() if answer.headers["content-type"] == "application/json" else None

    async def tick(self) -> None:
        """What the list on the left asks every few seconds."""
        (number,) = self._events.numbers["timer", "tick"]
        async with self._figures.timed("tick"):
            given = self._padded(number, [self._collection, self._mark])
            body = {"data": given, "fn_index": number, "session_hash": self._session}
            answer = await self._client.post("/gradio_api/run/predict", json=body)
            if answer.status_code != 200:
                raise Refused(f"{answer.status_code} for a tick")
            self._marked(number, answer.json())

    async def find(self, words: str) -> None:
        """Search the kept conversations."""
        async with self._figures.timed("event"):
            await self._done(self._events.numbers["at-search", "change"], [[words]])

    async def ask(self, question: str) -> int | None:
        """Ask in a new conversation, and read the answer to its end.

        Returns how many questions were said to be ahead, None if there was no answer.
        """
        ahead = None
        async with self._figures.timed("answer"):
            asking = self._events.numbers["at-question", "submit"]
            given = [question, self._collection, "From memories"]
            said = await self._done(asking, [given])
            if any(PROBLEM.search(message) for message in said):
                raise Refused("the page shows a problem instead of an answer")
            ahead = max([0, *(int(number) for message in said for number in AHEAD.findall(message))])
        async with self._figures.timed("event"):
            await self._done(self._events.numbers["at-fresh", "click"], [[]])
        return ahead

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Holds the heartbeat that tells the server that somebody is there."""
        async with self._client.stream("GET", f"/gradio_api/heartbeat/{self._session}"):
            yield

    def _padded(self, number: int, given: list[Any]) -> list[Any]:
        """With nothing in place of what the server keeps by itself, the states of the session."""
        return given + [None] * (self._events.inputs[number] - len(given))

    def _marked(self, number: int, output: dict[str, Any]) -> None:
        """Keep the mark that the results of an event bring, unless they leave it as it is."""
        place = self._events.marks.get(number)
        if place is not None and isinstance(output["data"][place], str):
            self._mark = output["data"][place]

    async def _done(self, numbers: Sequence[int], data: Sequence[list[Any]]) -> list[str]:
        """Send events, and follow the session's stream until all are done. Returns its messages."""
        waiting: dict[str, int] = {}
        for number, given in zip(numbers, data, strict=True):
            padded = self._padded(number, given)
            body = {"data": padded, "fn_index": number, "session_hash": self._session, "event_data": None}
            answer = await self._client.post("/gradio_api/queue/join", json=body)
            if answer.status_code != 200:
                raise Refused(f"{answer.status_code} for an event")
            waiting[answer.json()["event_id"]] = number
        messages = []
        stream = f"/gradio_api/queue/data?session_hash={self._session}"
        async with self._client.stream("GET", stream) as answer:
            async for line in answer.aiter_lines():
                if not line.startswith("data:"):
                    continue
                message = json.loads(line[5:])
                messages.append(line)
                if message["msg"] == "process_completed":
                    if not message["success"]:
                        raise Refused("an event failed")
                    if (number := waiting.pop(message["event_id"], None)) is not None:
                        self._marked(number, message["output"])
                if not waiting and message["msg"] == "close_stream":
                    return messages
        if waiting:
            raise Refused("the stream ended before the event")
        return messages
