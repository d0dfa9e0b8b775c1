"""A question with five references of which one holds the only answer.

The other four are the retriever's best in which no right answer stands, neither in the text nor in the title
and headings in front of it: near misses, as a real question meets them. Where the right one stands among the
five is drawn by the seed.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.answering.asking import passage_text
from app.measuring.open_book import COLLECTION, Library
from app.measuring.questions import Question
from app.measuring.scoring import normalised
from engine.format import MEMORIES_PER_CHUNK
from engine.protocol import Embedder
from storage.records import ReferenceRow
from storage.store import Store

CANDIDATES = 100  # of each search; a question with fewer than four wrong references among them is left out


@dataclass(frozen=True)
class Planted:
    """rows: five references in the order of reading. place: which of them holds `answer`, a right answer of
    the question. retrieval: the retriever's fused score of each, 0 where it did not find it.
    """

    question: Question
    answer: str
    rows: tuple[ReferenceRow, ...]
    place: int
    retrieval: tuple[float, ...]


def planted(
    store: Store, library: Library, embedder: Embedder, questions: Sequence[Question], seed: int
) -> Iterator[Planted]:
    """Questions in an order drawn by the seed, without those whose answer no reference holds as a whole."""
    search = store.search(embedder.name, embedder.dimension)
    generator = random.Random(seed)
    for question in generator.sample(list(questions), len(questions)):
        ids = store.references.of_document(library.document_id(question))
        held = _holder(library, question, store.references.get(ids))
        if held is None:
            continue
        right, answer = held
        vector = embedder.embed([question.text])[0]
        hits = search.hybrid(question.text, vector, COLLECTION, k=2 * CANDIDATES, candidates=CANDIDATES)
        score = {hit.reference_id: hit.score for hit in hits}
        found = {row.id: row for row in store.references.get(list(score))}
        wrong = [
            found[key]
            for key in score
            if key in found and not any(holds(found[key], gold.text) for gold in question.answers)
        ][: MEMORIES_PER_CHUNK - 1]
        if len(wrong) < MEMORIES_PER_CHUNK - 1:
            continue
        place = generator.randrange(MEMORIES_PER_CHUNK)
        rows = (*wrong[:place], right, *wrong[place:])
        yield Planted(question, answer, rows, place, tuple(score.get(row.id, 0.0) for row in rows))


def holds(row: ReferenceRow, answer: str) -> bool:
    """Whether the answer's words stand in the reference or in the header that it is encoded behind."""
    return contains(passage_text(row.document_name, row.heading_path, row.text), answer)


def contains(text: str, words: str) -> bool:
    """Whether the words stand in the text one after the other; case, punctuation and articles aside."""
    return f" {normalised(words)} " in f" {normalised(text)} "


def _holder(
    library: Library, question: Question, rows: Sequence[ReferenceRow]
) -> tuple[ReferenceRow, str] | None:
    """The reference at whose place a right answer stands as a whole, and that answer."""
    for row in rows:
        if library.evidence(question, [row]) == (True, True):
            for gold in question.answers:
                if normalised(gold.text) and contains(row.text, gold.text):
                    return row, gold.text.strip()
    return None
