"""The record of an answer that a program can read: all that is needed to ask again and compare.

It travels inside a report (`app.evidence.report`), in the element that `RECORD` names, as JSON. What is read
back may come from anywhere, so it is checked as any input.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from app.answering.answer import Answer, Mode
from app.errors import AttestError
from app.web.views import KeptAnswer

RECORD = "attest-record"
LONGEST_REPORT = 400_000_000  # bytes that are looked at


@dataclass(frozen=True)
class RecordedDocument:
    """A document that the answer names. sha256: of its file as it was given."""

    document_id: str
    name: str
    sha256: str


@dataclass(frozen=True)
class Record:
    """kind: says what this is. asked_at: ISO 8601, UTC. deleted: sources that were gone when it was made.

    history: earlier questions and answers that the question followed.
    """

    question: str
    collection: str
    mode: Mode
    max_tokens: int
    stopped: bool
    asked_at: str
    history: list[tuple[str, str]]
    answer: Answer
    documents: list[RecordedDocument]
    deleted: int = 0
    kind: Literal["attest answer 1"] = "attest answer 1"
    remarks: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def record_of(kept: KeptAnswer, history: Sequence[tuple[str, str]]) -> Record:
    """The record of a kept answer; history: as the conversation has it before the answer."""
    documents = [
        RecordedDocument(source.document_id, source.name or "", source.sha256 or "")
        for source in kept.sources
        if source.document_id is not None
    ]
    return Record(
        question=kept.question,
        collection=kept.collection,
        mode=kept.mode,
        max_tokens=kept.max_tokens,
        stopped=kept.stopped,
        asked_at=datetime.fromtimestamp(kept.asked_at, UTC).isoformat(timespec="seconds"),
        history=[(asked, answered) for asked, answered in history],
        answer=kept.answer,
        documents=documents,
        deleted=kept.deleted,
        remarks=list(kept.remarks),
    )


def read_record(report: bytes) -> Record:
    """The record inside a report. Raises AttestError if there is none, or it is not whole."""
    finder = _Finder()
    finder.feed(report[:LONGEST_REPORT].decode("utf-8", "replace"))
    if not finder.found:
        raise AttestError("this file is no report of an answer; give one that `attest answers export` wrote")
    try:
        return TypeAdapter(Record).validate_python(json.loads("".join(finder.found)))
    except (json.JSONDecodeError, ValidationError) as error:
        raise AttestError("the report's record is damaged; export the answer again") from error


class _Finder(HTMLParser):
    """Collects the text of the element whose id is `RECORD`."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = self._inside or ("id", RECORD) in attrs

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found.append(data)
