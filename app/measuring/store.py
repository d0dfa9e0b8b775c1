"""`attest bench store`: what each codec costs in bytes, in answers and in loading.

The contexts of `assets/eval` are cut into the references of a temporary store. Each of 200 questions with a
known answer reads five of them: those that hold the answer (two at most), others of its document, then of
other documents, drawn by the seed. The model writes each memory once, in fp16; the same numbers go into a
bank for each codec, and the pq bank is compressed as `attest memories compress` does it, its codebook trained
from its own memories. Every answer is teacher-forced in torch with what is read back from each bank.

Loading takes five memories, picked at random, to tensors that attention could read: rows, mapped file,
checksum where it is the first read, decoding, number format of the model. From disk: files were flushed when
they were written, are closed and evicted from the page cache (POSIX_FADV_DONTNEED), so the first read of each
page waits for the drive; what the drive itself caches stays. From RAM: the same five again, right afterwards.
"""

import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.errors import AttestError, for_people
from app.measuring.evaluating import sample
from app.measuring.open_book import Library
from app.measuring.questions import Question, read_contexts, read_questions
from app.measuring.search import measure_search
from app.profiles import profile
from app.settings import Settings
from engine import loading
from engine.adapter import chosen
from engine.codec import decode, encode, key_value_codecs
from engine.fake import FakeEmbedder
from engine.format import MEMORIES_PER_CHUNK, Codec
from engine.memory import ExplicitMemory
from engine.protocol import Chunk, KeyedMemory, Message
from engine.torch_engine import TorchEngine, format_of
from ingest.bank import STEP, MemoryBank
from storage import files
from storage.records import ReferenceRow
from storage.store import Store

CODECS: tuple[Codec, ...] = ("fp16", "int8", "int4", "int4-channel", "pq")
QUESTIONS = 200
SEARCHED = (10_000, 100_000, 1_000_000)  # references
LOADS = 60
RIGHT = 2  # references of an answer that spans more are left to chance

Report = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """A question and the five references that it reads, in the order of reading."""

    question: Question
    reads: tuple[int, ...]


def bench_store(
    settings: Settings,
    report: Report,
    *,
    questions: int = QUESTIONS,
    seed: int = 0,
    data: Path | None = None,
    searched: Sequence[int] = SEARCHED,
) -> dict[str, Any]:
    """See docs/interface.md. data: a folder with `questions.jsonl` and `contexts.jsonl`, in place of
    `assets/eval`. searched: how many made-up references search is measured over. Raises AttestError.
    """
    with for_people():
        loaded = loading.load(
            settings.model,
            device=settings.device,
            quantisation=settings.quantisation,
            adapter=chosen(settings.adapter, settings.model),
            cache=settings.model_cache,
        )
    own = format_of(settings.memory_format, loaded.transformer.layers, loaded.adapter)
    engines = {codec: TorchEngine(loaded, replace(own, codec=codec)) for codec in CODECS}
    data = data or Path(str(resources.files("assets") / "eval"))
    contexts = read_contexts(data / "contexts.jsonl")
    answerable = [each for each in read_questions(data / "questions.jsonl") if each.answers]
    with (
        for_people(),
        tempfile.TemporaryDirectory(prefix="attest-bench-") as home,
        Store.open(Path(home)) as store,
    ):
        library = Library(store, engines["fp16"], FakeEmbedder(), contexts.values(), report)
        asked = _asked(store, library, answerable, questions, seed)
        banks = {codec: MemoryBank(store, engines[codec].fingerprint) for codec in CODECS}
        _fill(store, engines["fp16"], banks, sorted({key for each in asked for key in each.reads}), report)
        trained = _compressed(banks["pq"], report)
        nll = {codec: _nll(engines[codec], banks[codec], asked, report) for codec in CODECS}
        loads = _loads(store, banks, loaded.transformer.dtype, seed)
        sizes = {bank.fingerprint_id: bank.bytes / bank.memories for bank in store.banks.status()}
        per_reference = {codec: sizes[banks[codec].fingerprint_id] for codec in CODECS}
        codebook = files.size(store.codebooks.path(banks["pq"].fingerprint_id))
    base = np.array(nll["fp16"])
    codecs = {}
    for codec in CODECS:
        apart = (np.array(nll[codec]) - base) / base.mean()
        codecs[codec] = {
            "bytes_per_reference": round(per_reference[codec]),
            "fp16_over_bytes": round(per_reference["fp16"] / per_reference[codec], 2),
            "answer_nll": round(float(np.mean(nll[codec])), 4),
            "answer_nll_delta": round(float(apart.mean()), 5),
            "answer_nll_delta_standard_error": round(float(apart.std() / len(apart) ** 0.5), 5),
            **loads[codec],
        }
    info = engines["fp16"].info
    report(f"searching {max(searched)} references")
    return {
        "model": info.model,
        "adapter": info.adapter,
        "format": {**own.to_json(), "codec": None},
        "questions": len(asked),
        "codecs": codecs,
        "codebook": {"bytes": codebook, "seconds": round(trained, 1)},
        "search": measure_search(searched),
    }


