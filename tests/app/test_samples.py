"""Ten factual questions about the samples, and those that the page suggests, with the real models.

The reference that holds the fact must be among the reads of at least nine, and the first citation of at
least seven. Of the suggested questions at least five of six must be answered, or the first thing that is
tried is refused.
"""

import json
from pathlib import Path

import pytest

from app import settings
from app.answering.answer import DoneEvent
from app.library.ingesting import IngestOptions, ingest_paths
from app.profiles import profile
from app.service import Service
from app.serving import SAMPLES
from tests.conftest import ROOT

QUESTIONS = Path(__file__).with_name("sample_questions.jsonl")


def _words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_facts_are_read_and_cited(capsys: pytest.CaptureFixture[str]) -> None:
    read = first = 0
    with Service(settings.load()) as service:
        for collection, kind in SAMPLES.items():
            folder = ROOT / "assets" / "samples" / kind
            for outcome in ingest_paths(service, [folder], IngestOptions(collection, kind)):
                assert outcome.status in ("ready", "failed"), outcome
                assert outcome.error is None or outcome.path.endswith(".md")
        for line in QUESTIONS.read_text(encoding="utf-8").splitlines():
            asked = json.loads(line)
            events = list(service.ask(asked["question"], asked["collection"], max_tokens=64))
            done = events[-1]
            assert isinstance(done, DoneEvent)
            answer, fact = done.answer, _words(asked["fact"])
            was_read = any(fact in _words(m.text) for r in answer.reads for m in r.memories)
            was_first = bool(answer.citations) and fact in _words(answer.citations[0].text)
            read, first = read + was_read, first + was_first
            with capsys.disabled():
                print(f"\n{asked['question']}\n  {answer.answer}\n  read {was_read}, first {was_first}")
        answered = 0
        for collection, kind in SAMPLES.items():
            for question in profile(kind).questions:
                done = list(service.ask(question, collection, max_tokens=64))[-1]
                assert isinstance(done, DoneEvent)
                answered += not done.answer.abstained
                with capsys.disabled():
                    print(f"\n{question}\n  {done.answer.answer}")
    with capsys.disabled():
        print(
            f"\nread {read} of 10, first citation {first} of 10, suggested questions answered {answered} of 6"
        )
    assert read >= 9
    assert first >= 7
    assert answered >= 5
