"""Fits when to say that the documents do not answer, and measures it on questions kept from fitting.

What `assets/abstention/<embedder>.json` rests on. The search is the product's, over a library of all contexts
of a side (tests/bench/abstention_set.py); the model neither orders what was found nor answers, so what it
declines itself comes on top.
Kinds of questions weigh alike in the fit, and so do the data sets of answerable ones; plain questions to few
documents (tests/bench/plain_set.py) are kinds and data sets, too. The threshold is the one with the highest
mean of the three balanced accuracies in the library, in cross-validation by context, among those that answer
at least `ANSWERED` of the answerable questions, and of the plain ones in the mean of their groups: to refuse
those is the worse mistake.

    python -m tests.bench.abstention --data ../shared/data --home FOLDER            # measures what is there
    python -m tests.bench.abstention --data ../shared/data --home FOLDER --fit      # fits it anew first

A JSON line each for the calibration side, `assets/eval`, and the held-out side: `answered`, the share of the
answerable questions, and for each kind of the others the share `declined` with its balanced accuracy against
all answerable questions, and against those of its own data sets; `plain`, the share of each of their groups
that is answered, of unanswerable ones by mistake; `auc` of every signal for each kind. FOLDER keeps the
libraries, which take minutes to make, for the next time.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from app.answering.abstaining import Calibration, signals
from app.answering.asking import Found
from app.measuring.evaluating import usable
from app.measuring.open_book import COLLECTION, Library
from app.measuring.questions import Context, Question, read_contexts, read_questions
from engine.embedding import SentenceEmbedder
from engine.format import MEMORIES_PER_CHUNK
from engine.opening import open_engine
from engine.protocol import Engine
from engine.registry import DEFAULT_MODEL
from storage.store import Store
from tests.bench.abstention_set import FIT, MEASURE, draw
from tests.bench.eval_set import ABSENT, Drawn
from tests.bench.plain_set import PLAIN, plain

ANSWERED = 0.85
FOLDS = 5
SEED = 7
KINDS = ("SQuAD-2.0", "CUAD_v1", "absent")
STRENGTH = 0.3  # inverse of the regularisation


@dataclass(frozen=True)
class Judged:
    """One question. kind: None if it is answerable. plain: asked of few documents."""

    question: Question
    signals: dict[str, float]

    @property
    def kind(self) -> str | None:
        if self.question.answers:
            return None
        return "absent" if self.question.dataset.endswith(ABSENT) else self.question.dataset

    @property
    def plain(self) -> bool:
        return self.question.dataset.startswith(PLAIN)


def asked(
    home: Path, questions: Sequence[Question], contexts: dict[str, Context], engine: Engine
) -> list[Judged]:
    """What retrieval knows of each question, in a library of the contexts, and of plain ones made of them."""
    embedder = SentenceEmbedder()
    home.mkdir(parents=True, exist_ok=True)
    with Store.open(home) as store:
        library = Library(
            store, engine, embedder, contexts.values(), lambda line: print(line, file=sys.stderr)
        )
        search = store.search(embedder.name, embedder.dimension)
        drawn = Drawn(list(questions), contexts)
        wanted = [(question, None) for question in questions]
        wanted += [(each.question, each.contexts) for each in plain(drawn, SEED)]
        vectors = embedder.embed([question.text for question, _ in wanted])
        judged = []
        for (question, among), vector in zip(wanted, vectors, strict=True):
            documents = None if among is None else [library.document(context) for context in among]
            hits = search.hybrid(
                question.text, vector, COLLECTION, document_ids=documents, k=MEMORIES_PER_CHUNK
            )
            rows = {row.id: row for row in store.references.get([hit.reference_id for hit in hits])}
            found = [Found(rows[hit.reference_id], hit) for hit in hits]
            count = len(contexts) if among is None else len(among)
            judged.append(Judged(question, signals(question.text, found, count)))
    return judged


def fit(judged: Sequence[Judged], embedder: str) -> dict[str, Any]:
    """What is kept for an embedder: weights of the plain signals, and the threshold."""
    names = list(judged[0].signals)
    table = np.array([[each.signals[name] for name in names] for each in judged])
    wanted = np.array([each.kind is not None for each in judged])
    model: Pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=2000))
    weight = {"logisticregression__sample_weight": balance(judged)}
    model.fit(table, wanted, **weight)
    scaler, regression = model[0], model[-1]
    weights = regression.coef_[0] / scaler.scale_
    groups = [each.question.context_id for each in judged]
    crossed = cross_val_predict(
        model, table, wanted, groups=groups, cv=GroupKFold(FOLDS), method="predict_proba", params=weight
    )[:, 1]
    threshold = best_threshold(judged, crossed)
    return {
        "embedder": embedder,
        "weights": {name: round(float(value), 5) for name, value in zip(names, weights, strict=True)},
        "bias": round(float(regression.intercept_[0] - weights @ scaler.mean_), 5),
        "threshold": threshold,
        "fitted": {
            "on": "contexts that training saw, none of assets/eval; cross-validated by context",
            "command": "python -m tests.bench.abstention --data DATA --fit",
            **figures(judged, crossed, threshold),
        },
    }


def balance(judged: Sequence[Judged]) -> npt.NDArray[np.float64]:
    """Answerable and not, kinds, and data sets of answerable questions: each the same in sum."""
    groups = [each.kind or f"answerable {each.question.dataset}" for each in judged]
    sides = [each.kind is None for each in judged]
    of_side = {side: len({g for g, of in zip(groups, sides, strict=True) if of == side}) for side in sides}
    return np.array(
        [len(judged) / 2 / of_side[of] / groups.count(g) for g, of in zip(groups, sides, strict=True)]
    )


def best_threshold(judged: Sequence[Judged], unanswered: npt.NDArray[np.float64]) -> float:
    def worth(threshold: float) -> float:
        found = figures(judged, unanswered, threshold)
        mean = float(np.mean([found["kinds"][kind]["balanced_accuracy"] for kind in KINDS]))
        answerable = {each.question.dataset for each in judged if each.plain and each.kind is None}
        plainly = [share for group, share in found["plain"].items() if group in answerable]
        enough = found["answered"] >= ANSWERED and float(np.mean(plainly or [1.0])) >= ANSWERED
        return mean if enough else mean - 1

    return max((round(float(t), 3) for t in np.arange(0.05, 0.96, 0.005)), key=worth)


def figures(
    judged: Sequence[Judged], unanswered: npt.NDArray[np.float64], threshold: float
) -> dict[str, Any]:
    gone = unanswered >= threshold
    answerable = np.array([each.kind is None and not each.plain for each in judged])
    answered = float((~gone[answerable]).mean())
    kinds = {}
    for kind in KINDS:
        of_kind = np.array([each.kind == kind for each in judged])
        own = {each.question.dataset.removesuffix(ABSENT) for each in judged if each.kind == kind}
        same = answerable & np.array([each.question.dataset in own for each in judged])
        declined = float(gone[of_kind].mean())
        kinds[kind] = {
            "n": int(of_kind.sum()),
            "declined": round(declined, 3),
            "balanced_accuracy": round((declined + answered) / 2, 3),
            "against_own": round((declined + float((~gone[same]).mean())) / 2, 3),
            "auc": auc(unanswered[of_kind], unanswered[same]),
        }
    groups = {each.question.dataset: [] for each in judged if each.plain}
    for each, declined_here in zip(judged, gone, strict=True):
        if each.plain:
            groups[each.question.dataset].append(not declined_here)
    return {
        "answerable": int(answerable.sum()),
        "answered": round(answered, 3),
        "kinds": kinds,
        "plain": {group: round(float(np.mean(answers)), 3) for group, answers in sorted(groups.items())},
    }


def by_signal(judged: Sequence[Judged]) -> dict[str, dict[str, float]]:
    """How well each signal alone tells a kind from the answerable questions of its data sets."""
    found: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        own = {each.question.dataset.removesuffix(ABSENT) for each in judged if each.kind == kind}
        for name in judged[0].signals:
            there = [e.signals[name] for e in judged if e.kind is None and e.question.dataset in own]
            gone = [e.signals[name] for e in judged if e.kind == kind]
            found.setdefault(name, {})[kind] = auc(np.array(there), np.array(gone))
    return found


def auc(high: npt.NDArray[np.float64], low: npt.NDArray[np.float64]) -> float:
    """How often one of the first is larger than one of the second; a tie is half."""
    pairs = np.sign(high[:, None] - low[None])
    return round(float((pairs.mean() + 1) / 2), 3)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True, help="keeps the libraries")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--no-held-out", action="store_true", help="leave that side out")
    given = parser.parse_args()
    engine = open_engine(DEFAULT_MODEL, cache=given.home / "models")
    embedder = SentenceEmbedder().name
    file = cast(Path, resources.files("assets") / "abstention" / f"{embedder}.json")
    if given.fit:
        drawn = draw(given.data, held_out=False, sizes=FIT, seed=SEED)
        judged = asked(given.home / "fit", drawn.questions, drawn.contexts, engine)
        kept = fit(judged, embedder)
        file.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
        print(json.dumps({"side": "calibration", **kept["fitted"], "signals": by_signal(judged)}), flush=True)
    calibration = Calibration.of(embedder)
    if calibration is None:
        raise SystemExit(f"nothing was fitted for {embedder}; call it with --fit")
    folder = cast(Path, resources.files("assets") / "eval")
    contexts = read_contexts(folder / "contexts.jsonl")
    sides = {"eval": (usable(read_questions(folder / "questions.jsonl"), contexts), contexts)}
    if not given.no_held_out:
        drawn = draw(given.data, held_out=True, sizes=MEASURE, seed=SEED)
        sides["measure"] = (drawn.questions, drawn.contexts)
    for side, (questions, texts) in sides.items():
        judged = asked(given.home / side, questions, texts, engine)
        unanswered = np.array([calibration.unanswered(each.signals) for each in judged])
        found = figures(judged, unanswered, calibration.threshold)
        print(json.dumps({"side": side, **found, "signals": by_signal(judged)}), flush=True)


if __name__ == "__main__":
    main()