def _asked(
    store: Store, library: Library, questions: Sequence[Question], count: int, seed: int
) -> list[Asked]:
    """A sample of the questions that some reference answers."""
    ids = {row.id: store.references.of_document(row.id) for row in store.documents.list(limit=1_000_000)}
    of = {row.id: row for keys in ids.values() for row in store.references.get(keys)}
    generator = random.Random(seed)
    found = []
    for question in sample(questions, min(len(questions), count * 5 // 4), seed):
        document = library.document_id(question)
        mine = ids[document]
        right = [key for key in mine if _holds(library, question, of[key])][:RIGHT]
        if not right:
            continue
        near = [key for key in mine if key not in right]
        far = [key for key in of if of[key].document_id != document]
        reads = [
            *right,
            *generator.sample(near, min(len(near), 2)),
            *generator.sample(far, MEMORIES_PER_CHUNK),
        ]
        reads = reads[:MEMORIES_PER_CHUNK]
        generator.shuffle(reads)
        found.append(Asked(question, tuple(reads)))
    if not found:
        raise AttestError("no question of assets/eval has its answer among the references")
    return found[:count]


def _holds(library: Library, question: Question, row: ReferenceRow) -> bool:
    evidence = library.evidence(question, [row])
    return evidence is not None and evidence[1]


def _fill(
    store: Store, engine: TorchEngine, banks: dict[Codec, MemoryBank], keys: Sequence[int], report: Report
) -> None:
    """Write each memory once, in fp16, and keep it in every bank."""
    for first in range(0, len(keys), STEP):
        rows = store.references.get(keys[first : first + STEP])
        written = engine.write([row.token_ids.tolist() for row in rows])
        for codec, bank in banks.items():
            bank.write([(row.id, _as(codec, memory)) for row, memory in zip(rows, written, strict=True)])
        report(f"wrote {min(first + STEP, len(keys))} of {len(keys)} memories")


def _as(codec: Codec, memory: ExplicitMemory) -> ExplicitMemory:
    if codec == "fp16":
        return memory
    of_keys, of_values = key_value_codecs(codec)
    keys, key_scales = encode(torch.from_numpy(memory.keys), of_keys)
    values, value_scales = encode(torch.from_numpy(memory.values), of_values)
    return replace(memory, keys=keys, values=values, key_scales=key_scales, value_scales=value_scales)


def _compressed(bank: MemoryBank, report: Report) -> float:
    """Seconds that it took."""
    started = time.perf_counter()
    try:
        bank.compress(lambda done, total: report(f"coded {done} of {total} memories"))
    except ValueError as error:
        raise AttestError(f"this memory format is too sparse for a codebook here: {error}") from None
    return time.perf_counter() - started


def _nll(engine: TorchEngine, bank: MemoryBank, asked: Sequence[Asked], report: Report) -> list[float]:
    """Of each question, nats per token of its first right answer."""
    found = []
    for number, each in enumerate(asked, 1):
        read = bank.read(each.reads)
        memories = [KeyedMemory(key, read[key]) for key in each.reads]

        def memories_for(chunk: Chunk, memories: list[KeyedMemory] = memories) -> list[KeyedMemory]:
            return memories

        messages = [
            Message("system", profile("general").system),
            Message("user", each.question.text),
        ]
        answer = each.question.answers[0].text.strip()
        found.append(-float(engine.score(messages, answer, memories_for).log_probabilities.mean()))
        if number % 50 == 0 or number == len(asked):
            report(f"{engine.format.codec}: {number} of {len(asked)} answers")
    return found


def _loads(store: Store, banks: dict[Codec, MemoryBank], dtype: torch.dtype, seed: int) -> dict[Codec, Any]:
    """Codecs take turns, and each loads the same references."""
    generator = random.Random(seed)
    keys = banks["fp16"].stored.references()
    times: dict[Codec, tuple[list[float], list[float]]] = {codec: ([], []) for codec in banks}
    for _ in range(LOADS):
        five = generator.sample(keys, MEMORIES_PER_CHUNK)
        for codec, bank in banks.items():
            bank.stored.release()
            _evict(store.home / "bank" / bank.fingerprint_id)
            for side in times[codec]:
                started = time.perf_counter()
                _ready(bank, five, dtype)
                side.append((time.perf_counter() - started) * 1e3)
    return {
        codec: {
            name: _percentiles(side)
            for name, side in zip(("load_disk_ms", "load_ram_ms"), sides, strict=True)
        }
        for codec, sides in times.items()
    }


def _ready(bank: MemoryBank, keys: Sequence[int], dtype: torch.dtype) -> None:
    cpu = torch.device("cpu")
    for memory in bank.read(keys).values():
        decode(memory.keys, memory.key_scales, cpu, dtype)
        decode(memory.values, memory.value_scales, cpu, dtype)


def _evict(folder: Path) -> None:
    """Take a bank's files out of the page cache. Where the system cannot, they stay there."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in folder.iterdir():
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def _percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    p50, p95 = np.percentile(milliseconds, (50, 95)).round(2).tolist()
    return {"p50": p50, "p95": p95}
