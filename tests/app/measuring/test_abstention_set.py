"""Questions that abstention is fitted on and measured with, and what is made of them."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.measuring.questions import Answered, Question
from tests.bench.abstention import Judged, auc, balance, best_threshold, figures
from tests.bench.abstention_set import FIT, MEASURE, called, carried, draw


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
