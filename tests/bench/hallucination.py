"""How often does an answer state what no reference says? Without documents, from text and from memories.

The questions of `assets/eval`, answerable and not, are asked of the product over a library of all their
contexts, as `attest eval` asks them. An answer states something where it has a number, a capitalised name or
a quoted phrase. That is unsupported where neither the question has it, nor any reference that the question
brings up, nor any that was read later in the answer, each with its document's name and headings in front. In
mode none these references are looked up for the judgement only. What is declined is not counted.

Wording is compared, not meaning: a number in another unit counts as unsupported, a wrong statement in the
right words does not. The bias is the same in all modes.

A JSON line per mode, overall and for both kinds of questions: `answered`, of these `unsupported` (0..1, the
share of answers with something unsupported), and their `statements` and `unsupported_statements` in all.

    python -m tests.bench.hallucination --limit 120
"""

import argparse
import json
import os
import re
import sys
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import numpy as np

from app.answering.answer import Answer, DoneEvent, Mode
from app.answering.asking import Asker, passage_text
from app.measuring.evaluating import MAX_TOKENS, sample, usable
from app.measuring.open_book import COLLECTION, Library
from app.measuring.questions import read_contexts, read_questions
from engine.embedding import SentenceEmbedder
from engine.format import MEMORIES_PER_CHUNK
from engine.opening import open_engine
from engine.protocol import Embedder
from engine.registry import DEFAULT_MODEL
from ingest.sentences import Cut, cuts
from storage.store import Store

REPORT_EVERY = 25
NUMBER = re.compile(r"(?<!\w)\d+(?:[.,]\d+)*")
QUOTED = re.compile(r"[“\"]([^“”\"]+)[”\"]")
_CAPITALISED = r"(?:(?:[A-Z]\.)+|[A-ZÀ-ÖØ-Þ]\w*(?:[.&'’-]\w+)*)"
NAME = re.compile(rf"(?<!\w){_CAPITALISED}(?: (?:& )?{_CAPITALISED})*")
ITEM = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.)])\s+")  # an item's number states nothing
WORD = re.compile(r"\d+(?:\.\d+)*|[^\W\d_]+")
# capitalised because a sentence begins, not because something is called so
_OPENERS = """
    a an the this that these those it its he she they we you i his her their our your my one yes no not maybe
    there here what which who whose whom how why where when while if unless until in on at by for from to of
    with without under over after before during since between among and or but so as because although though
    however therefore also both either neither each every all any some most many other such is are was were do
    does did has have can could may might must shall should will would
"""
OPENERS = frozenset(_OPENERS.split())


@dataclass(frozen=True)
class Judged:
    """One answer. statements: how many things it states; None if it was declined. unsupported: of them."""

    answerable: bool
    statements: int | None
    unsupported: int


def unsupported(answer: str, texts: Sequence[str], question: str) -> list[str]:
    """What the answer states that stands in none of the texts, nor in the question."""
    known = [_spelt(text) for text in (*texts, question)]
    return [each for each in statements(answer) if not any(_spelt(each) in text for text in known)]


def statements(answer: str) -> list[str]:
    """The quoted phrases, numbers and names of an answer, each once.

    A word that begins a sentence is taken for a name if it is all that the sentence says, if another
    capitalised word follows it, or if it has a second capital.
    """
    found = QUOTED.findall(answer)
    for sentence in _sentences(QUOTED.sub(" … ", answer)):
        found += NUMBER.findall(sentence)
        found += _names(sentence)
    return list(dict.fromkeys(each for each in found if WORD.search(each)))


def whole(answer: str, tokens: int) -> str:
    """Without its last word if it was broken off, perhaps within that word. tokens: generated."""
    return answer if tokens < MAX_TOKENS else " ".join(answer.rsplit(maxsplit=1)[:-1])


def _sentences(answer: str) -> Iterator[str]:
    for line in answer.splitlines():
        text = ITEM.sub("", line)
        ends = sorted(place for place, cut in cuts(text).items() if cut >= Cut.SENTENCE)
        for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
            yield text[start:end]


