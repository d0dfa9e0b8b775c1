"""Draws the questions behind the published table, `assets/eval`, from the data sets that they come from.

120 questions each of law, medicine and general knowledge, about a quarter of them without an answer: clauses
that a contract lacks, SQuAD 2.0's own, and questions about documents that are not in the set ("absent
document"). Only contexts that are kept from training (`Context.held_out`) and whose licence allows it.

    python -m tests.bench.eval_set --data ../shared/data --out assets/eval
"""

import argparse
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.adapting.templates import natural
from app.measuring.questions import Context, Question, read_contexts, read_questions

SEED = 20
ABSENT = "/absent-document"
CONTRACT_CHARACTERS = 24_000
ARTICLE_CHARACTERS = 8_000
ANSWER_CHARACTERS = 300
FREE = re.compile(r"License: (cc-by|cc0)\s*$", re.MULTILINE)  # stands at the top of each paper of COVID-QA
HIDDEN = re.compile(r"__|\[\W*\]|\*\*")

POINTING = re.compile(
    r"\b(this|these|the (study|model|modeling|bats))\b", re.IGNORECASE
)  # at a text on the desk

# the file names of CUAD's contracts, and what a lawyer would call them
CONTRACTS = {
    "ACCELERATEDTECHNOLOGIESHOLDINGCORP_04_24_2003": "Accelerated Technologies joint venture agreement",
    "CENTRACKINTERNATIONALINC_10_29_1999": "Centrack web site hosting agreement",
    "FulucaiProductionsLtd_20131223": "Fulucai Productions content license agreement",
    "GIGGLESN_HUGS,INC_06_23_2016": "Giggles N' Hugs strategic alliance agreement",
    "GOCALLINC_03_30_2000": "Go Call promotion agreement",
    "KUBIENT,INC_07_02_2020": "Kubient master services agreement",
    "LUCIDINC_04_15_2011": "Lucid distributor agreement",
    "MARSHALLHOLDINGSINTERNATIONAL,INC_04_14_2004": "Marshall Holdings endorsement agreement",
    "ONEMAINHOLDINGS,INC_02_20_2020": "OneMain joint filing agreement",
    "PelicanDeliversInc_20200211": "Pelican Delivers development agreement",
    "PfHospitalityGroupInc_20150923": "PF Hospitality franchise agreement",
    "REWALKROBOTICSLTD_07_10_2014": "ReWalk Robotics strategic alliance agreement",
    "SalesforcecomInc_20171122": "Salesforce reseller agreement",
    "VNUE,INC_07_10_2015": "VNUE sponsorship agreement",
    "XLITECHNOLOGIES,INC_12_02_2015": "XLI Technologies strategic alliance agreement",
    # too long for the set: documents that are asked about and absent
    "BIOFRONTERAAG_04_29_2019": "Biofrontera supply agreement",
    "BerkshireHillsBancorpInc_20120809": "Berkshire Hills endorsement agreement",
    "FuseMedicalInc_20190321": "Fuse Medical distributorship agreement",
    "GluMobileInc_20070319": "Glu Mobile content license agreement",
    "NATIONALPROCESSINGINC_07_18_1996": "National Processing sponsorship agreement",
    "PhoenixNewMediaLtd_20110421": "Phoenix New Media program license agreement",
    "ScansourceInc_20190822": "ScanSource distributor agreement",
    "Sonos, Inc.": "Sonos manufacturing agreement",
    "TRUENORTHENERGYCORP_02_08_2007": "True North Energy development agreement",
    "TodosMedicalLtd_20190328": "Todos Medical reseller agreement",
}

Wanted = Callable[[Question, Context], bool]


@dataclass
class Drawn:
    """questions, and the contexts that they need, by id."""

    questions: list[Question] = field(default_factory=list)
    contexts: dict[str, Context] = field(default_factory=dict)

    def add(self, questions: Iterable[Question], contexts: dict[str, Context]) -> None:
        for question in questions:
            self.questions.append(question)
            self.contexts[question.context_id] = contexts[question.context_id]

    def absent(self, questions: Iterable[Question]) -> None:
        """Questions without their contexts, and so without answers."""
        for asked in questions:
            self.questions.append(
                replace(
                    asked,
                    id=asked.id + ABSENT,
                    dataset=asked.dataset + ABSENT,
                    answers=(),
                    kind="unanswerable",
                )
            )


class Source:
    """One domain's held-out contexts and the questions about them, in an order drawn by the generator.

    held_out False: those that are not kept from training.
    """

    def __init__(self, data: Path, domain: str, generator: random.Random, *, held_out: bool = True) -> None:
        contexts = read_contexts(data / f"{domain}_contexts.jsonl.gz")
        self.contexts = {key: context for key, context in contexts.items() if context.held_out == held_out}
        questions = read_questions(data / f"{domain}_qa.jsonl.gz")
        self.questions = [question for question in questions if question.context_id in self.contexts]
        generator.shuffle(self.questions)

    def draw(
        self, dataset: str, count: int, wanted: Wanted, *, of_a_context: int, one_of_a_title: bool = False
    ) -> list[Question]:
        """The first `count` questions of a data set, at most `of_a_context` of each context."""
        drawn: list[Question] = []
        taken: defaultdict[str, int] = defaultdict(int)
        holder: dict[str, str] = {}  # title to context
        for question in self.questions:
            context = self.contexts[question.context_id]
            if question.dataset != dataset or taken[context.id] == of_a_context:
                continue
            if one_of_a_title and holder.get(context.title, context.id) != context.id:
                continue
            if wanted(question, context):
                drawn.append(question)
                taken[context.id] += 1
                holder[context.title] = context.id
                if len(drawn) == count:
                    return drawn
        raise SystemExit(f"{dataset}: {len(drawn)} questions fit, {count} are needed")


