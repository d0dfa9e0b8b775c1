"""Rows of questions and contexts: what they become, and how a bad one is named."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from app.errors import AttestError
from app.measuring.questions import Answered, Context, Question, read_contexts, read_questions

ROW = {"id": 7, "question": "How long?", "answers": [{"text": "a year", "start": 3}], "context_id": "c"}

ZIPPED = gzip.compress(b"{}" * 500)


def written(path: Path, *lines: Any) -> Path:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["q.jsonl", "q.jsonl.gz"])
def test_rows_become_questions(tmp_path: Path, name: str) -> None:
    full = {**ROW, "dataset": "d", "type": "span", "gold": "1 year", "meta": {}}
    bare = {"id": "x", "question": "Why?", "answers": [], "context_id": "c", "gold": None}
    unplaced = {**bare, "answers": [{"text": "so"}]}
    assert read_questions(written(tmp_path / name, full, "", bare, unplaced)) == [
        Question("7", "How long?", (Answered("a year", 3),), "c", "d", "span", "1 year"),
        Question("x", "Why?", (), "c"),
        Question("x", "Why?", (Answered("so", -1),), "c"),
    ]
    assert Answered("a year", 3).end == 9


def test_rows_become_contexts(tmp_path: Path) -> None:
    file = written(tmp_path / "c.jsonl", {"context_id": 1, "title": None, "text": "words", "source": "x"})
    assert read_contexts(file) == {"1": Context("1", "", "words")}


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ({key: value for key, value in ROW.items() if key != "context_id"}, "not a question"),
        ({**ROW, "answers": None}, "not a question"),
        ({**ROW, "answers": ["a year"]}, "not a question"),
        ({**ROW, "answers": [{"start": 3}]}, "not a question"),
        ({**ROW, "answers": [{"text": "a year", "start": "three"}]}, "not a question"),
    ],
)
def test_a_bad_question_is_named_by_file_and_line(tmp_path: Path, row: Any, complaint: str) -> None:
    with pytest.raises(AttestError, match=rf"q\.jsonl, line 3: {complaint}"):
        read_questions(written(tmp_path / "q.jsonl", ROW, "", row))


def test_a_bad_context_is_named_by_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(AttestError, match=r"c\.jsonl, line 1: not a context, it lacks 'text'"):
        read_contexts(written(tmp_path / "c.jsonl", {"context_id": "c"}))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"no gzip", ZIPPED[:-12], ZIPPED[:10] + b"\xff" * 9])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / ("q.jsonl" if content.startswith(b"\xff") else "q.jsonl.gz")
    file.write_bytes(content)
    with pytest.raises(AttestError, match=r"q\.jsonl.* cannot be read"):
        read_questions(file)
    with pytest.raises(AttestError, match=r"absent\.jsonl cannot be read"):
        read_contexts(tmp_path / "absent.jsonl")


def test_about_one_context_in_eight_is_held_out_whatever_its_id() -> None:
    contexts = [Context(str(n), "", f"Document {n} says  this") for n in range(800)]
    held = [context for context in contexts if context.held_out]
    assert 60 < len(held) < 140
    again = Context("other", "title", f"\n{held[0].text.replace('  ', ' ')}")
    assert again.held_out
