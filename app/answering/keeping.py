"""An answer as it is kept, without the text of any page, and back with the text that the pages have now.

Whatever has a place (`document_id`, `page`, `start`, `end`) loses what can be read there again: its text, its
rectangles, the document's name and the page's label; its document becomes a number. What is left is what
people and the model wrote, and numbers. A document that was deleted meanwhile comes back as `GONE`, without
text. Fields that an answer did not have yet when it was kept get their defaults.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from app.answering.answer import Answer
from ingest.geometry import rectangles
from storage.errors import NotFound
from storage.records import AnswerRow, PageRow
from storage.store import Store

GONE = "a deleted document"
_PLACE = frozenset({"document_id", "page", "start", "end"})
_READ_AGAIN = ("text", "rects", "document_name", "page_label")


def stripped(answer: Answer, documents: Sequence[str] = ()) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Everything of the answer but its own text, and the documents in the order of their numbers.

    documents: those that have a number already.
    """
    numbers = {document_id: number for number, document_id in enumerate(documents)}
    whole = answer.to_json()
    del whole["answer"]
    body = _stripped(whole, numbers)
    if answer.documents is not None:
        body["documents"] = [numbers.setdefault(each, len(numbers)) for each in answer.documents]
    return body, tuple(numbers)


def _stripped(value: Any, numbers: dict[str, int]) -> Any:
    if isinstance(value, list | tuple):
        return [_stripped(each, numbers) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _stripped(each, numbers) for name, each in value.items()}
    if value.keys() >= _PLACE:
        for name in _READ_AGAIN:
            kept.pop(name, None)
    if "document_id" in value:
        kept["document_id"] = numbers.setdefault(value["document_id"], len(numbers))
    return kept


class Restorer:
    """Reads the text of kept answers from the pages; each page once, for as many answers as are restored."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pages: dict[tuple[str, int], PageRow | None] = {}

    def restored(self, row: AnswerRow) -> Answer:
        whole = self._restored(row.body, row)
        if whole.get("documents") is not None:
            whole["documents"] = [_document_id(row, number) for number in whole["documents"]]
        return _answers().validate_python({**whole, "answer": row.text})

    def _restored(self, value: Any, row: AnswerRow) -> Any:
        if isinstance(value, list):
            return [self._restored(each, row) for each in value]
        if not isinstance(value, dict):
            return value
        back = {name: self._restored(each, row) for name, each in value.items()}
        if "document_id" in value:
            back["document_id"] = _document_id(row, value["document_id"])
            if value.keys() >= _PLACE:
                back |= self._place(value, back["document_id"], row.sources[value["document_id"]].name)
        return back

    def _place(self, value: Mapping[str, Any], document_id: str, name: str | None) -> dict[str, Any]:
        page = None if name is None else self._page(document_id, value["page"])
        start, end = value["start"], value["end"]
        boxes = None if page is None else page.boxes
        return {
            "document_name": GONE if name is None else name,
            "page_label": str(value["page"]) if page is None else page.label,
            "text": "" if page is None else page.text[start:end],
            "rects": None if boxes is None else rectangles(boxes, start, end),
        }

    def _page(self, document_id: str, number: int) -> PageRow | None:
        key = (document_id, number)
        if key not in self._pages:
            try:
                self._pages[key] = self._store.documents.page(document_id, number)
            except NotFound:  # deleted a moment ago
                self._pages[key] = None
        return self._pages[key]


def _document_id(row: AnswerRow, number: int) -> str:
    """Places in different deleted documents must not look like one place."""
    return row.sources[number].document_id or f"deleted-{number}"


@cache
def _answers() -> TypeAdapter[Answer]:
    return TypeAdapter(Answer)
