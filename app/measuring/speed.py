"""`attest bench speed`: the same questions and the same references, read as memories, as text, or not at all.

Sides take turns within one run: memories that were never written (cold), that lie on disk, that lie ready in
the engine (resident), the same references as text in the prompt, and no documents. Another set of five
references is read every 64 tokens. `paper` is the protocol of Memory^3's table of throughput: 128 tokens in,
128 out, five unique references for every 64 tokens, nothing cached, one answer and eight at once.
"""

import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from app.answering.asking import passage_text
from app.answering.memories import MemorySource
from app.errors import AttestError
from app.measuring.bench import SAMPLE
from app.service import Service
from app.settings import Settings
from engine.fake import FakeEngine
from engine.format import CHUNK_TOKENS, MEMORIES_PER_CHUNK
from engine.llama.engine import LlamaEngine
from engine.opening import Backend, open_engine
from engine.protocol import Chunk, Engine, GenerateOptions, KeyedMemory, MemoriesFor, Message, Token
from engine.torch_engine import TorchEngine
from ingest.bank import MemoryBank
from ingest.pipeline import Pipeline
from storage.records import ReferenceRow
from storage.store import Store

SYSTEM = "Answer the question from the reference documents, precisely and briefly."
QUESTIONS = (
    "How should injections be prepared and given safely?",
    "When is hand hygiene to be performed?",
    "What must be done with needles and syringes after use?",
    "Which vaccines should health care personnel have?",
    "How are reusable medical devices cleaned?",
    "Who is responsible for infection prevention?",
    "What does respiratory hygiene require of patients?",
    "When should gloves and gowns be worn?",
)
SIDES = ("memory_cold", "memory_disk", "memory_resident", "text", "none")
ROUNDS = 2
ANSWER_TOKENS = 128
PAPER_TOKENS = 128
PAPER_BATCHES = (1, 8)
AT_ONCE = 4


@dataclass
class Side:
    """What each question took on one side: ms to the first token, tokens per second of decoding."""

    first: list[float] = field(default_factory=list)
    speed: list[float] = field(default_factory=list)
    prompt: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)

    def add(self, first: float, tokens: int, seconds: float) -> None:
        self.first.append(first * 1e3)
        self.speed.append(tokens / seconds)

    def to_json(self) -> dict[str, float]:
        return {
            "first_token_ms": round(statistics.median(self.first), 1),
            "decode_tokens_per_second": round(statistics.median(self.speed), 2),
            "prompt_tokens": round(statistics.mean(self.prompt)),
            "memory_bytes_moved": round(statistics.mean(self.moved)),
        }


