"""Questions as people ask them of few documents: without the name of what they are about.

Made of the questions of one side (tests/bench/abstention_set.py), each asked of a few of its contexts alone.
Answerable: questions about a contract without its name, asked of that contract and of 3, 10 and 30 documents
with it; about a disease without its name, of its article; and every other question, of its document alone.
Not answerable: clauses that the one contract lacks, and questions that are about something else altogether.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.adapting.templates import unnamed
from app.measuring.questions import Question
from tests.bench.eval_set import ABSENT, Drawn

PLAIN = "plain"  # begins the data set of each
AMONG = (3, 10, 30)
OF_A_CONTRACT = re.compile(r"In the [^:]+: (?P<plain>.+)", re.DOTALL)


@dataclass(frozen=True)
class Plain:
    """question: its data set names the group. contexts: ids of those that alone are asked."""

    question: Question
    contexts: tuple[str, ...]


def plain(drawn: Drawn, seed: int) -> list[Plain]:
    """Of one side's questions."""
    generator = random.Random(seed)
    known = [q for q in drawn.questions if q.context_id in drawn.contexts and not q.dataset.endswith(ABSENT)]
    of_contracts = [q for q in known if OF_A_CONTRACT.fullmatch(q.text)]
    of_others = [q for q in known if q.answers and not OF_A_CONTRACT.fullmatch(q.text)]
    made: list[Plain] = []
    for question in known:
        here = question.context_id
        if found := OF_A_CONTRACT.fullmatch(question.text):
            asked = replace(question, text=found["plain"])
            made.append(_made(asked, "contract" if asked.answers else "clause that is not there", [here]))
            if asked.answers:
                made += [_made(asked, f"contract, {k}", _among(drawn, here, k, generator)) for k in AMONG]
            made.append(_beside(generator.choice(of_others), here))
        elif question.answers:
            made.append(_made(question, f"one of {question.dataset}", [here]))
            if short := unnamed(question):
                made.append(_made(short, "disease", [here]))
                other = generator.choice(of_contracts)
                made.append(_beside(replace(other, text=OF_A_CONTRACT.sub(r"\g<plain>", other.text)), here))
    return made


def _made(question: Question, group: str, contexts: Sequence[str]) -> Plain:
    return Plain(replace(question, dataset=f"{PLAIN}: {group}"), tuple(contexts))


def _beside(question: Question, context: str) -> Plain:
    return _made(replace(question, answers=(), context_id=context), "beside the point", [context])


def _among(drawn: Drawn, context: str, count: int, generator: random.Random) -> list[str]:
    others = sorted(set(drawn.contexts) - {context})
    return [context, *generator.sample(others, min(count - 1, len(others)))]
