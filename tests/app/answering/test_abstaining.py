"""When to say that the documents do not answer: signals, the carried calibration, the fallback."""

import json
import math
from dataclasses import dataclass, replace
from importlib import resources

import numpy as np
import pytest

from app.answering.abstaining import SUPPORTED_COSINE, Calibration, declined, signals
from engine.registry import DEFAULT_EMBEDDER
from storage.records import Hit, ReferenceRow

NONE = np.zeros(0, dtype=np.uint32)


@dataclass(frozen=True)
class Found:
    row: ReferenceRow
    hit: Hit


def found(text: str, cosine: float | None, *, name: str = "Lease.pdf", first: bool = False) -> Found:
    row = ReferenceRow(1, "d", name, None, 1, "1", 0, len(text), text, ("Term",), NONE, 0, NONE)
    return Found(row, Hit(1, 0.03, 1 if first else 3, 1 if first else 2, cosine, 6.0))


QUESTION = "When does the lease of Harbour Row end?"
RIGHT = found("The lease of Harbour Row ends on 3 March 2021.", 0.8, first=True)
OTHER = found("Keep the tablets away from children.", 0.05, name="Label.xml")


def test_signals_of_a_passage_that_answers_and_of_one_that_does_not() -> None:
    right, wrong = signals(QUESTION, [RIGHT, OTHER], 9), signals(QUESTION, [OTHER], 9)
    assert right["cosine"] == 0.8
    assert right["gap"] == pytest.approx(0.75)
    assert right["coverage"] == 1.0  # ends is end
    assert (right["both"], wrong["both"]) == (1.0, 0.0)
    assert right["words"] == wrong["words"] == 4
    assert right["bm25"] == pytest.approx(1.5)
    assert wrong["coverage"] == wrong["phrases"] == 0.0
    assert right["phrases"] > 0


def test_signals_are_always_numbers() -> None:
    for question in ("", "?", "the of", QUESTION):
        for passages in ([], [found("", None)], [RIGHT, found("x", None)]):
            for count in (0, 1, 10_000):
                assert all(math.isfinite(value) for value in signals(question, passages, count).values())


def test_the_carried_calibration_knows_the_signals_and_tells_the_two_apart() -> None:
    carried = Calibration.of(DEFAULT_EMBEDDER)
    assert carried is not None
    assert set(carried.weights) == set(signals(QUESTION, [], 1))
    assert 0 < carried.threshold < 1
    assert declined(QUESTION, [OTHER], 9, carried)
    assert not declined(QUESTION, [RIGHT, OTHER], 9, carried)
    assert declined(QUESTION, [], 9, carried)
    never, always = replace(carried, threshold=1.1), replace(carried, threshold=0.0)
    assert not declined(QUESTION, [OTHER], 9, never)
    assert declined(QUESTION, [RIGHT], 9, always)


def test_a_closer_passage_is_never_more_reason_to_decline() -> None:
    carried = Calibration.of(DEFAULT_EMBEDDER)
    assert carried is not None
    for count in (1, 10, 10_000):
        ranked = [
            carried.unanswered(signals(QUESTION, [replace(RIGHT, hit=replace(RIGHT.hit, cosine=c))], count))
            for c in (0.1, 0.4, 0.7)
        ]
        assert ranked == sorted(ranked, reverse=True)


def test_a_plain_question_is_for_few_documents() -> None:
    carried = Calibration.of(DEFAULT_EMBEDDER)
    clause = [found("This agreement is governed by the laws of Maine.", 0.45, first=True)]
    assert not declined("Which law governs?", clause, 1, carried)
    assert declined("Which law governs?", clause, 500, carried)


def test_what_was_fitted_says_on_what_and_how_well() -> None:
    file = resources.files("assets") / "abstention" / f"{DEFAULT_EMBEDDER}.json"
    kept = json.loads(file.read_text(encoding="utf-8"))
    assert set(kept["fitted"]["kinds"]) == {"SQuAD-2.0", "CUAD_v1", "absent"}
    assert kept["fitted"]["answerable"] > 100


def test_another_embedder_is_judged_by_its_cosine() -> None:
    assert Calibration.of("fake") is None
    assert Calibration.of("../" + DEFAULT_EMBEDDER) is None
    assert declined(QUESTION, [found("x", SUPPORTED_COSINE - 0.01)], 9, None)
    assert not declined(QUESTION, [found("x", SUPPORTED_COSINE)], 9, None)
    assert declined(QUESTION, [found("x", None)], 9, None)