def bench_speed(settings: Settings, backend: Backend = "auto") -> dict[str, Any]:
    """See docs/interface.md. Raises AttestError."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(
            settings.model,
            backend=backend,
            device=settings.device,
            quantisation=settings.quantisation,
            memory_format=settings.memory_format,
            adapter=settings.adapter,
            cache=settings.model_cache,
        )
        with Service(Settings(home=Path(folder), model="fake"), shared=False) as service:
            rows = _references(service, engine)
            bench = _Bench(service.store, engine, rows)
            sides = bench.sides()
            at_once = bench.at_once()
            paper = {str(batch): bench.paper(batch) for batch in PAPER_BATCHES}
    first = {name: statistics.median(side.first) for name, side in sides.items()}
    speed = {name: statistics.median(side.speed) for name, side in sides.items()}
    stock = _stock_torch(settings, engine)
    return {
        "backend": engine.info.backend,
        "model": engine.info.model,
        "quantisation": engine.info.quantisation,
        "device_reason": engine.info.device_reason,
        "format": engine.format.to_json(),
        "reference_tokens": round(statistics.mean(len(row.token_ids) for row in rows), 1),
        "sides": {name: side.to_json() for name, side in sides.items()},
        "stock_torch_decode_tokens_per_second": round(stock, 2),
        "ratios": {
            "first_token_text_over_memory_disk": round(first["text"] / first["memory_disk"], 2),
            "first_token_text_over_memory_resident": round(first["text"] / first["memory_resident"], 2),
            "first_token_text_over_memory_cold": round(first["text"] / first["memory_cold"], 2),
            "decode_memory_over_none": round(_over(sides["memory_disk"], sides["none"]), 3),
            "decode_resident_over_none": round(_over(sides["memory_resident"], sides["none"]), 3),
            "decode_memory_over_stock_torch": round(speed["memory_disk"] / stock, 2),
        },
        "four_at_once_over_one_by_one": at_once,
        "paper": {
            "batches": paper,
            "throughput_eight_over_one": round(paper["8"]["memory"] / paper["1"]["memory"], 2),
        },
    }


def _over(side: Side, other: Side) -> float:
    """How much faster one side decodes, the median over questions: the two take turns, so that a machine that
    slows down half way slows down both.
    """
    return statistics.median(ours / theirs for ours, theirs in zip(side.speed, other.speed, strict=True))


def _references(service: Service, engine: Engine) -> list[ReferenceRow]:
    """The longest references of a sample document: as near to 128 tokens as real passages come."""
    document = Path(str(resources.files("assets").joinpath(*SAMPLE)))
    service.add_documents([document], "bench", "general", memories=False)
    _, embedder = service.models()
    reader = Pipeline(service.store, _Tokenizing(engine), embedder, "bench")
    while job := service.store.jobs.claim("bench"):
        reader.run(job)
    row = service.store.documents.list()[0]
    rows = service.store.references.get(service.store.references.of_document(row.id))
    longest = sorted(rows, key=lambda each: -len(each.token_ids))
    wanted = PAPER_BATCHES[-1] * MEMORIES_PER_CHUNK * 2 * PAPER_TOKENS // CHUNK_TOKENS
    if len(longest) < wanted:
        raise AttestError(f"the sample gave {len(longest)} references; {wanted} are needed")
    return longest[:wanted]


class _Tokenizing(FakeEngine):
    """Cuts references by the real engine's tokens; writes nothing."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.tokenize = engine.tokenize  # type: ignore[method-assign]


class _Bench:
    def __init__(self, store: Store, engine: Engine, rows: list[ReferenceRow]) -> None:
        self.engine, self.rows = engine, rows
        self.bank = MemoryBank(store, engine.fingerprint)
        self.source = MemorySource(self.bank, engine)
        self.source.get(rows[:1])  # load what writes
        _take(engine, "Warm up.", None, 4)

    def sides(self) -> dict[str, Side]:
        sides = {name: Side() for name in SIDES}
        for number, question in [*enumerate(QUESTIONS)] * ROUNDS:
            first = number * 3 * MEMORIES_PER_CHUNK
            rows = self.rows[first : first + 3 * MEMORIES_PER_CHUNK]  # a set a stretch
            # none goes first and last in turn, so that a machine that grows slower favours nobody
            for name in SIDES if number % 2 else (*SIDES[-1:], *SIDES[:-1]):
                self._prepare(name, rows)
                moved = self._moved()
                prompt = _passages(rows[:MEMORIES_PER_CHUNK]) + question if name == "text" else question
                memories_for = self._memories_for(rows) if name.startswith("memory") else None
                sides[name].add(*_take(self.engine, prompt, memories_for, ANSWER_TOKENS))
                sides[name].prompt.append(len(self.engine.tokenize(SYSTEM + prompt).ids))
                sides[name].moved.append(self._moved() - moved)
        return sides

    def _prepare(self, name: str, rows: list[ReferenceRow]) -> None:
        if name == "memory_cold":
            self.bank.stored.discard([row.id for row in rows])
        if name != "memory_resident":
            self.source.forget()
            if isinstance(self.engine, LlamaEngine):
                self.engine.forget_residents()

    def _moved(self) -> int:
        return self.engine.bytes_moved if isinstance(self.engine, LlamaEngine) else 0

    def _memories_for(self, rows: list[ReferenceRow]) -> MemoriesFor:
        def memories_for(chunk: Chunk) -> list[KeyedMemory]:
            stretch = 0 if chunk.part == "prompt" else chunk.index
            first = stretch % 3 * MEMORIES_PER_CHUNK
            return self.source.get(rows[first : first + MEMORIES_PER_CHUNK])

        return memories_for

    def at_once(self) -> dict[str, float]:
        """Throughput of four answers at once over that of the same four one after the other."""
        ratios = {}
        for side in ("none", "memory"):
            jobs = []
            for number, question in enumerate(QUESTIONS[:AT_ONCE]):
                first = number * 3 * MEMORIES_PER_CHUNK
                rows = self.rows[first : first + 3 * MEMORIES_PER_CHUNK]
                jobs.append((question, self._memories_for(rows) if side == "memory" else None))
            seconds = []
            for together in (False, True):
                self._prepare(f"{side}_disk", [])
                seconds.append(_run(self.engine, jobs, ANSWER_TOKENS, together=together))
            ratios[side] = round(seconds[0] / seconds[1], 2)
        return ratios

    def paper(self, batch: int) -> dict[str, float]:
        """Tokens per second of `batch` answers at once, with memories and without."""
        self.source.get(self.rows)  # written, so that reading is what is measured
        per_answer = len(self.rows) // PAPER_BATCHES[-1]
        found: dict[str, float] = {}
        for side in ("none", "memory"):
            self.source.forget()
            if isinstance(self.engine, LlamaEngine):
                self.engine.forget_residents()
            jobs = []
            for number in range(batch):
                rows = self.rows[number * per_answer : (number + 1) * per_answer]
                memories_for = _unique(self.source, rows) if side == "memory" else None
                jobs.append((_text(self.engine, rows), memories_for))
            seconds = _run(self.engine, jobs, PAPER_TOKENS, together=True)
            found[side] = round(batch * PAPER_TOKENS / seconds, 2)
        return {**found, "memory_over_none": round(found["memory"] / found["none"], 3)}


