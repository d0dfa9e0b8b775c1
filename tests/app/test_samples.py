"""Ten factual questions about the samples, with the real models, through the real worker.

The reference that holds the fact must be among the reads of at least nine, and the first citation of at
least seven.
"""

import json
from pathlib import Path

import pytest

from app import settings
from app.answering.answer import DoneEvent
from app.library.ingesting import IngestOptions, ingest_paths
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
        for collection, profile in SAMPLES.items():
            folder = ROOT / "assets" / "samples" / profile
            for outcome in ingest_paths(service, [folder], IngestOptions(collection, profile)):
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
    with capsys.disabled():
        print(f"\nread {read} of 10, first citation {first} of 10")
    assert read >= 9
    assert first >= 7
