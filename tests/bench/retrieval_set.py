"""Answerable questions over a library of their own, for choosing how to retrieve and for judging the choice.

The mixture of `tests.bench.eval_set` (law, medicine, general knowledge), from either side of the line that
keeps contexts from training. A contract is called by its company and kind, as its file is.
"""

import random
import re
from dataclasses import replace
from pathlib import Path

from app.adapting.templates import natural
from app.measuring.questions import Context
from tests.bench.eval_set import (
    ARTICLE_CHARACTERS,
    CONTRACT_CHARACTERS,
    POINTING,
    Drawn,
    Source,
    short_span,
    within,
)

PAPER_CHARACTERS = 40_000
CONTRACTS, PAPERS = 16, 6  # long texts with many questions each, as in a folder of somebody's own

_FILED = re.compile(r"[_ -]+(?:\d|EX|Ex)")
_COMPANY = re.compile(r"[, ]*(?:INC|CORP|LTD|LLC|LP|SA|NV|AG|Inc|Corp|Ltd|Sa)\.?$")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def drawn(data: Path, *, held_out: bool, seed: int) -> Drawn:
    """270 questions and the contexts that they need; 240 held-out ones, for no paper of COVID-QA is left."""
    generator = random.Random(seed)
    found = Drawn()
    _law(data, generator, found, held_out)
    medical = Source(data, "medical", generator, held_out=held_out)
    if not held_out:
        _few(medical, "COVID-QA-200423", PAPERS, PAPER_CHARACTERS, generator)
        short = within(PAPER_CHARACTERS, lambda q, c: short_span(q, c) and not POINTING.search(q.text))
        found.add(medical.draw("COVID-QA-200423", 30, short, of_a_context=10), medical.contexts)
    for dataset in ("MedQuAD", "PubMedQA-L-fullabstract"):
        wanted = within(ARTICLE_CHARACTERS, lambda q, c: short_span(q, c) and not POINTING.search(q.text))
        found.add(medical.draw(dataset, 30, wanted, of_a_context=1), medical.contexts)
    general = Source(data, "general", generator, held_out=held_out)
    qed = within(ARTICLE_CHARACTERS, short_span)
    found.add(general.draw("QED-NaturalQuestions", 45, qed, of_a_context=1), general.contexts)
    squad = general.draw("SQuAD-2.0", 45, short_span, of_a_context=2)
    found.add(squad, general.contexts)
    return found


def _law(data: Path, generator: random.Random, found: Drawn, held_out: bool) -> None:
    source = Source(data, "legal", generator, held_out=held_out)
    _few(source, "CUAD_v1", CONTRACTS, CONTRACT_CHARACTERS, generator)
    source.contexts = {
        key: replace(context, title=called(context)) for key, context in source.contexts.items()
    }
    source.questions = [
        replace(asked, text=f"In the {source.contexts[asked.context_id].title}: {asked.text}")
        for question in source.questions
        for asked in [natural(question, generator)]
    ]
    wanted = within(CONTRACT_CHARACTERS, short_span)
    found.add(source.draw("CUAD_v1", 90, wanted, of_a_context=8), source.contexts)


def _few(source: Source, dataset: str, count: int, longest: int, generator: random.Random) -> None:
    """Of a data set's contexts keep `count` that are not too long; other data sets' stay."""
    asked = {question.context_id for question in source.questions if question.dataset == dataset}
    short = sorted(key for key in asked if len(source.contexts[key].text) <= longest)
    gone = asked - set(generator.sample(short, min(count, len(short))))
    source.contexts = {key: context for key, context in source.contexts.items() if key not in gone}
    source.questions = [question for question in source.questions if question.context_id not in gone]


def called(contract: Context) -> str:
    """PROLONGINTERNATIONALCORP_03_23_1998-EX-10.16-SPONSORSHIP AGREEMENT: Prolonginternational sponsorship
    agreement.
    """
    company = _COMPANY.sub("", _FILED.split(contract.title)[0].replace("_", " "))
    if company.isupper():
        company = company.capitalize()
    kind = re.split(r"[-_]", contract.title)[-1]
    kind = re.sub(r"\d+$|\(.*\)", "", kind).strip().lower()
    return f"{_CAMEL.sub(' ', company)} {kind}"
