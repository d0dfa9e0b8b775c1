"""Turns: nobody starves, capacity is never exceeded, and a place that is left is free."""

import random
import threading
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.packing import PACK_TOKENS
from engine.protocol import GenerateOptions, Queued, Token
from engine.queue import OVERTAKES, FairQueue, Place, QueuedEngine
from tests.engine.paced import Collected, Paced, cold, prompt, until

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.sampled_from("abcd")),
        st.tuples(st.just("write"), st.just("")),
        st.tuples(st.sampled_from(("leave running", "leave waiting")), st.integers(0, 9).map(str)),
    ),
    max_size=60,
)


class Watched:
    """A queue driven step by step, with what each place saw pass it."""

    def __init__(self, capacity: int) -> None:
        self.queue = FairQueue(capacity)
        self.running: list[Place] = []
        self.waiting: list[Place] = []
        self.order: list[Place] = []
        self.own: dict[Place, int] = {}
        self.passed: dict[Place, list[str]] = {}
        self.overtaken = 0  # answers that have started while a write waits and none runs

    def do(self, step: str, argument: str) -> None:
        if step == "join":
            own = sum(place.client == argument for place in self.waiting)
            self._joined(self.queue.join(argument), own)
        elif step == "write":
            self._joined(self.queue.join_behind(), 0)
        else:
            places = self.running if step == "leave running" else self.waiting
            if places:
                self.leave(places[int(argument) % len(places)])

    def _joined(self, place: Place, own: int) -> None:
        self.own[place], self.passed[place] = own, []
        self.waiting.append(place)
        self.look()

    def leave(self, place: Place) -> None:
        (self.running if place in self.running else self.waiting).remove(place)
        self.queue.leave(place)
        self.look()

    def look(self) -> None:
        """Note what has started since, and check what must hold at any moment."""
        for place in [each for each in self.waiting if each.started]:
            self.waiting.remove(place)
            self.running.append(place)
            self.order.append(place)
            writing = any(each.client is None for each in self.running)
            if place.client is None or not any(other.client is None for other in self.waiting):
                self.overtaken = 0
            elif not writing:
                self.overtaken += 1
                assert self.overtaken <= OVERTAKES
            for other in self.waiting:
                if place.client is not None:
                    self.passed[other].append(place.client)
        writes = sum(place.client is None for place in self.running)
        assert len(self.running) == self.queue.running <= self.queue.capacity
        assert len(self.waiting) == self.queue.waiting
        assert writes <= 1
        if len(self.running) < self.queue.capacity:  # nobody waits for nothing
            assert all(place.client is None for place in self.waiting)
            assert writes or not self.waiting

    def check_fairness(self) -> None:
        for place, passed in self.passed.items():
            if place.client is not None:
                for client in set(passed) - {place.client}:
                    assert passed.count(client) <= self.own[place] + 1


@given(st.integers(1, 3), STEPS)
def test_under_random_arrivals_capacity_holds_and_turns_are_taken(
    capacity: int, steps: list[tuple[str, str]]
) -> None:
    watched = Watched(capacity)
    for step, argument in steps:
        watched.do(step, argument)
        watched.check_fairness()
    ahead = {place: watched.queue.ahead(place) for place in watched.waiting if place.client is not None}
    busy = any(place.client is not None for place in watched.running)
    started = len(watched.order)
    while watched.running:  # without new arrivals everyone is served, in the order that was told
        watched.leave(watched.running[0])
    assert not watched.waiting
    assert watched.queue.running == 0
    answers = [place for place in watched.order[started:] if place.client is not None]
    assert [ahead[place] for place in answers] == [n + busy for n in range(len(answers))]


def test_clients_take_turns() -> None:
    watched = Watched(1)
    for client in ("a", "a", "a", "b", "c", "b"):
        watched.do("join", client)
    while watched.running:
        watched.leave(watched.running[0])
    assert [place.client for place in watched.order] == ["a", "b", "c", "a", "b", "a"]


def test_a_write_is_overtaken_so_often_and_no_oftener() -> None:
    watched = Watched(1)
    for n in range(3):
        watched.do("join", f"reader {n}")
    watched.do("write", "")
    for n in range(3 * OVERTAKES):
        watched.do("join", f"late reader {n}")
        watched.leave(watched.running[0])
    served = [place.client for place in watched.order]
    assert served.index(None) == 1 + OVERTAKES


