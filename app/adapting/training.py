"""`attest adapt`: teach a model to read sparse memories of documents like the user's own.

The folder of data holds, for each profile, `<profile>_qa.jsonl` and `<profile>_contexts.jsonl`
(app.measuring.questions), and may hold `lm_text.jsonl` (contexts without questions); each may be gzipped. One
context of eight is held out of training, to be measured on.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from app.errors import AttestError
from app.measuring.questions import Context, read_contexts, read_questions
from app.profiles import PROFILES
from app.settings import Settings
from engine.format import MemoryFormat
from engine.registry import resolve

if TYPE_CHECKING:
    from app.adapting.lessons import Asked
    from engine.adapt.batch import Batch
    from engine.adapt.examining import Reads, Row
    from engine.adapt.training import Progress

EXAMS = 8  # held-out batches measured while training
KEPT = (8, 16, 32, 64, 128)  # tokens per head that an adapter is measured at
TEXT_FIRST = "text"  # folder, inside an adapter's, of what it learnt before memories
AFTER_TEXT = 1e-3  # highest learning rate of memories then


@dataclass(frozen=True)
class Material:
    """What a folder of data holds. hashes: SHA-256 of each file read."""

    asked: "list[Asked]"
    contexts: dict[str, Context]
    texts: list[Context]
    hashes: dict[str, str]


def read_material(folder: Path) -> Material:
    """Raises AttestError if the folder has no questions, or a file of it is damaged."""
    from app.adapting.lessons import Asked

    asked: list[Asked] = []
    contexts: dict[str, Context] = {}
    files: list[Path] = []
    for profile in PROFILES:
        pair = [_file(folder, f"{profile}_{part}.jsonl") for part in ("qa", "contexts")]
        if pair[0] is None or pair[1] is None:
            continue
        asked += [Asked(profile, question) for question in read_questions(pair[0])]
        contexts |= read_contexts(pair[1])
        files += [pair[0], pair[1]]
    if not asked:
        raise AttestError(
            f"{folder} holds no questions; it needs legal_qa.jsonl and legal_contexts.jsonl, or the same of "
            "medical or general"
        )
    texts: list[Context] = []
    if text := _file(folder, "lm_text.jsonl"):
        texts = [context for context in read_contexts(text).values() if not context.held_out]
        files.append(text)
    return Material(asked, contexts, texts, {file.name: _sha256(file) for file in files})


def train(
    settings: Settings,
    data: Path,
    folder: Path,
    *,
    steps: int,
    seed: int,
    reads: Literal["memory", "text"] = "memory",
    text_first: int = 0,
    start: Path | None = None,
    learning_rate: float | None = None,
    report: "Callable[[Progress], None]",
    stop: threading.Event | None = None,
) -> dict[str, Any]:
    """Train an adapter for the chosen model into `folder`, or go on with one that is there.

    reads: "text" trains the same adapter to read the same references in its prompt, to compare with.
    text_first: so many steps of reading text go before, into the folder `text` inside, and memories are
    learnt from there on. start: the folder of an adapter to go on from, with other lessons than its own.
    learning_rate: the highest; by default less where training goes on from an adapter: the usual one would
    first undo much of what was learnt.

    Returns what is kept as `attest.json` beside it, that of the text if `stop` was set before memories were
    begun. Raises AttestError.
    """
    if text_first:
        if reads == "text":
            raise AttestError("--text-first goes before memories; with --reads text give --steps alone")
        card = train(
            settings,
            data,
            folder / TEXT_FIRST,
            steps=text_first,
            seed=seed,
            reads="text",
            start=start,
            learning_rate=learning_rate,
            report=report,
            stop=stop,
        )
        if stop and stop.is_set():
            return card
        start, learning_rate = folder / TEXT_FIRST, learning_rate or AFTER_TEXT
    from app.adapting.lessons import Lessons
    from app.adapting.mix import AS_TEXT, EXAM, LEARNING, TEXT_EXAM
    from engine import loading
    from engine.adapt.training import Plan, Training
    from engine.adapter import Adapter
    from engine.torch_engine import TorchEngine

    material, earlier = read_material(data), None if start is None else Adapter.open(start)
    loaded = loading.load(settings.model, device=settings.device, cache=settings.model_cache)
    engine, layers = TorchEngine(loaded), loaded.transformer.layers
    end = int(loaded.transformer.tokenizer.eos_token_id)
    held = {key: context for key, context in material.contexts.items() if context.held_out}
    learnt = {key: context for key, context in material.contexts.items() if not context.held_out}
    arguments = (engine.tokenize, loaded.prompt_ids, end, material.asked)
    fmt = MemoryFormat(tuple(range(layers)), 64, "contribution_energy", codec="int4-channel")
    mix, exam, plan = LEARNING, EXAM, Plan(fmt, steps, seed)
    if reads == "text":
        mix, exam, plan = AS_TEXT, TEXT_EXAM, replace(plan, tokens_per_head=(32,))
    if earlier is not None:
        earlier.check(loaded.weights_hash)
        plan = replace(plan, start=earlier, learning_rate=plan.learning_rate / 3)
    if learning_rate is not None:
        plan = replace(plan, learning_rate=learning_rate)
    try:
        drawn = seed if earlier is None else f"{seed} after {earlier.hash}"
        lessons = Lessons(*arguments, learnt, material.texts, drawn, mix)
        held_out = Lessons(*arguments, held, [], seed, exam)
        exams = [held_out.batch(number) for number in range(EXAMS)]
        training = Training(loaded, plan, folder, lessons.batch, exams)
        reached = training.run(report, stop)
    except ValueError as error:
        raise AttestError(str(error)) from None
    card = {
        "base": loaded.weights_hash,
        "model": loaded.info.model,
        "format": fmt.to_json(),
        "trained": {"reads": reads, **asdict(reached), "plan": plan.to_json(), "data": material.hashes},
    }
    (folder / "attest.json").write_text(json.dumps(card, indent=2) + "\n")
    return card


def evaluate(
    settings: Settings,
    data: Path,
    folder: Path,
    *,
    batches: int,
    seed: int,
    ladder: bool = False,
    reads: "Sequence[Reads]" = (),
) -> "Iterator[Row]":
    """The adapter of `folder` on held-out questions, five references each, the right ones among them.

    reads: what is to be read, everything if it names nothing. ladder: then also with one thing changed at a
    time (engine.adapt.examining.rungs). Raises AttestError.
    """
    from app.adapting.lessons import Lessons
    from app.adapting.mix import EXAM
    from engine import loading
    from engine.adapt.examining import Reads, examine, rungs
    from engine.adapter import Adapter
    from engine.torch_engine import TorchEngine, default_format

    material, adapter = read_material(data), Adapter.open(folder)
    loaded = loading.load(settings.model, device=settings.device, cache=settings.model_cache)
    engine = TorchEngine(loaded)
    end = int(loaded.transformer.tokenizer.eos_token_id)
    held = {key: context for key, context in material.contexts.items() if context.held_out}

    def drawn(references: int) -> "list[Batch]":
        mix = replace(EXAM, references=references)
        lessons = Lessons(engine.tokenize, loaded.prompt_ids, end, material.asked, held, [], seed, mix)
        return [lessons.batch(number) for number in range(batches)]

    try:
        exams = drawn(EXAM.references)
    except ValueError as error:
        raise AttestError(str(error)) from None
    base = default_format(loaded.transformer.layers)
    changed = rungs(adapter.format, exams, drawn) if ladder else ()
    wanted = reads or get_args(Reads)
    yield from examine(loaded, folder, exams, base, adapter.format, KEPT, changed, wanted)


def average(out: Path, folders: Sequence[Path]) -> dict[str, Any]:
    """The mean of the adapters of `folders`, each of which went on from another, in `out`.

    Returns what is kept as `attest.json` beside it: what they have in common, and what each was trained for.
    Raises AttestError.
    """
    from engine.adapt import averaging
    from engine.adapter import OURS, Adapter

    if out.exists():
        raise AttestError(f"{out} exists already; name another place, or remove it")
    adapters = [Adapter.open(folder) for folder in folders]
    try:
        averaging.average(adapters, out)
    except ValueError as error:
        raise AttestError(str(error)) from None
    cards = [json.loads((adapter.folder / OURS).read_text(encoding="utf-8")) for adapter in adapters]
    parts = [
        {"adapter": each.hash, "trained": card.get("trained")}
        for each, card in zip(adapters, cards, strict=True)
    ]
    card = {**cards[0], "trained": {"mean of": parts}}
    (out / OURS).write_text(json.dumps(card, indent=2) + "\n")
    return card


def export(settings: Settings, folder: Path, out: Path, kind: Literal["merged", "gguf"]) -> None:
    """The adapter of `folder` for other programs: merged into its model, a safetensors folder, or by itself,
    a GGUF file for llama.cpp. Raises AttestError.
    """
    from engine import loading
    from engine.adapter import Adapter

    if out.exists():
        raise AttestError(f"{out} exists already; name another place, or remove it")
    adapter = Adapter.open(folder)
    if kind == "merged":
        loading.save_merged(settings.model, adapter, out, cache=settings.model_cache)
        return
    from engine.llama import lora
    from engine.llama.model import LlamaModel

    source = resolve(settings.model)
    if source.kind != "gguf" or source.path is None:
        raise AttestError(f"{source.name} is not a GGUF file; export the adapter merged")
    adapter.check(loading.file_hash(source.path))
    lora.write(out, LlamaModel(source.path), adapter)


def _file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
