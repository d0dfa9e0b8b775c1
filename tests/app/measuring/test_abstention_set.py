"""Questions that abstention is fitted on and measured with, and what is made of them."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.measuring.questions import Answered, Context, Question
from tests.bench.abstention import Judged, auc, balance, best_threshold, figures
from tests.bench.abstention_set import FIT, MEASURE, called, carried, draw
from tests.bench.eval_set import Drawn
from tests.bench.plain_set import AMONG, plain


def test_both_sides_are_drawn_from_their_own_contexts(shared_data: Path) -> None:
    for held_out, sizes in ((False, FIT), (True, replace(MEASURE, contracts=4))):
        drawn = draw(shared_data, held_out=held_out, sizes=sizes, seed=7)
        assert all(context.held_out == held_out for context in drawn.contexts.values())
        assert not carried() & set(drawn.contexts)
        kinds = Counter(q.dataset for q in drawn.questions if not q.answers)
        assert min(kinds["SQuAD-2.0"], kinds["CUAD_v1"]) > 20
        absent = [q for q in drawn.questions if q.dataset.endswith("/absent-document")]
        assert len(absent) > 20
        assert not {q.context_id for q in absent} & set(drawn.contexts)
        assert len({q.id for q in drawn.questions}) == len(drawn.questions)


def test_a_contract_is_called_by_its_company_and_kind() -> None:
    assert called("MorganStanleyDirectLendingFund_20191119_10-12GA_EX-10.5_Trademark License Agreement") == (
        "Morgan Stanley Direct Lending Fund trademark license agreement"
    )
    assert called("XLITECHNOLOGIES,INC_12_11_2015-EX-10.1-Sponsorship Agreement") is None


def judged(kind: str, answers: bool, cosine: float) -> Judged:
    dataset = kind if kind != "absent" else "QED/absent-document"
    golds = (Answered("x", 0),) if answers else ()
    return Judged(Question(f"{kind}{answers}{cosine}", "?", golds, "c", dataset), {"cosine": cosine})


SIDE = [
    *(judged(kind, True, cosine) for kind in ("SQuAD-2.0", "CUAD_v1", "QED") for cosine in (0.7, 0.8, 0.9)),
    *(judged(kind, False, cosine) for kind in ("SQuAD-2.0", "CUAD_v1", "absent") for cosine in (0.1, 0.2)),
]


def test_figures_are_balanced_accuracies_and_the_threshold_finds_the_gap() -> None:
    unanswered = np.array([1 - each.signals["cosine"] for each in SIDE])
    threshold = best_threshold(SIDE, unanswered)
    found = figures(SIDE, unanswered, threshold)
    assert found["answered"] == 1.0
    assert {kind: part["balanced_accuracy"] for kind, part in found["kinds"].items()} == dict.fromkeys(
        ("SQuAD-2.0", "CUAD_v1", "absent"), 1.0
    )
    none_declined = figures(SIDE, unanswered, 2.0)
    assert none_declined["kinds"]["absent"]["balanced_accuracy"] == 0.5
    assert auc(np.array([1.0, 2.0]), np.array([1.0, 0.0])) == 0.875


def test_kinds_weigh_alike() -> None:
    weights = balance(SIDE)
    gone = np.array([each.kind is not None for each in SIDE])
    assert weights[gone].sum() == weights[~gone].sum() == len(SIDE) / 2


def test_plain_questions_name_nothing_and_are_asked_of_few() -> None:
    def context(key: str) -> Context:
        return Context(key, key, f"text of {key}")

    def question(key: str, text: str, dataset: str, *, answers: bool = True) -> Question:
        return Question(key, text, (Answered("x", 0),) if answers else (), f"c-{key}", dataset)

    drawn = Drawn(
        [
            question("law", "In the Acme lease: Which law governs?", "CUAD_v1"),
            question("cap", "In the Bolt lease: Is there a cap?", "CUAD_v1", answers=False),
            question("gout", "What are the symptoms of Gout ?", "MedQuAD"),
            question("gone", "In the Gone lease: Who signed?", "CUAD_v1/absent-document", answers=False),
        ],
        {f"c-{key}": context(f"c-{key}") for key in ("law", "cap", "gout")},
    )
    all_made = plain(drawn, 7)
    made = {(each.question.dataset, each.question.text): each for each in all_made}
    for group, text, count, answerable in (
        ("contract", "Which law governs?", 1, True),
        ("contract, 3", "Which law governs?", 3, True),
        ("clause that is not there", "Is there a cap?", 1, False),
        ("disease", "What are the symptoms?", 1, True),
        ("one of MedQuAD", "What are the symptoms of Gout ?", 1, True),
    ):
        each = made[f"plain: {group}", text]
        assert (len(each.contexts), bool(each.question.answers)) == (count, answerable)
        assert each.question.context_id == each.contexts[0]
    beside = [each for each in all_made if each.question.dataset == "plain: beside the point"]
    assert len(beside) == 3
    assert not any(each.question.answers or "lease" in each.question.text for each in beside)
    assert not any("Gone" in text or "Acme" in text for _, text in made)
    assert len(all_made) == 2 + len(AMONG) + 2 + 3


def test_plain_questions_stand_beside_those_of_the_library() -> None:
    side = [
        *SIDE,
        *(judged("plain: contract", True, cosine) for cosine in (0.5, 0.6)),
        *(judged("plain: clause that is not there", False, cosine) for cosine in (0.1, 0.3)),
    ]
    unanswered = np.array([1 - each.signals["cosine"] for each in side])
    found = figures(side, unanswered, 0.45)
    assert found["answerable"] == 9
    assert found["plain"] == {"plain: clause that is not there": 0.0, "plain: contract": 0.5}
    assert 0.5 < best_threshold(side, unanswered) <= 0.8
    weights = balance(side)
    assert weights[-1] == weights[-2] == len(side) / 2 / 4 / 2
