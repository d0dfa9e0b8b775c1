"""A question becomes a cited answer: retrieve, read memories, stream, attribute.

The first query is the question itself (with the turn before it when it is a follow-up); every 64 generated
tokens the last 64 ask again. Citations come from recorded reads, never from what the model wrote.
"""

import copy
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from app.answering.abstaining import ABSTENTION, Calibration, declined
from app.answering.answer import (
    Answer,
    AnswerEvent,
    DoneEvent,
    EngineDescription,
    Mode,
    QueuedEvent,
    ReadEvent,
    StretchRead,
    Timings,
    TokenEvent,
    TrimmedEvent,
)
from app.answering.memories import MemorySource
from app.answering.recalling import CANDIDATES, ordered, usable
from app.errors import AttestError, MemoryRefused
from app.evidence.attribution import citations, nearest_passages, sentence_marks, stretch_read
from app.evidence.needing import as_read, with_needed
from app.evidence.supported import cited_texts, claims
from app.profiles import profile
from engine.format import CHUNK_TOKENS, MEMORIES_PER_CHUNK
from engine.protocol import (
    Chunk,
    Embedder,
    Engine,
    GenerateOptions,
    KeyedMemory,
    MemoriesFor,
    Message,
    Queued,
    Read,
    Score,
    Token,
    Trimmed,
)
from ingest.bank import MemoryBank
from storage.records import Hit, ReferenceRow
from storage.search import Search
from storage.store import Store

REPETITION_PENALTY = 1.1  # a small model left to greedy decoding repeats itself


@dataclass(frozen=True)
class Found:
    """A retrieved reference with its fused score."""

    row: ReferenceRow
    hit: Hit


@dataclass
class Trace:
    """What one answer used, gathered while it runs. question: its vector. Times in seconds.

    documents: those that are searched; None for all of the collection. unwritten: ids of candidates that the
    search alone places.
    """

    documents: Sequence[str] | None = None
    unwritten: set[int] = field(default_factory=set)
    question: npt.NDArray[np.float32] | None = None
    found: dict[int, Found] = field(default_factory=dict)
    reads: list[Read] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    retrieve: float = 0.0
    load: float = 0.0