def test_leaving_twice_gives_one_place_up() -> None:
    queue = FairQueue(1)
    first, second, third = queue.join("a"), queue.join("b"), queue.join("c")
    queue.leave(first)
    queue.leave(first)
    assert (second.started, third.started) == (True, False)
    with pytest.raises(ValueError, match="at least 1"):
        FairQueue(0)


def test_who_waits_is_told_how_many_are_ahead() -> None:
    permits = threading.Semaphore(0)
    engine = QueuedEngine(Paced(1, permits))
    first = engine.generate(prompt("one"), None, GenerateOptions(1))
    second = engine.generate(prompt("two"), None, GenerateOptions(1, client="b"))
    third = engine.generate(prompt("three"), None, GenerateOptions(1, client="c"))
    permits.release()
    assert next(first) == Token(0, " 0")
    assert next(second) == Queued(1)
    assert next(third) == Queued(2)
    permits.release(2)
    assert list(first) == []
    assert list(second) == [Token(0, " 0")]
    assert list(third) == [Token(0, " 0")]
    assert (engine.queue.running, engine.queue.waiting) == (0, 0)


def test_stopping_or_closing_frees_the_place_waiting_or_running() -> None:
    inner = Paced(1, threading.Semaphore(3))
    engine = QueuedEngine(inner)
    running = engine.generate(prompt("runs"), None, GenerateOptions())
    next(running)
    stop = threading.Event()
    stopped = engine.generate(prompt("is stopped"), None, GenerateOptions(stop=stop))
    closed = engine.generate(prompt("is closed"), None, GenerateOptions())
    assert next(stopped) == Queued(1)
    assert next(closed) == Queued(2)
    ending = Collected(lambda: list(stopped))
    stop.set()
    ending.join()
    closed.close()  # type: ignore[attr-defined]
    assert ending.result == []
    assert engine.queue.waiting == 0
    assert engine.queue.running == 1
    running.close()  # type: ignore[attr-defined]
    assert engine.queue.running == 0
    assert inner.log == ["runs"]


def test_many_threads_that_come_and_go() -> None:
    inner = Paced(2)
    engine = QueuedEngine(inner)

    def visit(seed: int) -> None:
        chance = random.Random(seed)
        for n in range(6):
            if chance.random() < 0.3:
                engine.write([[1] * 100] * 30)
                continue
            stop = threading.Event()
            options = GenerateOptions(chance.randint(1, 20), stop=stop, client=str(seed))
            with closing(engine.generate(prompt(str(n)), None, options)) as stream:  # type: ignore[type-var]
                for event in stream:
                    if chance.random() < 0.1:
                        stop.set()
                    if isinstance(event, Token) and chance.random() < 0.05:
                        break

    visitors = [Collected(lambda seed=seed: visit(seed)) for seed in range(8)]
    for visitor in visitors:
        visitor.join()
        assert visitor.error is None
    assert inner.most <= 2
    assert (engine.queue.running, engine.queue.waiting) == (0, 0)


def test_answers_slip_between_the_packs_of_a_long_write() -> None:
    permits = threading.Semaphore(0)
    inner = Paced(1, permits)
    engine = QueuedEngine(inner)
    references = [[n] * 128 for n in range(3 * PACK_TOKENS // 128)]
    writing = Collected(lambda: engine.write(references))
    until(lambda: inner.log)
    answering = Collected(lambda: list(engine.generate(prompt("slips in"), None, GenerateOptions(1))))
    until(lambda: engine.queue.waiting == 1)
    permits.release(4)
    writing.join()
    answering.join()
    assert inner.log == ["write 12", "slips in", "write 12", "write 12"]
    assert [memory.length for memory in writing.result] == [128] * 36  # type: ignore[attr-defined]
    assert [int(memory.keys[0, 0, 0, 0]) for memory in writing.result] == list(range(36))  # type: ignore[attr-defined]


def test_what_an_answer_has_written_waits_for_nothing() -> None:
    inner = Paced(1)
    engine = QueuedEngine(inner)
    memories_for = cold(engine, "The notice period is ninety days.")
    text = "".join(
        event.text
        for event in engine.generate(prompt("How long is the period?"), memories_for, GenerateOptions())
        if isinstance(event, Token)
    )
    assert text == "The notice period is ninety days ."
    assert inner.most == 2  # the write, inside the answer
    engine.score(prompt("period?"), "ninety", memories_for)
    assert (engine.queue.running, engine.queue.waiting) == (0, 0)
    assert engine.write([[1]])  # and afterwards this thread queues again
