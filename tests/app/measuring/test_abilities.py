"""Whether an adapter harms: which option counts as chosen, and what an answer makes up."""

import gzip
import json
import random
from collections import Counter
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from app.measuring.evaluating import MAX_TOKENS
from app.measuring.questions import read_contexts, read_questions
from engine.fake import FakeEngine
from tests.bench.abilities import (
    PASSAGE_TOKENS,
    Choice,
    choose,
    cut,
    difference,
    in_order,
    in_turn,
    label,
    likeliest,
    truthful,
)
from tests.bench.chat import prompts
from tests.bench.hallucination import Judged, figures, statements, unsupported, whole

REFERENCE = (
    "Lease.txt > Rent\nThe rent of 1,200.00 euros is due to Baker & Sons, Ltd. on the 1st of May 2019. "
    "The tenant's notice period is “ninety (90) days”."
)
QUESTION = "What must Ms Ortega pay?"


def scored(*log_probabilities: list[float]) -> list[np.ndarray]:
    return [np.array(each, dtype=np.float32) for each in log_probabilities]


def test_labels_of_one_length_go_by_their_sum_and_others_by_their_characters() -> None:
    # by characters, "Maybe" would win
    assert likeliest(scored([-1.0], [-1.2], [-1.5]), ("Yes", "No", "Maybe")) == 0
    # by the sum, "Rome" would win
    long = "Water boils at 100 degrees"
    assert likeliest(scored([-3.0], [-2.0, -2.0]), ("Rome", long)) == 1


def test_options_stand_in_the_order_people_give_them() -> None:
    assert in_order(Counter({"Maybe": 9, "No": 5, "Yes": 1})) == ("Yes", "No", "Maybe")
    assert in_order(("C", "A", "B")) == ("A", "B", "C")
    assert [label(each) for each in ("yes", "Entailment", "A")] == ["Yes", "Entailment", "A"]


def test_empty_wrong_answers_are_no_options(tmp_path: Path) -> None:
    row = {
        "dataset": "TruthfulQA",
        "question": "What?",
        "gold": "That.",
        "meta": {"incorrect": ["", "This."]},
    }
    with gzip.open(tmp_path / "general_qa.jsonl.gz", "wt") as file:
        file.write(json.dumps(row) + "\n")
    (choice,) = truthful(tmp_path, random.Random(0))
    assert sorted(choice.options) == ["That.", "This."]
    assert (choice.options[choice.right], choice.chance) == ("That.", 0.5)


def test_tasks_are_drawn_in_turn_and_by_the_seed() -> None:
    rows = [f"large {i}" for i in range(40)] + ["small 1", "small 2"]

    def drawn(seed: int) -> list[str]:
        return in_turn(rows, lambda row: row.split()[0], 6, random.Random(seed))

    assert Counter(row.split()[0] for row in drawn(0)) == {"large": 4, "small": 2}
    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
    assert sorted(in_turn(rows, str, 100, random.Random(0))) == sorted(rows)


def test_a_passage_ends_with_its_last_token_that_fits() -> None:
    engine = FakeEngine()
    words = [f"w{i:03}" for i in range(PASSAGE_TOKENS + 50)]
    assert cut(" ".join(words), engine.tokenize) == " ".join(words[:PASSAGE_TOKENS])
    assert cut("w000 ", engine.tokenize) == "w000 "


def test_what_the_memories_say_is_chosen_and_without_them_it_is_not() -> None:
    passage = "The deal was sealed with wax in York, and it went on from there. " * 3
    options = ("Kent", "York")  # one token each: without memories a tie, which the first wins
    row = Choice("task", "general", passage, "Where was the deal sealed?", options, 1, 0.5)
    assert choose(FakeEngine(), row, memory=True) == 1
    assert choose(FakeEngine(), row, memory=False) == 0


def test_the_difference_is_in_points_with_the_error_of_pairs() -> None:
    base, adapted = [True, True, False, False], [True, False, False, False]
    assert difference(base, adapted) == {"adapted_minus_base": -25.0, "standard_error": 25.0, "n": 4}
    assert difference(base, base) == {"adapted_minus_base": 0.0, "standard_error": 0.0, "n": 4}
    assert difference([True], [False])["standard_error"] is None


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("The rent is 1200 euros.", []),
        ("It is due on May 1 or May 3.", ["3"]),
        ("The rent is $1,250 and starts in 2019.", ["1,250"]),
        ("To Baker & Sons, by Ms Ortega's bank.", []),
        ("To Smith & Sons, in London.", ["Smith & Sons", "London"]),
        ("Baker Sons Ltd", []),
        ("London", ["London"]),
        ("London is where Baker lives.", []),
        ("IKEA is the landlord.", ["IKEA"]),
        ("Yes.", []),
        ("Mr. J. K. Rowe signed.", ["J. K. Rowe"]),
        ('It says "ninety (90) days".', []),
        ("It says “sixty days” and no more.", ["sixty days"]),
        ("1. rent\n2. notice of 90 days\n- a fee of 7.5%", ["7.5"]),
        ("However, the tenant may leave. The Landlord may not.", ["Landlord"]),
        ("A fee of 0.5 or 120 euros.", ["0.5", "120"]),
        ("", []),
    ],
)
def test_what_neither_references_nor_question_have_is_unsupported(answer: str, found: list[str]) -> None:
    assert unsupported(answer, [REFERENCE], QUESTION) == found


def test_a_name_must_stand_in_one_reference_as_it_is() -> None:
    assert unsupported("She met Jane Roe.", ["Jane left.", "Roe stayed."], "") == ["Jane Roe"]
    assert unsupported("She met Jane Roe.", ["Jane left.", "It was JANE\nROE."], "") == []


def test_right_answers_are_supported_by_their_own_contexts_and_few_by_others() -> None:
    folder = Path(str(resources.files("assets").joinpath("eval")))
    contexts = read_contexts(folder / "contexts.jsonl")
    after = dict(zip(contexts, [*list(contexts)[40:], *list(contexts)[:40]], strict=True))
    elsewhere = []
    for question in read_questions(folder / "questions.jsonl"):
        for answer in question.answers[:1]:
            own, other = contexts[question.context_id], contexts[after[question.context_id]]
            assert unsupported(answer.text, [own.text], question.text) == [], question.id
            if statements(answer.text):
                elsewhere.append(bool(unsupported(answer.text, [other.text], question.text)))
    assert len(elsewhere) > 150
    assert np.mean(elsewhere) > 0.8


def test_everything_stated_is_listed_once() -> None:
    answer = 'In 2019 Baker paid 2019 euros. "Baker" signed for Baker & Sons.'
    assert statements(answer) == ["Baker", "2019", "Baker & Sons"]


def test_a_word_that_was_broken_off_states_nothing() -> None:
    assert whole("It was signed by Jane\nRo", MAX_TOKENS) == "It was signed by Jane"
    assert whole("It was signed by Jane\nRoe", MAX_TOKENS - 1) == "It was signed by Jane\nRoe"
    assert whole("Roe", MAX_TOKENS) == whole("", 0) == ""


def test_declined_answers_state_nothing_and_are_not_counted() -> None:
    judged = [Judged(True, 3, 1), Judged(True, 2, 0), Judged(False, None, 0)]
    assert figures(judged) == {
        "n": 3,
        "answered": 2,
        "unsupported": 0.5,
        "statements": 5,
        "unsupported_statements": 1,
    }
    assert figures(judged[2:])["unsupported"] is None


def test_twenty_prompts_that_differ() -> None:
    assert len(prompts()) == len(set(prompts())) == 20
    assert all(prompts())
