"""Does an answer join passages of two documents? What two contracts, or two articles, say to one question.

Both documents are kept from training (`Context.held_out`) and both answer the question: a category of CUAD,
or a question about a disease. Five references are read: one of each document that holds its answer, and
others around them. Three ways of asking, of the same pairs:

* `unnamed`: as if there were one document. Either answer is right, words of both are not;
* `named`: the question says which document is meant;
* `alone`: unnamed, and the other document's references are not read: what of it is in the answer then is
  there by chance.

An answer takes from a document where three words in a row stand in its references and not in the other's.
`mixed` is the share of answers that take from both, `meant` and `other` of those that take from one alone,
the one asked about or the other one; `neither` takes from none. Answers that decline are counted apart and
are in none of these. Wording is compared, not meaning.

--text gives the same references as text in the prompt instead, to tell what reading memories adds; --format
writes other memories than the adapter's own.

    python -m tests.bench.mixing --data ../shared/data
    python -m tests.bench.mixing --data ../shared/data --text
"""

import argparse
import json
import os
import random
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from app.adapting.templates import called, kind, natural, unnamed
from app.adapting.training import read_material
from app.answering.abstaining import ABSTENTION
from app.answering.asking import REPETITION_PENALTY, passage_text
from app.measuring.questions import Context, Question
from app.profiles import profile
from engine.format import MEMORIES_PER_CHUNK
from engine.memory import ExplicitMemory
from engine.opening import open_engine
from engine.protocol import Engine, GenerateOptions, KeyedMemory, MemoriesFor, Message, Token, Tokens
from engine.registry import DEFAULT_MODEL
from ingest.chunk import chunk
from ingest.document import Page

Asking = Literal["unnamed", "named", "alone"]
MAX_TOKENS = 64
OTHERS = 2  # references of the other document
WINDOW = 1500  # characters on either side of an answer
OF_A_KIND = 3  # pairs
RUN = 3  # words in a row
WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Reference:
    """shown: the text as it stands in a prompt. ids: token ids."""

    text: str
    shown: str
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Side:
    """A document that answers. named: the question that says that it is meant. references: the one with the
    answer first.
    """

    named: str
    references: tuple[Reference, ...]


@dataclass(frozen=True)
class Pair:
    """unnamed: the question without a document's name. meant, other: who is asked about, who else answers."""

    profile: str
    unnamed: str
    meant: Side
    other: Side


def pairs(
    asked: Iterable[tuple[str, Question]],
    contexts: dict[str, Context],
    tokenize: Callable[[str], Tokens],
    seed: int,
) -> Iterator[Pair]:
    """At most OF_A_KIND of each kind of question; no document is in two of one kind."""
    generator = random.Random(seed)
    alike: dict[str, dict[str, tuple[str, Question]]] = defaultdict(dict)
    for domain, question in asked:
        sort = kind(question)
        if sort and question.answers and question.context_id in contexts:
            alike[sort][question.context_id] = domain, question
    for of in alike.values():
        answering = list(of.values())
        generator.shuffle(answering)
        sides = [(each, side) for each in answering if (side := _side(each[1], contexts, tokenize))]
        for (one, meant), (_, other) in list(zip(sides[::2], sides[1::2], strict=False))[:OF_A_KIND]:
            domain, question = one
            plain = unnamed(question) or natural(question, generator)
            named = meant.named if unnamed(question) else f"In the {meant.named}: {plain.text}"
            yield Pair(domain, plain.text, replace(meant, named=named), other)


def _side(question: Question, contexts: dict[str, Context], tokenize: Callable[[str], Tokens]) -> Side | None:
    """Of a contract `named` is what it is called. None if people have no name for the document, or no
    reference holds the answer's beginning.
    """
    context, answer = contexts[question.context_id], question.answers[0]
    title = context.title if unnamed(question) else called(context.title)
    if title is None:
        return None
    start = max(0, answer.start - WINDOW)
    start = context.text.find(" ", start) + 1 if start else 0
    window = context.text[start : answer.start + WINDOW]
    right, near = [], []
    for each in chunk([Page(1, "1", window)], tokenize, title):
        text = window[each.start : each.end]
        reference = Reference(text, passage_text(title, each.heading_path, text), each.token_ids)
        holds = start + each.start <= answer.start < start + each.end
        (right if holds else near).append(reference)
    return Side(question.text if unnamed(question) else title, (*right[:1], *near)) if right else None


def read_for(pair: Pair, asking: Asking) -> tuple[Reference, ...]:
    """What is read."""
    if asking == "alone":
        return pair.meant.references[:MEMORIES_PER_CHUNK]
    theirs = pair.other.references[:OTHERS]
    return *pair.meant.references[: MEMORIES_PER_CHUNK - len(theirs)], *theirs


