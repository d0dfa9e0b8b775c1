"""SQuAD's measures, against figures worked out by hand."""

import pytest

from app.measuring.questions import Answered, Question
from app.measuring.scoring import Outcome, exact_match, f1, normalised, quality, speed


def outcome(
    answer: str = "",
    *golds: str,
    abstained: bool = False,
    nll: float | None = None,
    evidence: tuple[bool, bool] | None = None,
    clock: tuple[float, int, float] = (0.0, 0, 0.0),
) -> Outcome:
    question = Question("x", "?", tuple(Answered(gold, 0) for gold in golds), "c")
    return Outcome(question, answer, abstained, nll, evidence, *clock)


def test_answers_are_compared_as_squad_does() -> None:
    assert normalised(" The  U.S. Army's, a tank; an\tapple") == "us armys tank apple"
    assert exact_match("the Eiffel Tower!", ["Louvre", "Eiffel tower"]) == 1.0
    assert exact_match("Eiffel", ["Eiffel tower"]) == 0.0


@pytest.mark.parametrize(
    ("answer", "golds", "expected"),
    [
        ("ninety days", ["ninety days"], 1.0),
        ("ninety long days", ["ninety days"], 0.8),  # precision 2/3, recall 1
        ("days days", ["days"], 2 / 3),  # the second one matches nothing
        ("ten weeks", ["ninety days", "ten"], 2 / 3),  # the best of both
        ("the", ["a"], 1.0),  # nothing is left of either
        ("", ["days"], 0.0),
        ("days", [], 0.0),
    ],
)
def test_f1(answer: str, golds: list[str], expected: float) -> None:
    assert f1(answer, golds) == pytest.approx(expected)


def test_quality_by_hand() -> None:
    found = quality(
        [
            outcome("ninety days", "ninety days", nll=0.5, evidence=(True, True)),
            outcome("ninety long days", "ninety days", nll=1.5, evidence=(False, True)),
            outcome("ninety days", "ninety days", abstained=True, nll=4.0, evidence=(False, False)),
            outcome("something", "nothing"),
            outcome(abstained=True),
            outcome("made up"),
        ]
    )
    assert found == {
        "n": 6,
        "unanswerable": 2,
        "exact_match": 0.25,  # what was declined is wrong
        "f1": 0.45,
        "abstain_accuracy": 0.625,
        "answered": 0.75,
        "declined": 0.5,
        "answer_nll": 2.0,
        "evidence_at_1": 0.3333,
        "evidence_at_5": 0.6667,
    }


def test_what_nothing_tells_is_none() -> None:
    answerable = quality([outcome("a", "a")])
    assert (answerable["exact_match"], answerable["abstain_accuracy"], answerable["declined"]) == (
        1,
        None,
        None,
    )
    assert answerable["answer_nll"] is answerable["evidence_at_1"] is answerable["evidence_at_5"] is None
    unanswerable = quality([outcome(abstained=True)])
    assert unanswerable["declined"] == 1.0
    assert unanswerable["exact_match"] is unanswerable["f1"] is unanswerable["abstain_accuracy"] is None


def test_speed_is_over_answers_that_were_generated() -> None:
    clocks = [(100.0, 11, 1.0), (300.0, 31, 1.0), (2.0, 0, 0.0)]
    assert speed([outcome(clock=clock) for clock in clocks]) == {
        "first_token_ms": {"p50": 200.0, "p95": 290.0},
        "decode_tokens_per_second": 20.0,
    }
    assert speed([outcome(clock=(5.0, 1, 0.0))])["decode_tokens_per_second"] is None
    assert speed([outcome()]) == {
        "first_token_ms": {"p50": None, "p95": None},
        "decode_tokens_per_second": None,
    }