def law(data: Path, generator: random.Random) -> Drawn:
    """CUAD. A question names its contract, since every contract of the set has parties, a date and a law."""
    source = Source(data, "legal", generator)
    source.contexts = {
        key: replace(context, title=name)
        for key, context in source.contexts.items()
        for name in [called(context)]
        if name is not None
    }
    source.questions = [
        replace(asked, text=f"In the {source.contexts[asked.context_id].title}: {asked.text}")
        for question in source.questions
        if question.context_id in source.contexts
        for asked in [natural(question, generator)]
    ]
    drawn = Drawn()
    for count, wanted, each in ((90, short_span, 8), (20, unanswerable, 3)):
        drawn.add(
            source.draw("CUAD_v1", count, within(CONTRACT_CHARACTERS, wanted), of_a_context=each),
            source.contexts,
        )
    drawn.absent(
        source.draw(
            "CUAD_v1",
            10,
            lambda question, context: (
                len(context.text) > CONTRACT_CHARACTERS and short_span(question, context)
            ),
            of_a_context=1,
        )
    )
    return drawn


def medicine(data: Path, generator: random.Random) -> Drawn:
    source = Source(data, "medical", generator)
    drawn = Drawn()
    for dataset, each, wanted in (
        ("COVID-QA-200423", 10, lambda q, c: short_span(q, c) and free(c) and not POINTING.search(q.text)),
        ("MedQuAD", 1, within(ARTICLE_CHARACTERS, short_span)),
        ("PubMedQA-L-fullabstract", 1, short_span),
    ):
        drawn.add(source.draw(dataset, 30, wanted, of_a_context=each), source.contexts)
    absent = elsewhere(drawn)
    for dataset, count in (("MedQuAD", 20), ("PubMedQA-L-fullabstract", 10)):
        drawn.absent(source.draw(dataset, count, absent, of_a_context=1))
    return drawn


def general(data: Path, generator: random.Random) -> Drawn:
    """One paragraph of an article of SQuAD, so that another does not answer what it leaves open."""
    source = Source(data, "general", generator)
    drawn = Drawn()
    qed = within(ARTICLE_CHARACTERS, short_span)
    drawn.add(source.draw("QED-NaturalQuestions", 45, qed, of_a_context=1), source.contexts)
    squad = source.draw("SQuAD-2.0", 45, short_span, of_a_context=2, one_of_a_title=True)
    drawn.add(squad, source.contexts)
    chosen = {question.context_id for question in squad}
    open_ones = source.draw(
        "SQuAD-2.0", 22, lambda q, c: c.id in chosen and unanswerable(q, c), of_a_context=2
    )
    drawn.add(open_ones, source.contexts)
    drawn.absent(source.draw("QED-NaturalQuestions", 8, elsewhere(drawn), of_a_context=1))
    return drawn


def called(context: Context) -> str | None:
    return next((name for start, name in CONTRACTS.items() if context.title.startswith(start)), None)


def short_span(question: Question, _context: Context) -> bool:
    """Answered by a stretch of text that is short, and neither blank ("____") nor blacked out ("[*]")."""
    if not question.answers:
        return False
    text = question.answers[0].text
    return len(text) <= ANSWER_CHARACTERS and not HIDDEN.search(text)


def free(paper: Context) -> bool:
    return FREE.search(paper.text[:2000]) is not None


def unanswerable(question: Question, _context: Context) -> bool:
    return question.kind == "unanswerable"


def within(characters: int, wanted: Wanted) -> Wanted:
    return lambda question, context: len(context.text) <= characters and wanted(question, context)


def elsewhere(drawn: Drawn) -> Wanted:
    """About a document that is not among those drawn, and has no name of theirs."""
    names = [context.title.lower() for context in drawn.contexts.values()]

    def wanted(question: Question, context: Context) -> bool:
        title = context.title.lower()
        named = any(name in title or title in name for name in names)
        return context.id not in drawn.contexts and not named and short_span(question, context)

    return wanted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    generator = random.Random(SEED)
    parts = [draw(arguments.data, generator) for draw in (law, medicine, general)]
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / "questions.jsonl").open("w", encoding="utf-8") as questions:
        for part in parts:
            for question in part.questions:
                questions.write(json.dumps(row(question), ensure_ascii=False) + "\n")
    with (arguments.out / "contexts.jsonl").open("w", encoding="utf-8") as contexts:
        for part in parts:
            for key, context in sorted(part.contexts.items()):
                written = {"context_id": key, "title": context.title, "text": context.text}
                contexts.write(json.dumps(written, ensure_ascii=False) + "\n")


def row(question: Question) -> dict[str, object]:
    return {
        "id": question.id,
        "dataset": question.dataset,
        "type": question.kind,
        "question": question.text,
        "answers": [{"text": answer.text, "start": answer.start} for answer in question.answers],
        "context_id": question.context_id,
    }


if __name__ == "__main__":
    main()
