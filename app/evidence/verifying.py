"""Whether a recorded answer can be had again: the same question to the same bank, and the documents' hashes.

Decoding is greedy, so the same model, memories and references give the same words. Attention is compared with
a small tolerance, for sums of floating-point numbers depend on how many of them a processor adds at once.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

from app.answering.answer import Answer, DoneEvent, MemoryRead, StretchRead
from app.errors import AttestError, DocumentGone, for_people
from app.evidence.record import Record
from app.service import Service

TOLERANCE = 1e-3  # of attention, which is a share of 1
Standing = Literal["same", "changed", "missing"]


@dataclass(frozen=True)
class CheckedDocument:
    """standing: whether the file in the store has the recorded hash, another one, or is not there."""

    document_id: str
    name: str
    sha256: str
    standing: Standing


@dataclass(frozen=True)
class Verdict:
    """same_engine: model, adapter, memories and prompt are those of the record (one fingerprint).

    same_answer: word for word, of an answer that was stopped as far as it went. same_reads: the same memories
    in every stretch, with the same attention; largest_difference: of any attention, None where the memories
    differ. reasons: in words, what differs.
    """

    ok: bool
    same_engine: bool
    same_answer: bool
    same_reads: bool
    largest_difference: float | None
    documents: tuple[CheckedDocument, ...]
    reasons: tuple[str, ...]


def verify(service: Service, record: Record) -> Verdict:
    """Ask again and compare. Raises AttestError if the question cannot be asked."""
    documents = tuple(
        CheckedDocument(
            each.document_id, each.name, each.sha256, _standing(service, each.document_id, each.sha256)
        )
        for each in record.documents
    )
    answer = _asked_again(service, record)
    same_engine = answer.engine.fingerprint == record.answer.engine.fingerprint
    said, recorded = answer.answer, record.answer.answer
    same_answer = said.startswith(recorded) if record.stopped else said == recorded
    difference = largest_difference(record.answer.reads, answer.reads, whole=not record.stopped)
    same_reads = difference is not None and difference <= TOLERANCE
    reasons = []
    if not same_engine:
        reasons.append(f"it was answered by {_named(record.answer)}, now by {_named(answer)}")
    elif answer.engine.backend != record.answer.engine.backend:
        reasons.append(f"it was answered on {record.answer.engine.backend}, now on {answer.engine.backend}")
    if not same_answer:
        reasons.append("the words of the answer differ")
    if difference is None:
        reasons.append("other memories were read")
    elif not same_reads:
        reasons.append(f"attention differs by up to {difference:.4f}")
    reasons += [f"{each.name}: {_IN_WORDS[each.standing]}" for each in documents if each.standing != "same"]
    if record.deleted:
        reasons.append(f"{record.deleted} of its sources had been deleted when the report was made")
    hashes = all(each.standing == "same" for each in documents)
    ok = same_engine and same_answer and same_reads and hashes and not record.deleted
    return Verdict(ok, same_engine, same_answer, same_reads, difference, documents, tuple(reasons))


_IN_WORDS: dict[Standing, str] = {
    "same": "its hash is the recorded one",
    "changed": "the file in the store has another hash",
    "missing": "it is not in the store",
}


def _named(answer: Answer) -> str:
    return f"{answer.engine.model} (fingerprint {answer.engine.fingerprint})"


def _asked_again(service: Service, record: Record) -> Answer:
    asked = record.answer.documents
    with for_people():
        left = None if asked is None else list(service.store.documents.of_ids(asked))
    for event in service.ask(
        record.question,
        record.collection,
        mode=record.mode,
        history=record.history,
        max_tokens=record.max_tokens,
        documents=left,
        unwritten=record.answer.unwritten,
    ):
        if isinstance(event, DoneEvent):
            return event.answer
    raise AttestError("the answer was stopped")


def _standing(service: Service, document_id: str, sha256: str) -> Standing:
    try:
        path = service.original(document_id).path
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (DocumentGone, FileNotFoundError):
        return "missing"
    return "same" if found == sha256 else "changed"


def largest_difference(
    recorded: list[StretchRead], now: list[StretchRead], *, whole: bool = True
) -> float | None:
    """Between attentions of the same memories in the same stretches; None if those are not the same.

    whole: both must end at the same token; else the recorded one may break off in its last stretch, which
        is then compared by its memories only.
    """
    if (len(recorded) != len(now)) if whole else (len(recorded) > len(now)):
        return None
    largest = 0.0
    for one, other in zip(recorded, now, strict=False):
        masses = [{_key(memory): memory.attention for memory in read.memories} for read in (one, other)]
        if masses[0].keys() != masses[1].keys() or one.from_token != other.from_token:
            return None
        if one.to_token != other.to_token:
            if whole:
                return None
            continue
        largest = max([largest, *(abs(mass - masses[1][key]) for key, mass in masses[0].items())])
        for part in ("question", "answer", "prefix"):
            largest = max(largest, abs(getattr(one.other, part) - getattr(other.other, part)))
    return largest


def _key(memory: MemoryRead) -> tuple[str, int, int, int]:
    return memory.document_id, memory.page, memory.start, memory.end