def _names(sentence: str) -> Iterator[str]:
    first = WORD.search(sentence)
    for match in NAME.finditer(sentence):
        words = match[0].split(" ")
        begins = first is not None and match.start() == first.start()
        while words and words[0].lower() in OPENERS:
            del words[0]
            begins = False
        name = " ".join(words)
        alone = _spelt(name) == _spelt(sentence)
        if name and not (begins and len(words) == 1 and not alone and name[1:] == name[1:].lower()):
            yield name


def _spelt(text: str) -> str:
    """Its words and numbers between spaces: no case, no punctuation, no possessive, 1,000.00 as 1000."""
    text = unicodedata.normalize("NFKC", text).casefold()
    for pattern, by in ((r"(?<=\d),(?=\d{3})", ""), (r"(?<=\d)\.0+(?![\d.])", ""), (r"['’]s\b", "")):
        text = re.sub(pattern, by, text)
    return f" {' '.join(WORD.findall(text))} "


def figures(judged: Sequence[Judged]) -> dict[str, Any]:
    """unsupported: None where everything was declined."""
    answered = [each for each in judged if each.statements is not None]
    share = round(float(np.mean([each.unsupported > 0 for each in answered])), 4) if answered else None
    return {
        "n": len(judged),
        "answered": len(answered),
        "unsupported": share,
        "statements": sum(each.statements or 0 for each in answered),
        "unsupported_statements": sum(each.unsupported for each in answered),
    }


def ask(asker: Asker, question: str, mode: Mode, documents: Sequence[str] | None = None) -> Answer:
    *_, last = asker.ask(question, COLLECTION, mode=mode, max_tokens=MAX_TOKENS, documents=documents)
    assert isinstance(last, DoneEvent)
    return last.answer


def looked_at(store: Store, embedder: Embedder, question: str, answer: Answer) -> list[str]:
    """The references that the question brings up, and those that were read, as they stand in a prompt."""
    search = store.search(embedder.name, embedder.dimension)
    hits = search.hybrid(question, embedder.embed([question])[0], COLLECTION, k=MEMORIES_PER_CHUNK)
    ids = {hit.reference_id for hit in hits}
    ids |= {memory.reference_id for read in answer.reads for memory in read.memories}
    rows = store.references.get(sorted(ids))
    return [passage_text(row.document_name, row.heading_path, row.text) for row in rows]


def options(description: str | None) -> argparse.Namespace:
    """adapter, limit and seed, as given."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--adapter", default=os.environ.get("ATTEST_ADAPTER", "auto"))
    parser.add_argument("--limit", type=int, help="ask a seeded sample; all contexts stay")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def report(line: str) -> None:
    """How far it is."""
    print(line, file=sys.stderr)


def main() -> None:
    arguments = options(__doc__)
    folder = Path(str(resources.files("assets").joinpath("eval")))
    contexts = read_contexts(folder / "contexts.jsonl")
    questions = usable(read_questions(folder / "questions.jsonl"), contexts)
    questions = sample(questions, arguments.limit, arguments.seed)
    cache = Path(tempfile.gettempdir()) / "attest-models"
    engine, embedder = open_engine(DEFAULT_MODEL, adapter=arguments.adapter, cache=cache), SentenceEmbedder()
    with tempfile.TemporaryDirectory(prefix="attest-eval-") as home, Store.open(Path(home)) as store:
        Library(store, engine, embedder, contexts.values(), report)
        asker = Asker(store, engine, lambda: embedder)
        modes: tuple[Mode, ...] = get_args(Mode)
        for mode in reversed(modes):  # none, text, memory
            judged = []
            for number, question in enumerate(questions, 1):
                answer = ask(asker, question.text, mode)
                texts = looked_at(store, embedder, question.text, answer)
                said = whole(answer.answer, answer.timings.tokens)
                stated = None if answer.abstained else len(statements(said))
                wrong = [] if answer.abstained else unsupported(said, texts, question.text)
                judged.append(Judged(bool(question.answers), stated, len(wrong)))
                if number % REPORT_EVERY == 0 or number == len(questions):
                    report(f"{mode}: {number} of {len(questions)} questions")
            line = {
                "mode": mode,
                **figures(judged),
                "answerable": figures([each for each in judged if each.answerable]),
                "unanswerable": figures([each for each in judged if not each.answerable]),
                "engine": {"backend": engine.info.backend, "adapter": engine.info.adapter},
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
