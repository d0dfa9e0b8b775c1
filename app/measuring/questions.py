"""Questions with known answers, as `attest eval` and `attest adapt` read them: JSON lines, plain or gzipped.

Questions: {"id", "question", "answers": [{"text", "start"}], "context_id"}; no answers means that the context
does not answer it. Contexts: {"context_id", "title", "text"}; offsets are code points of `text`. Two more
fields of a question are used where they are there: "type" (what kind of answer it has) and "gold" (the
answer, where it is no stretch of the text).
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import AttestError


@dataclass(frozen=True)
class Answered:
    """One right answer. start: code point of the context where it stands; -1 where it does not."""

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(frozen=True)
class Question:
    """kind: the row's "type", such as span, long_span, unanswerable or yesno; "" where it has none."""

    id: str
    text: str
    answers: tuple[Answered, ...]
    context_id: str
    dataset: str = ""
    kind: str = ""
    gold: str = ""

    @property
    def unanswerable(self) -> bool:
        """Whether its context does not answer it. Questions of yes or no and the like have no stretch of text
        for an answer either, and are not.
        """
        return not self.answers and self.kind in ("", "unanswerable")


@dataclass(frozen=True)
class Context:
    """A document that questions are about."""

    id: str
    title: str
    text: str

    @property
    def held_out(self) -> bool:
        """Whether it is kept from training: one of eight, by its first words.

        By words and not by id, since data sets overlap: the same abstract or contract comes under several.
        """
        opening = " ".join(self.text[:400].split())[:120]
        return hashlib.sha256(opening.encode()).digest()[0] % 8 == 0


def read_questions(path: Path) -> list[Question]:
    """Raises AttestError, naming file and line, if a row is not a question."""
    return [_question(row, where) for where, row in _rows(path)]


def read_contexts(path: Path) -> dict[str, Context]:
    """By id. Raises AttestError, naming file and line, if a row is not a context."""
    contexts = (_context(row, where) for where, row in _rows(path))
    return {context.id: context for context in contexts}


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, row) of each line that is not empty."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                where = f"{path.name}, line {number}"
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise AttestError(f"{where}: not a JSON object")
                yield where, row
    except json.JSONDecodeError as error:
        raise AttestError(f"{where}: not JSON ({error})") from None
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise AttestError(f"{path} cannot be read ({error})") from None


def _question(row: dict[str, Any], where: str) -> Question:
    try:
        return Question(
            id=str(row["id"]),
            text=str(row["question"]),
            answers=tuple(Answered(str(a["text"]), int(a.get("start", -1))) for a in row["answers"]),
            context_id=str(row["context_id"]),
            dataset=str(row.get("dataset") or ""),
            kind=str(row.get("type") or ""),
            gold=str(row.get("gold") or ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AttestError(
            f"{where}: not a question ({type(error).__name__}: {error}); it needs id, question, answers "
            "and context_id"
        ) from None


def _context(row: dict[str, Any], where: str) -> Context:
    try:
        name = row["context_id"] if "context_id" in row else row["id"]  # texts without questions have an id
        return Context(str(name), str(row.get("title") or ""), str(row["text"]))
    except KeyError as missing:
        raise AttestError(f"{where}: not a context, it lacks {missing}") from None
