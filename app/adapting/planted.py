"""Questions with five references of which one alone holds the answer, drawn from data with known answers.

References are cut as ingest cuts them: the right one, two others of the same document around it, and two of
other documents. None but the right one spells the answer.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.adapting.templates import natural
from app.measuring.questions import Context, Question
from engine.format import MEMORIES_PER_CHUNK
from engine.protocol import Tokens
from ingest.chunk import chunk
from ingest.document import Page

WINDOW = 1500  # characters on either side of an answer
NEAR = 2  # wrong references of the same document
ANSWER_CHARACTERS = 200
SHORTEST_ANSWER = 3
NEIGHBOURS = 4  # questions before and behind, whose references are the far ones: each is written but once


@dataclass(frozen=True)
class Planted:
    """references: token ids. right: which of them holds the answer."""

    profile: str
    question: str
    answer: str
    references: tuple[tuple[int, ...], ...]
    right: int


@dataclass(frozen=True)
class _Piece:
    text: str
    ids: tuple[int, ...]


def draw(
    asked: Sequence[tuple[str, Question]],
    contexts: dict[str, Context],
    tokenize: Callable[[str], Tokens],
    count: int,
    seed: int,
) -> list[Planted]:
    """At most `count`, of as many profiles and documents as there are. asked: profile and question.

    Only questions whose contexts are among `contexts` are drawn.
    """
    generator = random.Random(seed)
    found: list[tuple[str, Question, _Piece, list[_Piece]]] = []
    for profile, question in _turns(asked, contexts, generator):
        pieces = _pieces(contexts[question.context_id], question, tokenize)
        if pieces is not None:
            right, near = pieces
            generator.shuffle(near)
            found.append((profile, natural(question, generator), right, near[:NEAR]))
        if len(found) == count:
            break
    drawn = []
    for place, (profile, question, right, near) in enumerate(found):
        answer = _spelled(question.answers[0].text)
        around = found[max(0, place - NEIGHBOURS) : place + NEIGHBOURS + 1]
        others = [each for each in around if each[1].context_id != question.context_id]
        far = [piece for _, _, one, more in others for piece in (one, *more)]
        far = [piece for piece in far if answer.lower() not in _spelled(piece.text).lower()]
        read = [right, *near, *generator.sample(far, min(len(far), MEMORIES_PER_CHUNK - 1 - len(near)))]
        generator.shuffle(read)
        ids = tuple(piece.ids for piece in read)
        drawn.append(Planted(profile, question.text, answer, ids, read.index(right)))
    return drawn


def _turns(
    asked: Sequence[tuple[str, Question]], contexts: dict[str, Context], generator: random.Random
) -> list[tuple[str, Question]]:
    """Answerable questions, data sets in turn, documents of a set in turn."""
    of: dict[str, dict[str, list[tuple[str, Question]]]] = {}
    for profile, question in asked:
        if question.context_id in contexts and _short(question):
            documents = of.setdefault(question.dataset.split("/")[0], {})
            documents.setdefault(question.context_id, []).append((profile, question))
    queues = []
    for documents in of.values():
        lists = list(documents.values())
        generator.shuffle(lists)
        for each in lists:
            generator.shuffle(each)
        depth = max(map(len, lists))
        queues.append([each[i] for i in range(depth) for each in lists if i < len(each)])
    depth = max(map(len, queues), default=0)
    return [queue[i] for i in range(depth) for queue in queues if i < len(queue)]


def _short(question: Question) -> bool:
    answers = question.answers
    return (
        bool(answers)
        and answers[0].start >= 0
        and (SHORTEST_ANSWER <= len(answers[0].text) <= ANSWER_CHARACTERS)
    )


def _pieces(
    context: Context, question: Question, tokenize: Callable[[str], Tokens]
) -> tuple[_Piece, list[_Piece]] | None:
    """The one reference that holds the answer, and the others near it; None if it is not one alone."""
    answer = question.answers[0]
    start, end = max(0, answer.start - WINDOW), answer.end + WINDOW
    if start:  # from a whole word on
        start = context.text.find(" ", start) + 1 or start
    window, right, near = context.text[start:end], [], []
    spelled = _spelled(answer.text).lower()
    for reference in chunk([Page(1, "1", window)], tokenize, context.title):
        text = window[reference.start : reference.end]
        piece = _Piece(text, reference.token_ids)
        if start + reference.start <= answer.start and answer.end <= start + reference.end:
            right.append(piece)
        elif spelled not in _spelled(text).lower():
            near.append(piece)
        else:
            return None
    return (right[0], near) if len(right) == 1 else None


def _spelled(text: str) -> str:
    return " ".join(text.split())
