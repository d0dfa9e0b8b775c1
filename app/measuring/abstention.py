"""Does the product decline what the documents do not answer, and only that?

Every question is asked of the product itself, over the library of all contexts, and whether it abstained is
all that counts. Kinds: for each data set, questions that a document of the library leaves open (SQuAD 2.0's
adversarial ones, clauses that a contract of CUAD lacks); and questions about documents that are not in the
library. Each kind is judged against the answerable questions of the same data sets by balanced accuracy: the
mean of the share of unanswerable ones declined and of answerable ones answered.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.answering.answer import DoneEvent
from app.answering.asking import Asker
from app.errors import AttestError
from app.measuring.evaluating import MAX_TOKENS, REPORT_EVERY, sample
from app.measuring.open_book import COLLECTION, Report
from app.measuring.questions import Question
from app.measuring.ranks import Figure, mean, rounded, standard_error

ABSENT = "absent documents"


@dataclass(frozen=True)
class Kind:
    """Questions that should be answered, and questions that should be declined."""

    answerable: Sequence[Question]
    unanswerable: Sequence[Question]


def kinds(questions: Iterable[Question], contexts: Collection[str], limit: int, seed: int) -> dict[str, Kind]:
    """By name; at most `limit` questions on each side. contexts: ids of those in the library."""
    declined: dict[str, list[Question]] = {}
    answered: dict[str, list[Question]] = {}
    for question in questions:
        source = question.dataset.split("/")[0]
        if question.answers:
            answered.setdefault(source, []).append(question)
        elif question.unanswerable:
            name = source if question.context_id in contexts else ABSENT
            declined.setdefault(name, []).append(question)
    found = {}
    for name, unanswerable in sorted(declined.items()):
        sources = sorted({question.dataset.split("/")[0] for question in unanswerable})
        answerable = [question for source in sources for question in answered.get(source, [])]
        if answerable:
            found[name] = Kind(sample(answerable, limit, seed), sample(unanswerable, limit, seed))
    return found


def abstained(asker: Asker, of: Mapping[str, Kind], report: Report) -> dict[str, bool]:
    """By id of question, whether the product declined it. Each is asked once, however many kinds it is in."""
    asked = {
        question.id: question for kind in of.values() for question in (*kind.answerable, *kind.unanswerable)
    }
    found = {}
    for number, question in enumerate(asked.values(), 1):
        *_, last = asker.ask(question.text, COLLECTION, max_tokens=MAX_TOKENS)
        if not isinstance(last, DoneEvent):
            raise AttestError(f"question {question.id} got no answer")
        found[question.id] = last.answer.abstained
        if number % REPORT_EVERY == 0 or number == len(asked):
            report(f"abstention: {number} of {len(asked)} questions")
    return found


def kind_figures(kind: Kind, declined: Mapping[str, bool], seed: int) -> dict[str, Any]:
    """As docs/interface.md has them."""
    accuracy = balanced([kind], declined, seed)
    return {
        "balanced_accuracy": rounded(accuracy.value),
        "standard_error": rounded(accuracy.standard_error),
        "answerable": len(kind.answerable),
        "answered": rounded(mean([not declined[question.id] for question in kind.answerable])),
        "unanswerable": len(kind.unanswerable),
        "declined": rounded(mean([declined[question.id] for question in kind.unanswerable])),
    }


def balanced(of: Sequence[Kind], declined: Mapping[str, bool], seed: int) -> Figure:
    """Balanced accuracy, the mean over kinds. A question may belong to several kinds."""
    asked = sorted({question.id for kind in of for question in (*kind.answerable, *kind.unanswerable)})

    def over(drawn: Sequence[str]) -> float | None:
        times = Counter(drawn)
        return mean([_accuracy(kind, declined, times) for kind in of])

    return Figure(over(asked), standard_error(asked, over, seed))


def _accuracy(kind: Kind, declined: Mapping[str, bool], times: Mapping[str, int]) -> float | None:
    """times: how often each question counts."""
    shares = []
    for side, right in ((kind.answerable, False), (kind.unanswerable, True)):
        total = sum(times[question.id] for question in side)
        if not total:
            return None
        shares.append(sum(times[q.id] for q in side if declined[q.id] is right) / total)
    return sum(shares) / 2
