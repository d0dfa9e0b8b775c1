"""`attest eval`: questions with known answers, asked of the product over a library of all their contexts.

Each context becomes a text document of a temporary home, through the product's own reader, chunker, embedder
and store; every answer comes from `app.answering.asking.Asker`, greedy, under the general profile. Questions
are asked one at a time, so that nothing else runs while the clock does. In mode memory, what a question
brings up is written before its clock starts and then read from disk: the worker would have written it.
"""

import random
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.answering.answer import Answer, Citation, DoneEvent, MemoryRead, Mode
from app.answering.asking import Asker
from app.errors import AttestError, MemoryRefused, for_people
from app.measuring.open_book import COLLECTION, Library, Report
from app.measuring.questions import Context, Question
from app.measuring.scoring import Outcome, quality, speed
from app.service import Service
from app.settings import Settings
from engine.protocol import Engine
from storage.store import Store

MAX_TOKENS = 64
REPORT_EVERY = 25
CLOCK = {
    "none": "question to first token, no documents",
    "text": "question to first token: retrieval, then the references in the prompt",
    "memory": "question to first token: retrieval, then memories written before and read from disk",
}


def usable(questions: Iterable[Question], contexts: Mapping[str, Context]) -> list[Question]:
    """Those with an answer in the text or with none at all; yes or no and the like cannot be judged here.

    Raises AttestError if the context of an answerable question is missing.
    """
    kept = [question for question in questions if question.answers or question.unanswerable]
    for question in kept:
        if question.answers and question.context_id not in contexts:
            raise AttestError(
                f"question {question.id} is about context {question.context_id}, which is not among the "
                "contexts; give all of them with --contexts"
            )
    return kept


def sample(questions: Sequence[Question], limit: int | None, seed: int) -> list[Question]:
    """At most `limit` of the questions, in their order; the same for the same seed."""
    if limit is None or limit >= len(questions):
        return list(questions)
    return [questions[i] for i in sorted(random.Random(seed).sample(range(len(questions)), limit))]


def evaluate(
    settings: Settings,
    questions: Sequence[Question],
    contexts: Mapping[str, Context],
    modes: Sequence[Mode],
    report: Report,
) -> Iterator[dict[str, Any]]:
    """One object per mode, as docs/interface.md has it. Raises AttestError.

    report: gets a line on how far it is, now and then.
    """
    if not questions:
        raise AttestError("there is no question that could be judged")
    with Service(settings, shared=False) as service:
        engine, embedder = service.models()
    if "memory" in modes and engine.info.refusal is not None:
        raise MemoryRefused(engine.info.refusal)
    with (
        for_people(),
        tempfile.TemporaryDirectory(prefix="attest-eval-") as home,
        Store.open(Path(home)) as store,
    ):
        library = Library(store, engine, embedder, contexts.values(), report)
        asker = Asker(store, engine, lambda: embedder, recalling=settings.retrieval == "recall")
        for mode in modes:
            yield _figures(asker, engine, library, questions, mode, report)


def _figures(
    asker: Asker,
    engine: Engine,
    library: Library,
    questions: Sequence[Question],
    mode: Mode,
    report: Report,
) -> dict[str, Any]:
    _answer(asker, questions[0], mode, max_tokens=1)  # what is loaded on first use is not measured
    outcomes = []
    for number, question in enumerate(questions, 1):
        outcomes.append(_outcome(asker, library, question, mode))
        if number % REPORT_EVERY == 0 or number == len(questions):
            report(f"{mode}: {number} of {len(questions)} questions")
    datasets = sorted({question.dataset for question in questions} - {""})
    info = engine.info
    return {
        "mode": mode,
        **quality(outcomes),
        **speed(outcomes),
        "clock": CLOCK[mode],
        "bytes_per_reference": library.bytes_per_reference(engine) if mode == "memory" else None,
        "datasets": {
            name: quality([each for each in outcomes if each.question.dataset == name]) for name in datasets
        },
        "references": library.references,
        "engine": {
            "backend": info.backend,
            "model": info.model,
            "adapter": info.adapter,
            "quantisation": info.quantisation,
            "fingerprint": engine.fingerprint.id,
            "format": engine.format.to_json(),
        },
    }


def _outcome(asker: Asker, library: Library, question: Question, mode: Mode) -> Outcome:
    nll = None
    if mode != "none":
        asker.write_ahead(question.text, COLLECTION)
    if question.answers and (gold := question.answers[0].text.strip()):
        scored = asker.score(question.text, gold, COLLECTION, mode=mode).log_probabilities
        nll = -float(scored.mean()) if len(scored) else None
    if mode == "memory":
        asker.memories.forget()  # from disk is how an answer finds them, as a rule
    answer = _answer(asker, question, mode, MAX_TOKENS)
    timings = answer.timings
    after_first = max(timings.tokens - 1, 0)
    return Outcome(
        question,
        answer.answer,
        answer.abstained,
        nll,
        None if mode == "none" else library.evidence(question, _looked_at(answer, mode)),
        timings.first_token,
        timings.tokens,
        after_first / timings.decode_tokens_per_second if after_first else 0.0,
    )


def _answer(asker: Asker, question: Question, mode: Mode, max_tokens: int) -> Answer:
    for event in asker.ask(question.text, COLLECTION, mode=mode, max_tokens=max_tokens):
        if isinstance(event, DoneEvent):
            return event.answer
    raise AttestError(f"question {question.id} got no answer")


def _looked_at(answer: Answer, mode: Mode) -> list[Citation] | list[MemoryRead]:
    """The passages, best first: by rank in mode text, by what the whole answer read in mode memory."""
    if mode == "text":
        return answer.citations
    passages: dict[int, MemoryRead] = {}
    mass: dict[int, float] = {}
    for read in answer.reads:
        for memory in read.memories:
            key = memory.reference_id
            passages[key] = memory
            mass[key] = mass.get(key, 0.0) + memory.read * (read.to_token - read.from_token)
    return [passages[key] for key in sorted(mass, key=lambda key: -mass[key])]