def taken(answer: str, meant: Sequence[str], other: Sequence[str]) -> str:
    """mixed, meant, other or neither: whose words, three in a row, an answer has."""
    mine, theirs = _runs(meant), _runs(other)
    said = _runs([answer])
    from_mine, from_theirs = bool(said & (mine - theirs)), bool(said & (theirs - mine))
    return {(True, True): "mixed", (True, False): "meant", (False, True): "other"}.get(
        (from_mine, from_theirs), "neither"
    )


def _runs(texts: Iterable[str]) -> set[tuple[str, ...]]:
    found = set()
    for text in texts:
        words = [word.lower() for word in WORD.findall(text)]
        found |= {tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)}
    return found


def figures(verdicts: Sequence[str | None]) -> dict[str, Any]:
    """None is an answer that declines. Shares are of the others, 0..1; None where there are none."""
    answered = [each for each in verdicts if each is not None]
    counted = Counter(answered)
    shares = {
        name: round(counted[name] / len(answered), 4) if answered else None
        for name in ("mixed", "meant", "other", "neither")
    }
    return {"n": len(verdicts), "declined": len(verdicts) - len(answered), **shares}


def written_for(engine: Engine, pair: Pair) -> dict[tuple[int, ...], ExplicitMemory]:
    """Memories of all that a pair reads, by token ids."""
    ids = list({each.ids for asking in get_args(Asking) for each in read_for(pair, asking)})
    return dict(zip(ids, engine.write(ids), strict=True))


def answer(
    engine: Engine, pair: Pair, asking: Asking, written: dict[tuple[int, ...], ExplicitMemory] | None
) -> str:
    """written: memories of what is read; None to read it as text in the prompt."""
    question = pair.meant.named if asking == "named" else pair.unnamed
    read, memories_for = read_for(pair, asking), None
    if written is None:
        question = "".join(each.shown for each in read) + question
    else:
        keyed = [KeyedMemory(key, written[each.ids]) for key, each in enumerate(read)]
        memories_for = always(keyed)
    messages = [Message("system", profile(pair.profile).system), Message("user", question)]
    events = engine.generate(messages, memories_for, GenerateOptions(MAX_TOKENS, REPETITION_PENALTY))
    return "".join(event.text for event in events if isinstance(event, Token)).strip()


def always(keyed: Sequence[KeyedMemory]) -> MemoriesFor:
    """The same memories for every chunk."""
    return lambda _: keyed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--adapter", default=os.environ.get("ATTEST_ADAPTER", "auto"))
    parser.add_argument("--text", action="store_true", help="read the references as text in the prompt")
    parser.add_argument("--format", default="default", help="of memories, as ATTEST_MEMORY_FORMAT takes it")
    parser.add_argument("--limit", type=int, help="a seeded sample of the pairs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--answers", type=Path, help="a file for what was answered, JSON lines")
    arguments = parser.parse_args()
    cache = Path(tempfile.gettempdir()) / "attest-models"
    engine = open_engine(
        DEFAULT_MODEL, memory_format=arguments.format, adapter=arguments.adapter, cache=cache
    )
    material = read_material(arguments.data)
    held = {key: context for key, context in material.contexts.items() if context.held_out}
    asked = [(each.domain, each.question) for each in material.asked]
    drawn = list(pairs(asked, held, engine.tokenize, arguments.seed))
    random.Random(arguments.seed).shuffle(drawn)
    drawn = drawn[: arguments.limit]
    verdicts: dict[Asking, list[str | None]] = defaultdict(list)
    kept = arguments.answers.open("w", encoding="utf-8") if arguments.answers else None
    for number, pair in enumerate(drawn, 1):
        meant = [each.text for each in pair.meant.references[:MEMORIES_PER_CHUNK]]
        other = [each.text for each in pair.other.references[:OTHERS]]
        written = None if arguments.text else written_for(engine, pair)
        for asking in get_args(Asking):
            said = answer(engine, pair, asking, written)
            verdict = None if ABSTENTION in said else taken(said, meant, other)
            verdicts[asking].append(verdict)
            if kept:
                row = {"asking": asking, "question": pair.unnamed, "answer": said, "taken": verdict}
                print(json.dumps(row, ensure_ascii=False), file=kept, flush=True)
        if number % 20 == 0 or number == len(drawn):
            print(f"{number} of {len(drawn)} pairs", file=sys.stderr)
    for asking, found in verdicts.items():
        about = {"reads": "text" if arguments.text else "memory", "asking": asking}
        engine_info = {"backend": engine.info.backend, "adapter": engine.info.adapter}
        print(json.dumps({**about, **figures(found), "engine": engine_info}), flush=True)


if __name__ == "__main__":
    main()
