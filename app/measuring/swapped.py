"""Does the answer follow its source? A passage is edited to say another value, and it is asked again.

Greedy answers from the five memories of a planted question, before and after; the edited reference's memory
is written anew, the other four stay. Judged are only questions whose right answer is a date, a number or a
name (`app.measuring.swapping`), that do not say it themselves, and that were answered rightly before: the new
answer has to say the new value.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from app.answering.asking import REPETITION_PENALTY, passage_text
from app.answering.memories import MemorySource
from app.measuring.ablation import messages
from app.measuring.evaluating import MAX_TOKENS
from app.measuring.planting import Planted, contains
from app.measuring.ranks import mean
from app.measuring.swapping import Kind, Value, another, edited, value_of
from engine.format import REFERENCE_TOKENS
from engine.protocol import Engine, GenerateOptions, KeyedMemory, Token
from storage.records import ReferenceRow

ATTEMPTS = 10  # at another value that leaves the reference short enough


@dataclass(frozen=True)
class Swapped:
    """One question. followed: whether the answer follows the edit; None if it was wrong before."""

    kind: Kind
    followed: bool | None


def swapped(
    engine: Engine, memories: MemorySource, questions: Sequence[Planted], seed: int
) -> Iterator[Swapped]:
    """Those of the questions whose answer has another value that fits into its reference."""
    generator = random.Random(seed)
    values = [value_of(each.question, each.answer) for each in questions]
    names = [value for value in values if value is not None and value.kind == "name"]
    for each, value in zip(questions, values, strict=True):
        if value is None:
            continue
        edit = _edit(engine, each.question.text, each.rows[each.place], value, names, generator)
        if edit is None:
            continue
        new, token_ids = edit
        keyed = memories.get(each.rows)
        if not contains(_answer(engine, each, keyed), value.text):
            yield Swapped(value.kind, None)
            continue
        keyed[each.place] = replace(keyed[each.place], memory=engine.write([token_ids])[0])
        yield Swapped(value.kind, contains(_answer(engine, each, keyed), new))


def followed(judged: Sequence[Swapped]) -> float | None:
    """The share of those answered rightly before."""
    return mean([each.followed for each in judged])


def by_kind(judged: Sequence[Swapped]) -> dict[str, dict[str, Any]]:
    found = {}
    for kind in get_args(Kind):
        of = [each for each in judged if each.kind == kind]
        right = [each for each in of if each.followed is not None]
        found[kind] = {"asked": len(of), "right_before": len(right), "followed": followed(right)}
    return found


def _edit(
    engine: Engine,
    asked: str,
    row: ReferenceRow,
    value: Value,
    names: Sequence[Value],
    generator: random.Random,
) -> tuple[str, list[int]] | None:
    """Another value, and the token ids of the reference that says it."""
    header = passage_text(row.document_name, row.heading_path, "")
    if contains(header, value.text) or contains(asked, value.text):
        return None  # which would still say the old one
    for _ in range(ATTEMPTS):
        new = another(value, names, generator)
        if new is None:
            return None
        text = edited(row.text, value.text, new)
        token_ids = [*row.token_ids[: row.header_tokens].tolist(), *engine.tokenize(text).ids]
        if len(token_ids) <= REFERENCE_TOKENS and contains(text, new) and not contains(text, value.text):
            return new, token_ids
    return None


def _answer(engine: Engine, each: Planted, keyed: Sequence[KeyedMemory]) -> str:
    options = GenerateOptions(MAX_TOKENS, REPETITION_PENALTY)
    events = engine.generate(messages(each.question.text), lambda _: keyed, options)
    return "".join(event.text for event in events if isinstance(event, Token))
