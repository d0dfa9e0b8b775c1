"""Rated answers as an evaluation set, through the readers of `attest eval` and through it as a whole."""

import io
import json
import zipfile
from pathlib import Path

import pytest

from app.measuring.evaluating import usable
from app.measuring.questions import read_contexts, read_questions
from app.measuring.rated import OPEN
from app.service import Service
from tests.app.answering.test_conversations import kept_answer
from tests.app.conftest import QUESTION, attest

pytestmark = pytest.mark.usefixtures("fake_model")
NOBODY = "Who painted the ceiling of the Sistine Chapel in Rome?"


def test_ratings_become_questions_that_are_evaluated(
    service: Service, filled: list[str], tmp_path: Path
) -> None:
    good, bad, none = (kept_answer(service, each) for each in (QUESTION, "What is the dose?", NOBODY))
    kept_answer(service, "How long is the warranty period?")  # not rated
    service.conversations.rate(good.id, 1, "")
    service.conversations.rate(bad.id, -1, "The dose is five hundred milligrams.")
    service.conversations.rate(none.id, 1 if none.answer.abstained else -1, "")
    questions, contexts = tmp_path / "questions.jsonl", tmp_path / "contexts.jsonl"
    done = attest("answers", "ratings", "--contexts", contexts)
    questions.write_text(done.stdout, encoding="utf-8")
    found = {each.id: each for each in read_questions(questions)}
    texts = read_contexts(contexts)
    assert set(found) == {f"answer-{each.id}" for each in (good, bad, none)}
    first = found[f"answer-{good.id}"]
    (right,) = first.answers
    assert right.text == good.answer.answer
    if right.start >= 0:  # the place is that of the words
        assert texts[first.context_id].text[right.start : right.end] == right.text
    assert (found[f"answer-{bad.id}"].kind, found[f"answer-{bad.id}"].answers) == (OPEN, ())
    assert "1 lack" in done.stderr or "2 lack" in done.stderr
    judged = usable(found.values(), texts)
    assert f"answer-{bad.id}" not in {each.id for each in judged}
    assert first in judged
    (figures,) = attest("eval", questions, "--contexts", contexts, "--modes", "text", "--json").lines
    assert figures["n"] == len(judged)


def test_words_of_a_passage_get_their_place(service: Service, filled: list[str]) -> None:
    made = kept_answer(service, QUESTION)
    passage = made.answer.citations[0]
    words = passage.text.split("\n")[0][:40].strip()
    row = service.store.answers.get(made.id)
    service.conversations.rate(made.id, 1, "")
    with service.store._database.write() as connection:
        import sqlalchemy as sa

        from storage.schema import KeptAnswer

        connection.execute(sa.update(KeptAnswer).where(KeptAnswer.id == row.id).values(text=words))
    with zipfile.ZipFile(io.BytesIO(service.ratings())) as archive:
        (question,) = map(json.loads, archive.read("questions.jsonl").splitlines())
        contexts = {
            each["context_id"]: each["text"]
            for each in map(json.loads, archive.read("contexts.jsonl").splitlines())
        }
    assert question["type"] == "span"
    (right,) = question["answers"]
    text = contexts[question["context_id"]]
    assert text[right["start"] : right["start"] + len(words)] == words
    assert question["context_id"] == passage.document_id


def test_what_lost_all_its_documents_is_left_out(service: Service, filled: list[str], tmp_path: Path) -> None:
    made = kept_answer(service, QUESTION)
    service.conversations.rate(made.id, 1, "")
    for document in filled:
        service.delete_document(document)
    done = attest("answers", "ratings", "--contexts", tmp_path / "c.jsonl")
    assert (done.stdout, (tmp_path / "c.jsonl").read_text()) == ("", "")
    assert "1 left out" in done.stderr
