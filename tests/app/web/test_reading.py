"""Attention summed up: the whole is kept, stretches weigh by their tokens, numbers add to 100."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.answering.answer import MemoryRead, Other, StretchRead, TokenAttention
from app.web.reading import Spot, nearest, read_over, spot_of, strength, tenths
from tests.app.web.scripted import legal_answer, legal_reads

shares = st.lists(st.floats(0, 1), min_size=4, max_size=8)


@given(shares)
def test_displayed_numbers_add_to_exactly_one_hundred(values: list[float]) -> None:
    numbers = tenths(values)
    assert sum(numbers) == (1000 if sum(values) > 0 else 0)
    assert all(number >= 0 for number in numbers)
    if sum(values) > 0:
        total = sum(values)
        assert all(abs(number - 1000 * v / total) < 1 for number, v in zip(numbers, values, strict=True))


@given(st.lists(st.tuples(st.integers(1, 64), shares), min_size=1, max_size=5))
def test_whole_answer_sums_to_one(stretches: list[tuple[int, list[float]]]) -> None:
    reads, at = [], 0
    for tokens, values in stretches:
        total = sum(values)
        parts = [value / total for value in values] if total > 0 else [1.0] + [0.0] * (len(values) - 1)
        memories = [
            MemoryRead(i, "d", 1, 10 * i, 10 * i + 10, "t", 0.0, mass, []) for i, mass in enumerate(parts[3:])
        ]
        reads.append(StretchRead(at, at + tokens, memories, Other(*parts[:3])))
        at += tokens
    reading = read_over(reads, [])
    assert reading is not None
    whole = sum(passage.attention for passage in reading.passages)
    assert whole + reading.question + reading.answer + reading.prefix == pytest.approx(1)
    assert (reading.from_token, reading.to_token) == (0, at)


def test_stretches_weigh_by_their_tokens() -> None:
    answer = legal_answer()
    reading = read_over(answer.reads, answer.citations)
    assert reading is not None
    first = reading.passages[0]
    assert first.attention == pytest.approx((64 * 0.31 + 27 * 0.22) / 91)
    assert sum(token.attention for token in first.tokens) == pytest.approx(first.attention)
    assert [passage.number for passage in reading.passages] == [1, 2, 3, None]


def test_one_stretch_alone() -> None:
    reading = read_over(legal_reads(), [], 1)
    assert reading is not None
    assert (reading.from_token, reading.to_token) == (64, 91)
    assert [round(passage.attention, 2) for passage in reading.passages] == [0.22, 0.14]


def test_nothing_was_read() -> None:
    assert read_over([], []) is None
    assert read_over(legal_reads(), [], 7) is None
    assert nearest([]) == []


def test_nearest_goes_by_retrieval_not_by_attention() -> None:
    low = MemoryRead(1, "a", 1, 0, 5, "low", 0.2, 0.6, [])
    high = MemoryRead(2, "b", 1, 0, 5, "high", 0.9, 0.1, [])
    found = nearest([StretchRead(0, 5, [low, high], Other(0.1, 0.1, 0.1))])
    assert [passage.text for passage in found] == ["high", "low"]


def test_spots_meet_only_on_their_page() -> None:
    here = Spot("a", 1, 10, 20)
    assert here.meets(Spot("a", 1, 19, 30))
    assert not here.meets(Spot("a", 1, 20, 30))
    assert not here.meets(Spot("a", 2, 10, 20))
    assert not here.meets(Spot("b", 1, 10, 20))


def test_strength_has_four_steps_and_none() -> None:
    assert [strength(value, 1.0) for value in (1.0, 0.75, 0.6, 0.3, 0.1, 0.09)] == [4, 4, 3, 2, 1, 0]
    assert strength(0.0, 0.0) == 0


def test_same_words_of_two_stretches_are_added() -> None:
    def read(low: int, high: int, mass: float) -> StretchRead:
        token = TokenAttention(2, 4, mass)
        memory = MemoryRead(1, "a", 1, 0, 9, "text", 0.0, mass, [token])
        return StretchRead(low, high, [memory], Other(1 - mass, 0, 0))

    reading = read_over([read(0, 64, 0.2), read(64, 128, 0.4)], [])
    assert reading is not None
    (passage,) = reading.passages
    (token,) = passage.tokens
    assert (token.start, token.end) == (2, 4)
    assert token.attention == pytest.approx(0.3)
    assert passage.spot == spot_of(read(0, 1, 0).memories[0])
