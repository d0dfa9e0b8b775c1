"""Contexts of questions as one library of documents, and where in it an answer lies.

Each context becomes a text document, through the product's own reader, chunker, embedder and store. The
reader changes white space and drops what no one sees, so a place in a context and one on a page are compared
by the number of visible characters before them.
"""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.errors import AttestError
from app.measuring.questions import Context, Question
from engine.protocol import Embedder, Engine
from ingest.pipeline import Pipeline
from ingest.readers.clean import clean
from ingest.readers.text import read_text
from storage.errors import CollectionExists
from storage.store import Store

COLLECTION = "eval"
REPORT_EVERY = 100

Report = Callable[[str], None]
Span = tuple[int, int]


class Passage(Protocol):
    """A stretch of a page: a citation, what was read, a reference."""

    @property
    def document_id(self) -> str: ...
    @property
    def page(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


@dataclass(frozen=True)
class _Document:
    """pages: by number, the text and how many visible characters stand before it in the document."""

    id: str
    pages: dict[int, tuple[str, int]]


class Library:
    """The contexts as documents of a store, and where in them an answer lies.

    references: how many there are. Raises AttestError for a context without text.
    """

    def __init__(
        self, store: Store, engine: Engine, embedder: Embedder, contexts: Iterable[Context], report: Report
    ) -> None:
        self._store = store
        self._contexts = {context.id: context for context in contexts}
        with suppress(CollectionExists):
            store.collections.add(COLLECTION, "general")
        # the text has been read already and is no file of a stranger's, so a process of its own is not needed
        pipeline = Pipeline(store, engine, embedder, COLLECTION, read=read_text)
        self._documents: dict[str, _Document] = {}
        self._places: dict[str, list[tuple[int, Span]]] = {}
        self.references = 0
        with tempfile.TemporaryDirectory(prefix="attest-eval-") as folder:
            for number, context in enumerate(self._contexts.values(), 1):
                self._documents[context.id] = self._add(pipeline, context, Path(folder) / "context.txt")
                if number % REPORT_EVERY == 0 or number == len(self._contexts):
                    report(f"read {number} of {len(self._contexts)} contexts")

    def _add(self, pipeline: Pipeline, context: Context, file: Path) -> _Document:
        file.write_bytes(context.text.encode("utf-8", "replace"))
        name = f"{(context.title or context.id).replace('/', ' ')}.txt"
        row, new = self._store.documents.add(file, COLLECTION, name, memories=False)
        while job := self._store.jobs.claim(COLLECTION):
            pipeline.run(job)
        row = self._store.documents.get(row.id)
        if row.status == "failed":
            raise AttestError(f"context {context.id}: {row.error}")
        self.references += row.reference_count if new else 0
        pages: dict[int, tuple[str, int]] = {}
        before = 0
        for number in range(1, (row.page_count or 0) + 1):
            text = self._store.documents.page(row.id, number).text
            pages[number] = text, before
            before += visible(text)
        return _Document(row.id, pages)

    def document_id(self, question: Question) -> str:
        """Of the document that the question's context became."""
        return self.document(question.context_id)

    def document(self, context_id: str) -> str:
        """The id of what a context became."""
        return self._documents[context_id].id

    def holding(self, question: Question) -> list[int]:
        """Ids of the references that overlap the place of a right answer."""
        document = self._documents[question.context_id]
        if document.id not in self._places:
            rows = self._store.references.get(self._store.references.of_document(document.id))
            self._places[document.id] = [(row.id, _placed(document, row)) for row in rows]
        golds = self._golds(question)
        return [key for key, span in self._places[document.id] if any(_overlap(span, g) for g in golds)]

    def evidence(self, question: Question, passages: Sequence[Passage]) -> tuple[bool, bool] | None:
        """Whether the first passage, and whether any, overlaps a right answer's place; None if none is known.

        An answer that read nothing is without evidence.
        """
        golds = self._golds(question)
        if not golds:
            return None
        document = self._documents[question.context_id]
        held = [
            passage.document_id == document.id and any(_overlap(_placed(document, passage), g) for g in golds)
            for passage in passages
        ]
        return any(held[:1]), any(held)

    def bytes_per_reference(self, engine: Engine) -> float | None:
        """Mean size of the memories written so far, on disk; None if there are none."""
        for bank in self._store.banks.status():
            if bank.fingerprint_id == engine.fingerprint.id and bank.memories:
                return round(bank.bytes / bank.memories, 1)
        return None

    def _golds(self, question: Question) -> list[Span]:
        return [
            self._span(question.context_id, answer.start, answer.end)
            for answer in question.answers
            if answer.start >= 0
        ]

    def _span(self, context_id: str, start: int, end: int) -> Span:
        text = self._contexts[context_id].text
        return visible(text[:start]), visible(text[:end])


def visible(text: str) -> int:
    """How many characters of `text` a text document keeps, white space aside."""
    return len("".join(clean(text).split()))


def _placed(document: _Document, passage: Passage) -> Span:
    text, before = document.pages[passage.page]
    return before + visible(text[: passage.start]), before + visible(text[: passage.end])


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]
