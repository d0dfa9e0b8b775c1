"""Rated answers as an evaluation set: questions and contexts as `attest eval` reads them.

A good answer is a right one, with the place where it stands if a cited passage has it word for word; a good
abstention is a question that nothing answers. Of a bad answer only the question is known: it gets the type
`open`, which `attest eval` leaves out until somebody writes the right answer into the file. Contexts are the
documents that the answers name. Knows nothing of files.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.answering.answer import Citation
from app.answering.conversations import Kept
from app.errors import for_people
from storage.store import Store

BETWEEN = "\n\n"  # pages of a context
OPEN = "open"


@dataclass(frozen=True)
class RatedSet:
    """Rows for two files of JSON lines. left_out: answers of which every document was deleted."""

    questions: Sequence[Mapping[str, Any]]
    contexts: Sequence[Mapping[str, Any]]
    left_out: int


def json_lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def zipped(found: RatedSet) -> bytes:
    """Both files in one archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("questions.jsonl", json_lines(found.questions))
        archive.writestr("contexts.jsonl", json_lines(found.contexts))
    return buffer.getvalue()


def rated_set(store: Store, rated: Sequence[Kept]) -> RatedSet:
    """Of rated answers. Raises AttestError."""
    questions, left_out = [], 0
    contexts: dict[str, _Context] = {}
    for kept in rated:
        names = [source.document_id for source in kept.sources if source.document_id is not None]
        if not names:
            left_out += 1
            continue
        for document_id in names:
            if document_id not in contexts:
                contexts[document_id] = _Context.of(store, document_id)
        questions.append(_question(kept, names, contexts))
    return RatedSet(questions, [each.row() for each in contexts.values()], left_out)


@dataclass(frozen=True)
class _Context:
    document_id: str
    title: str
    pages: Mapping[int, tuple[int, str]]  # where a page's text begins, and the text

    @classmethod
    def of(cls, store: Store, document_id: str) -> "_Context":
        with for_people():
            name = store.documents.get(document_id).name
            pages: dict[int, tuple[int, str]] = {}
            start = 0
            for page in store.pages.iterate(document_id):
                pages[page.number] = (start, page.text)
                start += len(page.text) + len(BETWEEN)
        return cls(document_id, name, pages)

    def row(self) -> dict[str, Any]:
        text = BETWEEN.join(text for _, text in self.pages.values())
        return {"context_id": self.document_id, "title": self.title, "text": text}

    def place(self, cited: Citation, words: str) -> int:
        """Where `words` stand in the cited passage, as an offset into the context; -1 where they do not."""
        start, text = self.pages.get(cited.page, (0, ""))
        found = text.find(words, cited.start, cited.end)
        return start + found if found >= 0 else -1


def _question(kept: Kept, names: Sequence[str], contexts: Mapping[str, _Context]) -> dict[str, Any]:
    answer = kept.answer
    cited = [each for each in answer.citations if each.document_id in contexts]
    about = cited[0].document_id if cited else names[0]
    row: dict[str, Any] = {
        "id": f"answer-{kept.id}",
        "question": kept.question,
        "answers": [],
        "context_id": about,
        "type": OPEN,
        "collection": kept.collection,
        "rating": kept.rating,
        "note": kept.note,
        "given": answer.answer,
    }
    if kept.rating > 0 and answer.abstained:
        row["type"] = "unanswerable"
    elif kept.rating > 0:
        words = answer.answer.strip()
        places = ((each, contexts[each.document_id].place(each, words)) for each in cited)
        found = next(((each, place) for each, place in places if place >= 0), None)
        if found is not None:
            row["context_id"] = found[0].document_id
        row["answers"] = [{"text": words, "start": -1 if found is None else found[1]}]
        row["type"] = "span" if found is not None else "free"
    return row
