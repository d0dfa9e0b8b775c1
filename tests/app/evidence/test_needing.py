"""What an answer needed: with the answer, later, by sentence, and when there is nothing to measure."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from app.answering.answer import SentenceMark
from app.evidence.needing import as_read, references_of, sentence_of_token
from app.service import Service
from engine.protocol import Chunk, Tokens
from tests.app.conftest import QUESTION, answer, attest

CLAUSE = "What does clause 7 oblige the contractor to deliver?"


def test_needed_is_measured_when_it_is_wanted(service: Service, filled) -> None:
    plain = answer(service, CLAUSE)
    assert all(cited.needed is None for cited in plain.citations)
    assert all(mark.needed is None for mark in plain.sentences)
    done = answer(service, CLAUSE, evidence=True)
    assert done.citations
    for cited in done.citations:
        assert cited.needed is not None
        assert cited.needed > -1e-3  # the fake engine never gains by forgetting
    assert max(cited.needed or 0 for cited in done.citations) > 1
    assert done.sentences
    for cited in done.citations:
        by_sentence = [mark.needed[cited.n] for mark in done.sentences if mark.needed is not None]
        assert len(by_sentence) == len(done.sentences)
        assert sum(by_sentence) == pytest.approx(cited.needed, abs=1e-3)
    json.dumps(done.to_json())


def test_later_is_the_same_as_at_once(service: Service, filled) -> None:
    at_once, plain = answer(service, CLAUSE, evidence=True), answer(service, CLAUSE)
    later = service.needed(CLAUSE, "default", plain)
    assert later.citations == at_once.citations
    assert later.sentences == at_once.sentences
    assert replace(later, citations=plain.citations, sentences=plain.sentences) == plain


def test_a_long_question_is_read_again_piece_by_piece(service: Service, filled) -> None:
    question = " ".join([CLAUSE] * 12)
    done = answer(service, question, evidence=True)
    assert done.citations
    assert all(cited.needed is not None for cited in done.citations)


def test_a_passage_that_was_deleted_is_no_longer_needed(service: Service, filled) -> None:
    plain = answer(service, QUESTION)
    assert plain.citations[0].document_name == "lease.md"
    service.delete_document(plain.citations[0].document_id)
    later = service.needed(QUESTION, "default", plain)
    assert later.citations[0].needed == pytest.approx(0, abs=1e-6)


def test_a_service_is_idle_when_nobody_waits_for_an_answer(service: Service, filled) -> None:
    assert service.idle()
    stream = service.ask(QUESTION, "default")
    next(stream)
    assert not service.idle()
    stream.close()
    assert service.idle()


@pytest.mark.parametrize("mode", ["text", "none"])
def test_what_read_nothing_needed_nothing(service: Service, filled, mode: str) -> None:
    done = answer(service, QUESTION, mode=mode)
    assert service.needed(QUESTION, "default", done) is done
    assert answer(service, QUESTION, mode=mode, evidence=True).citations == done.citations


def test_the_command_line_says_what_was_needed(library, home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTEST_MODEL", "fake")
    shutil.copytree(library.home, home)  # `ask` keeps its answers; the library is everybody's
    monkeypatch.setenv("ATTEST_HOME", str(home))
    done = attest("ask", QUESTION, "--evidence", "--json")
    assert done.status == 0
    assert done.json["citations"][0]["needed"] > 1
    assert set(done.json["sentences"][0]["needed"]) == {str(c["n"]) for c in done.json["citations"]}
    assert "nats" in attest("ask", QUESTION, "--evidence").stdout
    assert "nats" not in attest("ask", QUESTION).stdout


def test_a_token_belongs_to_the_sentence_in_which_it_ends() -> None:
    marks = [SentenceMark(0, 6, []), SentenceMark(6, 12, [])]
    tokens = Tokens([1, 2, 3, 4, 5], [(0, 0), (0, 5), (5, 6), (5, 7), (12, 14)])
    assert sentence_of_token(marks, tokens).tolist() == [0, 0, 0, 1, -1]


def test_stretches_are_read_again_in_their_order(service: Service, filled) -> None:
    reads = answer(service, CLAUSE).reads
    assert len(reads) > 1
    asked: list[list[int]] = []
    memories_for = as_read(reads, lambda ids: asked.append(list(ids)) or [], None)  # type: ignore[func-returns-value]
    for part in ("prompt", "prompt", *["answer"] * len(reads)):
        memories_for(Chunk(0, part, "x"))  # type: ignore[arg-type]
    wanted = [sorted(each.reference_id for each in read.memories) for read in reads]
    assert [sorted(ids) for ids in asked] == [wanted[0], wanted[0], *wanted[1:], wanted[-1]]
    scores = [{each.reference_id: each.retrieval_score for each in read.memories} for read in reads]
    assert np.all(np.diff([scores[0][key] for key in asked[0]]) <= 0)


def test_a_citation_names_its_references(service: Service, filled) -> None:
    done = answer(service, CLAUSE)
    read = {each.reference_id for read in done.reads for each in read.memories}
    for cited in done.citations:
        assert len(references_of(cited, done.reads)) == 1
        assert references_of(cited, done.reads) <= read
    assert references_of(replace(done.citations[0], page=99), done.reads) == frozenset()