def _run(
    engine: Engine, jobs: Sequence[tuple[str, MemoriesFor | None]], tokens: int, *, together: bool
) -> float:
    """Seconds for all answers."""
    started = time.perf_counter()
    threads = [
        threading.Thread(target=_take, args=(engine, prompt, memories_for, tokens))
        for prompt, memories_for in jobs
    ]
    for thread in threads:
        thread.start()
        if not together:
            thread.join()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def _unique(source: MemorySource, rows: Sequence[ReferenceRow]) -> MemoriesFor:
    left = list(rows)

    def memories_for(chunk: Chunk) -> list[KeyedMemory]:
        taken = [left.pop() for _ in range(min(MEMORIES_PER_CHUNK, len(left)))]
        return source.get(taken)

    return memories_for


def _text(engine: Engine, rows: Sequence[ReferenceRow]) -> str:
    """About `PAPER_TOKENS` tokens of prompt, the template's included."""
    text = rows[0].text
    while len(engine.tokenize(SYSTEM + text).ids) > PAPER_TOKENS - 12:
        text = text[: -len(text) // 8 or -1]
    return text


def _passages(rows: Sequence[ReferenceRow]) -> str:
    return "".join(passage_text(row.document_name, row.heading_path, row.text) for row in rows)


def _take(
    engine: Engine, question: str, memories_for: MemoriesFor | None, tokens: int
) -> tuple[float, int, float]:
    """Seconds to the first token; tokens after it, and the seconds that they took."""
    started = time.perf_counter()
    first = last = 0.0
    count = 0
    messages = [Message("system", SYSTEM), Message("user", question)]
    stream = engine.generate(messages, memories_for, GenerateOptions(tokens, min_tokens=tokens))
    for event in stream:
        if isinstance(event, Token):
            last = time.perf_counter()
            first = first or last
            count += 1
            if count == tokens:  # evidence comes after the answer; it is not what is measured here
                break
    stream.close()  # type: ignore[attr-defined]  # it is a generator
    return first - started, count - 1, last - first


def _stock_torch(settings: Settings, engine: Engine) -> float:
    """Tokens per second of transformers' own `generate` on the same weights."""
    from engine import loading

    torch_engine = engine
    if not isinstance(engine, TorchEngine):
        loaded = loading.load(settings.model, device="cpu", cache=settings.model_cache)
        torch_engine = TorchEngine(loaded)
    assert isinstance(torch_engine, TorchEngine)
    transformer = torch_engine.transformer
    ids = torch.tensor([torch_engine.tokenize(f"{SYSTEM} {QUESTIONS[0]}").ids], device=transformer.device)
    times = []
    for tokens in (1, ANSWER_TOKENS + 1):
        started = time.perf_counter()
        with torch.inference_mode():
            transformer.model.generate(
                ids, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, use_cache=True
            )
        times.append(time.perf_counter() - started)
    return ANSWER_TOKENS / (times[1] - times[0])
