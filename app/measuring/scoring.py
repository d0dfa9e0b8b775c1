"""How good answers are: SQuAD's exact match and F1, abstention, and what many answers come to.

Exact match and F1 are over answerable questions; to decline one scores 0. Abstention is judged by
balanced accuracy: the mean of the share of unanswerable questions declined and of answerable ones answered.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.measuring.questions import Question

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class Outcome:
    """One question's answer.

    nll: mean nats per token of the first gold answer, teacher-forced; None where there is none. evidence:
        whether the gold span lies in the first reference, and in any; None where no span is known.
    first_token: milliseconds from the question on. tokens: generated; 0 if the question was declined before
        the model was asked. decode_seconds: for all tokens but the first.
    """

    question: Question
    answer: str
    abstained: bool
    nll: float | None
    evidence: tuple[bool, bool] | None
    first_token: float
    tokens: int
    decode_seconds: float


def normalised(text: str) -> str:
    """Lower case, without punctuation, articles and extra white space, as SQuAD's own evaluation has it."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(answer: str, golds: Iterable[str]) -> float:
    """1.0 if any of the right answers is this one."""
    return float(any(normalised(answer) == normalised(gold) for gold in golds))


def f1(answer: str, golds: Iterable[str]) -> float:
    """Token F1 with the right answer that fits best, 0..1."""
    return max(
        (_overlap(normalised(answer).split(), normalised(gold).split()) for gold in golds), default=0.0
    )


def _overlap(answer: Sequence[str], gold: Sequence[str]) -> float:
    if not answer or not gold:
        return float(answer == gold)
    shared = (Counter(answer) & Counter(gold)).total()
    return 2 * shared / (len(answer) + len(gold))


def quality(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of docs/interface.md that do not depend on the clock; None where nothing tells."""
    answerable = [each for each in outcomes if each.question.answers]
    unanswerable = [each for each in outcomes if not each.question.answers]
    answered = _mean(not each.abstained for each in answerable)
    declined = _mean(each.abstained for each in unanswerable)
    evidence = [each.evidence for each in outcomes if each.evidence is not None]
    return {
        "n": len(outcomes),
        "unanswerable": len(unanswerable),
        "exact_match": _mean(_judged(each, exact_match) for each in answerable),
        "f1": _mean(_judged(each, f1) for each in answerable),
        "abstain_accuracy": None if answered is None or declined is None else (answered + declined) / 2,
        "answered": answered,
        "declined": declined,
        "answer_nll": _mean(each.nll for each in outcomes if each.nll is not None),
        "evidence_at_1": _mean(first for first, _ in evidence),
        "evidence_at_5": _mean(within for _, within in evidence),
    }


def speed(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Milliseconds to the first token, and tokens per second after it, over answers that were generated."""
    generated = [each for each in outcomes if each.tokens]
    seconds = sum(each.decode_seconds for each in generated)
    p50 = p95 = None
    if generated:
        p50, p95 = np.percentile([each.first_token for each in generated], (50, 95)).round(1).tolist()
    return {
        "first_token_ms": {"p50": p50, "p95": p95},
        "decode_tokens_per_second": (
            round(sum(each.tokens - 1 for each in generated) / seconds, 2) if seconds else None
        ),
    }


def _judged(outcome: Outcome, measure: Callable[[str, Iterable[str]], float]) -> float:
    golds = [gold.text for gold in outcome.question.answers]
    return 0.0 if outcome.abstained else measure(outcome.answer, golds)


def _mean(values: Iterable[float]) -> float | None:
    """Rounded to four digits; None of nothing."""
    gathered = list(values)
    return round(float(np.mean(gathered)), 4) if gathered else None
