"""Questions to fit and to measure abstention with, drawn as `assets/eval` is (tests/bench/eval_set.py).

Kinds: answerable, and three that nothing in the library answers: clauses that a contract lacks (`CUAD_v1`),
SQuAD 2.0's own, written to look answerable (`SQuAD-2.0`), and questions about documents that are not there
(`/absent-document`). One side is drawn from contexts that training saw, to fit on; the other from contexts
kept from training, to measure on. Neither has a context of `assets/eval`, nor a question of it.
"""

import random
import re
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import cast

from app.adapting.templates import natural
from app.measuring.questions import Context, Question, read_contexts, read_questions
from tests.bench.eval_set import (
    ARTICLE_CHARACTERS,
    POINTING,
    Drawn,
    Source,
    Wanted,
    elsewhere,
    short_span,
    unanswerable,
    within,
)

CAMEL = re.compile(r"(?P<company>([A-Z][a-z]+){2,})[_ ].*[_-](?P<kind>[A-Za-z][A-Za-z ]+?)\d*$")
LONGEST_CONTRACT = {False: 20_000, True: 60_000}  # characters; few short ones are left of those held out
LONGEST_PAPER = 30_000


@dataclass(frozen=True)
class Sizes:
    """How many contracts, and of each how many questions of a kind; then how many questions of each set."""

    contracts: int
    clauses: int
    absent_contracts: int
    covid: int
    medquad: int
    pubmed: int
    qed: int
    squad: int
    absent: int


FIT = Sizes(30, 5, 40, 40, 50, 40, 70, 170, 35)
MEASURE = Sizes(10, 11, 14, 0, 50, 25, 60, 110, 25)


def carried() -> set[str]:
    """The contexts of `assets/eval`, by id."""
    folder = resources.files("assets") / "eval"
    return set(read_contexts(cast(Path, folder / "contexts.jsonl")))


def draw(data: Path, *, held_out: bool, sizes: Sizes, seed: int) -> Drawn:
    """One side's questions and contexts."""
    generator = random.Random(seed)
    avoid = carried()

    def source(domain: str) -> Source:
        contexts = read_contexts(data / f"{domain}_contexts.jsonl.gz")
        kept = {k: c for k, c in contexts.items() if c.held_out == held_out and k not in avoid}
        return _Side(kept, read_questions(data / f"{domain}_qa.jsonl.gz"), generator)

    drawn = Drawn()
    _law(drawn, source("legal"), sizes, LONGEST_CONTRACT[held_out], generator)
    _medicine(drawn, source("medical"), sizes)
    _general(drawn, source("general"), sizes)
    return drawn


class _Side(Source):
    """One side's contexts and the questions about them."""

    def __init__(
        self, contexts: dict[str, Context], questions: list[Question], generator: random.Random
    ) -> None:
        self.contexts = contexts
        self.questions = [each for each in questions if each.context_id in contexts]
        generator.shuffle(self.questions)

    def take(self, dataset: str, count: int, wanted: Wanted, each: int) -> list[Question]:
        """At most `count` questions, `each` of a context, one context of a title."""
        drawn: list[Question] = []
        taken: dict[str, int] = {}
        holder: dict[str, str] = {}
        for question in self.questions:
            context = self.contexts[question.context_id]
            if question.dataset != dataset or taken.get(context.id, 0) == each or len(drawn) == count:
                continue
            if holder.get(context.title, context.id) == context.id and wanted(question, context):
                drawn.append(question)
                taken[context.id] = taken.get(context.id, 0) + 1
                holder[context.title] = context.id
        return drawn


def called(title: str) -> str | None:
    """A contract's name for people, where the file's name tells the company's."""
    found = CAMEL.match(title)
    if found is None:
        return None
    company = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", found["company"])
    company = re.sub(r" (Inc|Ltd|Corp|Llc|Lp|Co)$", "", company)
    return f"{company} {found['kind'].strip().lower()}"


def _law(drawn: Drawn, side: _Side, sizes: Sizes, longest: int, generator: random.Random) -> None:
    """A question names its contract, since every contract of the set has parties, a date and a law."""
    names = {key: called(context.title) for key, context in side.contexts.items()}
    side.contexts = {key: replace(side.contexts[key], title=name) for key, name in names.items() if name}
    side.questions = [
        replace(asked, text=f"In the {side.contexts[asked.context_id].title}: {asked.text}")
        for question in side.questions
        if question.context_id in side.contexts
        for asked in [natural(question, generator)]
    ]
    titles = sorted({context.title for context in side.contexts.values()})
    generator.shuffle(titles)
    lengths = {context.title: len(context.text) for context in side.contexts.values()}
    chosen = set([title for title in titles if lengths[title] <= longest][: sizes.contracts])

    def of_chosen(wanted: Wanted) -> Wanted:
        return lambda question, context: context.title in chosen and wanted(question, context)

    count = sizes.contracts * sizes.clauses
    for wanted in (short_span, unanswerable):
        drawn.add(side.take("CUAD_v1", count, of_chosen(wanted), sizes.clauses), side.contexts)
    drawn.absent(side.take("CUAD_v1", sizes.absent_contracts, elsewhere(drawn), 1))


def _medicine(drawn: Drawn, side: _Side, sizes: Sizes) -> None:
    pointed = within(LONGEST_PAPER, lambda q, c: short_span(q, c) and not POINTING.search(q.text))
    for dataset, count, each, wanted in (
        ("COVID-QA-200423", sizes.covid, 10, pointed),
        ("MedQuAD", sizes.medquad, 1, within(ARTICLE_CHARACTERS, short_span)),
        ("PubMedQA-L-fullabstract", sizes.pubmed, 1, short_span),
    ):
        drawn.add(side.take(dataset, count, wanted, each), side.contexts)
    absent = elsewhere(drawn)
    for dataset, count in (("MedQuAD", sizes.absent), ("PubMedQA-L-fullabstract", sizes.absent // 2)):
        drawn.absent(side.take(dataset, count, absent, 1))


def _general(drawn: Drawn, side: _Side, sizes: Sizes) -> None:
    """One paragraph of an article of SQuAD, so that another does not answer what it leaves open."""
    qed = within(ARTICLE_CHARACTERS, short_span)
    drawn.add(side.take("QED-NaturalQuestions", sizes.qed, qed, 1), side.contexts)
    squad = side.take("SQuAD-2.0", sizes.squad, short_span, 6)
    drawn.add(squad, side.contexts)
    chosen = {question.context_id for question in squad}
    own = side.take("SQuAD-2.0", sizes.squad, lambda q, c: c.id in chosen and unanswerable(q, c), 6)
    drawn.add(own, side.contexts)
    drawn.absent(side.take("QED-NaturalQuestions", sizes.absent, elsewhere(drawn), 1))