class Asker:
    """Answers questions about one store with one engine. Safe to share between threads.

    embedder: called for the first question that needs the documents. recalling: whether the model itself
    orders what the search finds for a question (`app.answering.recalling`).
    """

    def __init__(
        self, store: Store, engine: Engine, embedder: Callable[[], Embedder], *, recalling: bool = True
    ) -> None:
        fingerprint = engine.fingerprint
        self._recalling = recalling
        self._store, self._engine, self._load_embedder = store, engine, embedder
        self._fingerprint = fingerprint.id
        self._lock = threading.Lock()
        self._embedder: Embedder | None = None
        self._calibration: Calibration | None = None
        self.memories = MemorySource(MemoryBank(store, fingerprint), engine)

    def seeing(self, store: Store) -> Self:
        """The same, answering from what `store` shows."""
        other = copy.copy(self)
        other._store = store
        return other

    def ask(
        self,
        question: str,
        collection: str,
        *,
        mode: Mode = "memory",
        history: Sequence[tuple[str, str]] = (),
        max_tokens: int = 128,
        stop: threading.Event | None = None,
        client: str = "",
        evidence: bool = False,
        documents: Sequence[str] | None = None,
        unwritten: Collection[int] = (),
    ) -> Iterator[AnswerEvent]:
        """Stream an answer. Raises the rooms' errors, and MemoryRefused before anything else if the model
        cannot read memories in mode "memory"; an answer that is not supported abstains instead.

        client: who asks; clients take turns. evidence: measure what the answer needed as well.
        documents: those of the collection that are searched, None for all. unwritten: ids of
        references whose memories are not to be looked at for the order, as when the answer was first given.
        """
        if mode == "memory" and (refusal := self._engine.info.refusal) is not None:
            raise MemoryRefused(refusal)
        if mode != "none":
            self._retrieving()  # loaded before the clock starts
        started = time.perf_counter()
        trace = Trace(documents, set(unwritten))
        asked = None if documents is None else list(documents)
        query = f"{history[-1][0]}\n{question}" if history else question
        found = [] if mode == "none" else self._search(query, collection, trace, self._candidates)
        description = self._describe(mode)
        if mode != "none" and self._declines(query, found, collection, asked):
            passages = nearest_passages(self._store, [each.row for each in found[:MEMORIES_PER_CHUNK]])
            timings = Timings(trace.retrieve * 1e3, 0.0, (time.perf_counter() - started) * 1e3, 0.0, 0)
            yield TokenEvent(ABSTENTION)
            yield DoneEvent(Answer(ABSTENTION, True, passages, [], timings, description, [], documents=asked))
            return
        first = self._chosen(query, collection, found, trace)
        messages = self._messages(question, history, collection, first if mode == "text" else [])
        memories_for = self._memories_for(question, collection, first, trace) if mode == "memory" else None
        options = GenerateOptions(
            max_tokens, REPETITION_PENALTY, stop=stop or threading.Event(), client=client
        )
        first_token = last_token = 0.0
        reads: list[StretchRead] = []
        for event in self._engine.generate(messages, memories_for, options):
            if isinstance(event, Queued):
                yield QueuedEvent(event.ahead)
            elif isinstance(event, Trimmed):
                yield TrimmedEvent(event.messages)
            elif isinstance(event, Token):
                last_token = time.perf_counter()
                first_token = first_token or last_token
                trace.pieces.append(event.text)
                if event.text:
                    yield TokenEvent(event.text)
            elif isinstance(event, Read):
                trace.reads.append(event)
                reads.append(stretch_read(event, trace.found, trace.pieces))
                yield ReadEvent(reads[-1])
        count = len(trace.pieces)
        timings = Timings(
            retrieve=trace.retrieve * 1e3,
            load=trace.load * 1e3,
            first_token=((first_token or time.perf_counter()) - started) * 1e3,
            decode_tokens_per_second=(count - 1) / (last_token - first_token) if count > 1 else 0.0,
            tokens=count,
        )
        text = "".join(trace.pieces)
        abstained = text.strip().startswith(ABSTENTION)  # as an adapted model has learnt to
        if mode == "memory" and not abstained:
            cited = citations(self._store, reads, trace.found)
        else:
            cited = nearest_passages(self._store, [found.row for found in first] if mode != "none" else [])
        marks = [] if abstained else sentence_marks(text, trace.pieces, trace.reads, trace.found, cited)
        stated = []
        if cited and not abstained:
            rows = [found.row for found in trace.found.values()]
            stated = claims(text.strip(), cited_texts(cited, rows), broken_off=count >= max_tokens)
        left = sorted(trace.unwritten)
        answer = Answer(
            text.strip(), abstained, cited, reads, timings, description, marks, stated, asked, left
        )
        yield DoneEvent(self.needed(question, collection, answer, history=history) if evidence else answer)

    def needed(
        self, question: str, collection: str, answer: Answer, *, history: Sequence[tuple[str, str]] = ()
    ) -> Answer:
        """The same answer with `needed` filled in; as it is if it read no memories.

        Raises AttestError if another model, adapter or format gave it.
        """
        if not answer.reads:
            return answer
        if answer.engine.fingerprint != self._fingerprint:
            raise AttestError(
                f"this answer was given by {answer.engine.model} as it was then; ask again to measure what "
                f"{self._engine.info.model} answers"
            )

        def memories(ids: Sequence[int]) -> list[KeyedMemory]:
            return self.memories.get(self._store.references.get(ids))

        short = len(self._engine.tokenize(question).ids) <= CHUNK_TOKENS
        prompt = None if short else self._memories_for(question, collection, [], Trace(answer.documents))
        messages = self._messages(question, history, collection, [])
        return with_needed(self._engine, messages, as_read(answer.reads, memories, prompt), answer)

    def score(self, question: str, answer: str, collection: str, *, mode: Mode = "memory") -> Score:
        """What the model thinks of a known answer, given what `ask` would give it. Nothing is declined."""
        trace = Trace()
        found = [] if mode == "none" else self._search(question, collection, trace, self._candidates)
        first = self._chosen(question, collection, found, trace)
        messages = self._messages(question, (), collection, first if mode == "text" else [])
        memories_for = self._memories_for(question, collection, first, trace) if mode == "memory" else None
        return self._engine.score(messages, answer, memories_for)

    def write_ahead(self, question: str, collection: str) -> None:
        """Write the memories that `question` may bring up and that are missing."""
        self.memories.get(
            [each.row for each in self._search(question, collection, Trace(), self._candidates)]
        )

    def _retrieving(self) -> tuple[Embedder, Search]:
        with self._lock:
            if self._embedder is None:
                self._embedder = self._load_embedder()
                self._calibration = Calibration.of(self._embedder.name)
            return self._embedder, self._store.search(self._embedder.name, self._embedder.dimension)

    def _declines(
        self, query: str, found: list[Found], collection: str, documents: Sequence[str] | None
    ) -> bool:
        """By what the search itself put first, which the calibration knows."""
        count = self._store.documents.count(collection) if documents is None else len(documents)
        return declined(query, found[:MEMORIES_PER_CHUNK], count, self._calibration)

    @property
    def _candidates(self) -> int:
        """How many the search gives for a question."""
        return CANDIDATES if self._recalling and usable(self._engine) else MEMORIES_PER_CHUNK

    def _chosen(self, question: str, collection: str, found: list[Found], trace: Trace) -> list[Found]:
        """What the question itself reads of what the search found."""
        if len(found) > MEMORIES_PER_CHUNK:
            started = time.perf_counter()
            rows, scores = [each.row for each in found], [each.hit.score for each in found]
            messages = self._messages(question, (), collection, [])
            keyed = self.memories.written([row for row in rows if row.id not in trace.unwritten])
            trace.unwritten |= {row.id for row in rows} - {each.key for each in keyed}
            order = ordered(self._engine, keyed, messages, rows, scores)
            found = [found[i] for i in order[:MEMORIES_PER_CHUNK]]
            trace.retrieve += time.perf_counter() - started
        trace.found = {each.row.id: each for each in found}
        return found

    def _retrieve(self, query: str, collection: str, trace: Trace) -> list[Found]:
        """What a stretch of the answer reads: the search alone, since the model is busy with the answer."""
        found = self._search(query, collection, trace, MEMORIES_PER_CHUNK)
        trace.found = {each.row.id: each for each in found} | trace.found  # the question's verdict stays
        return found

    def _search(self, query: str, collection: str, trace: Trace, count: int) -> list[Found]:
        embedder, search = self._retrieving()
        started = time.perf_counter()
        vector = embedder.embed([query])[0]
        if trace.question is None:
            trace.question = vector
        # what the answer's own words bring up is still judged by the question, or it would always win
        hits = search.hybrid(
            query, vector, collection, document_ids=trace.documents, cosine_to=trace.question, k=count
        )
        rows = {row.id: row for row in self._store.references.get([hit.reference_id for hit in hits])}
        found = [Found(rows[hit.reference_id], hit) for hit in hits if hit.reference_id in rows]
        trace.retrieve += time.perf_counter() - started
        return found

    def _memories_for(self, question: str, collection: str, first: list[Found], trace: Trace) -> MemoriesFor:
        short = len(self._engine.tokenize(question).ids) <= CHUNK_TOKENS

        def memories_for(chunk: Chunk) -> list[KeyedMemory]:
            if chunk.part == "prompt" and short:
                found = first
            else:
                found = self._retrieve(chunk.text, collection, trace) if chunk.text.strip() else first
            started = time.perf_counter()
            memories = self.memories.get([each.row for each in found])
            trace.load += time.perf_counter() - started
            return memories

        return memories_for

    def _messages(
        self, question: str, history: Sequence[tuple[str, str]], collection: str, passages: Sequence[Found]
    ) -> list[Message]:
        name = self._store.collections.profiles().get(collection, "general")  # there need not be one
        messages = [Message("system", profile(name).system)]
        for asked, answered in history:
            messages += [Message("user", asked), Message("assistant", answered)]
        references = "".join(
            passage_text(found.row.document_name, found.row.heading_path, found.row.text)
            for found in passages
        )
        return [*messages, Message("user", references + question)]

    def _describe(self, mode: Mode) -> EngineDescription:
        info = self._engine.info
        return EngineDescription(
            info.backend,
            info.model,
            info.adapter,
            info.quantisation,
            self._fingerprint,
            mode,
            self._engine.format.to_json(),
            info.heads,
        )


def passage_text(name: str, heading_path: Sequence[str], text: str) -> str:
    """A reference as it stands in a prompt that re-reads it."""
    return f"{' > '.join((name, *heading_path))}\n{text}\n\n"
