"""Whether anything in the documents answers a question: a calibrated guess, before the model is asked.

A logistic regression over what retrieval knows by then, fitted on questions that a library answers and on
questions that it does not: clauses that a contract lacks, questions written to look answerable, and questions
about documents that are not there. Who asks one contract asks "Which law governs?"; who asks a library has to
say which contract, and shares more words with its passages. So some signals weigh otherwise the more
documents are asked, and plain questions to few documents are fitted beside the others. It costs no pass of a
model. Its weights lie in `assets/abstention`, one file for each embedder, with what they were fitted on;
`python -m tests.bench.abstention` fits and measures them. Without a file for the embedder in use the cosine
alone decides.

It knows nothing of the language model. That may still decline in its own words, as an adapted one has learnt
to; its probability of doing so, and the attention on memories, were measured and add nothing (docs/log.md).
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from typing import Any, Protocol, Self

from storage.bm25 import stems
from storage.lexical import STOP_WORDS, terms
from storage.records import Hit, ReferenceRow

ABSTENTION = "The documents in this collection do not answer this question."
# Of an embedder that nothing was fitted for: below this cosine between the question and its best passage,
# nothing retrieved is about the question. tests/bench/support.py prints the figures.
SUPPORTED_COSINE = 0.4

BY_DOCUMENTS = ("cosine", "coverage", "words")

_WORD = re.compile(r"[^\W_]+")


class Retrieved(Protocol):
    """A reference with the retriever's verdict on it."""

    @property
    def row(self) -> ReferenceRow: ...
    @property
    def hit(self) -> Hit: ...


def signals(question: str, found: Sequence[Retrieved], documents: int) -> dict[str, float]:
    """What retrieval knows of `question`, asked of so many documents. Nothing found is zeros.

    cosine: of the best passage. gap: from it to the mean of the others. coverage: most of the question's
    words that one passage holds, with its document's name and headings; 0..1. phrases: the same for
    neighbouring words. bm25: best score by words, per word of the question. both: 1 if one passage is first
    by meaning and by words. words: how many the question has. documents: the logarithm of how many are asked;
    by it, three of the others once more.
    """
    asked = [stem for word in terms(question) for stem in stems(word)]
    pairs = _pairs(question)
    cosines = sorted((each.hit.cosine or 0.0 for each in found), reverse=True)
    others = cosines[1:] or [0.0]
    texts = [" | ".join((each.row.document_name, *each.row.heading_path, each.row.text)) for each in found]
    words = [set(stems(text)) for text in texts]
    known = {
        "cosine": cosines[0] if cosines else 0.0,
        "gap": cosines[0] - sum(others) / len(others) if cosines else 0.0,
        "coverage": max((_share(set(asked), held) for held in words), default=0.0),
        "phrases": max((_share(pairs, _pairs(text)) for text in texts), default=0.0),
        "bm25": max((each.hit.bm25 or 0.0 for each in found), default=0.0) / max(1, len(asked)),
        "both": float(any(each.hit.dense_rank == each.hit.lexical_rank == 1 for each in found)),
        "words": float(len(asked)),
        "documents": math.log(max(1, documents)),
    }
    return known | {f"{name} by documents": known[name] * known["documents"] for name in BY_DOCUMENTS}


@dataclass(frozen=True)
class Calibration:
    """weights: by signal. threshold: the probability of no answer from which on a question is declined.

    fitted: on what, and how well, for people.
    """

    weights: Mapping[str, float]
    bias: float
    threshold: float
    fitted: Mapping[str, Any]

    @classmethod
    def of(cls, embedder: str) -> Self | None:
        """The one that comes with the program for an embedder's name, if any."""
        file = resources.files("assets") / "abstention" / f"{embedder}.json"
        if "/" in embedder or not file.is_file():
            return None
        kept = json.loads(file.read_text(encoding="utf-8"))
        return cls(kept["weights"], kept["bias"], kept["threshold"], kept["fitted"])

    def unanswered(self, known: Mapping[str, float]) -> float:
        """Probability that nothing retrieved answers, by these signals; classes and kinds alike in number."""
        total = self.bias + sum(weight * known[name] for name, weight in self.weights.items())
        return 1 / (1 + math.exp(-total))


def declined(
    question: str, found: Sequence[Retrieved], documents: int, calibration: Calibration | None
) -> bool:
    """Whether to say that the documents, so many, do not answer, rather than to ask the model."""
    if not found:
        return True
    if calibration is None:
        return not any((each.hit.cosine or 0.0) >= SUPPORTED_COSINE for each in found)
    return calibration.unanswered(signals(question, found, documents)) >= calibration.threshold


def _share(wanted: set[Any], held: set[Any]) -> float:
    return len(wanted & held) / len(wanted) if wanted else 0.0


def _pairs(text: str) -> set[tuple[str, str]]:
    words = [word.lower() for word in _WORD.findall(text)]
    held = [each for each in pairwise(words) if not STOP_WORDS.issuperset(each)]
    return {(_stem(one), _stem(other)) for one, other in held}


def _stem(word: str) -> str:
    return " ".join(stems(word))
