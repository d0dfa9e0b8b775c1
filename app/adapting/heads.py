"""`attest adapt heads`: weigh an adapted model's attention heads by how well they tell what an answer needs.

Planted questions (app.adapting.planted) are answered from five memories; for each memory it is measured how
much of each head's attention fell on it, and what the answer loses without it. Weights are fitted on contexts
that adapters learn from, and examined on those that are held out.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from app.adapting.planted import Planted, draw
from app.adapting.training import read_material
from app.answering.asking import REPETITION_PENALTY
from app.errors import AttestError
from app.profiles import profile
from app.settings import Settings
from engine.adapt.weighing import Measured, Quality, Way, compare, fit, quality
from engine.adapter import Adapter
from engine.format import MEMORIES_PER_CHUNK
from engine.heads import HeadWeights
from engine.memory import ExplicitMemory
from engine.protocol import Engine, GenerateOptions, KeyedMemory, Message, Token

ANSWER_TOKENS = 20  # of an answer that the model gives itself
STEP = 4  # questions whose memories are written together
FEWEST = 10  # questions that weights are fitted on, or examined with

Answers = Literal["gold", "generated"]
Row = tuple[np.ndarray, np.ndarray, int]  # masses (M, heads), lost (M,), right


def fit_heads(
    settings: Settings,
    data: Path,
    folder: Path,
    *,
    questions: int,
    held_out: int,
    seed: int,
    measured: Path | None = None,
    report: Callable[[str], None],
    stop: threading.Event | None = None,
) -> Iterator[dict[str, Any]]:
    """Fit weights for the adapter of `folder` and write them into it.

    Yields how each way does by cross-validation, then how the chosen one does on held-out contexts, beside
    the plain mean. measured: a file that keeps what was measured, for another run to go on from. stop: set it
    to measure no more, and fit on what there is. Raises AttestError.
    """
    from engine import loading
    from engine.torch_engine import TorchEngine

    material, adapter = read_material(data), Adapter.open(folder)
    loaded = loading.load(settings.model, device=settings.device, adapter=adapter, cache=settings.model_cache)
    engine, kept = TorchEngine(loaded), _Kept(measured)
    asked = [(each.domain, each.question) for each in material.asked]
    drawn = {}
    for held in (False, True):
        contexts = {key: each for key, each in material.contexts.items() if each.held_out == held}
        found = draw(asked, contexts, engine.tokenize, held_out if held else questions, seed)
        drawn[held] = [each for each in found if len(each.references) == MEMORIES_PER_CHUNK]
    stop = stop or threading.Event()
    learnt = _measure(engine, drawn[False], "gold", kept, report, stop)
    ways: dict[Way, Quality] = {}
    for way, found_quality in compare(learnt, seed):
        ways[way] = found_quality
        yield {"answers": "gold", "cross_validated": True, **asdict(way), **asdict(found_quality)}
    best = max(ways, key=lambda way: ways[way].right_first + ways[way].auc)
    weights = fit(learnt, best).reshape(len(engine.format.layers), loaded.transformer.heads)
    places = [(int(row), int(head)) for row, head in zip(*np.nonzero(weights), strict=True)]
    value = HeadWeights(
        loaded.weights_hash,
        adapter.hash,
        engine.format,
        loaded.transformer.heads,
        tuple((engine.format.layers[row], head, round(float(weights[row, head]), 6)) for row, head in places),
    )
    compared = {"plain mean": np.full(weights.size, 1 / weights.size), best.name: weights.ravel()}
    kinds: tuple[Answers, ...] = ("gold", "generated")
    rows = []
    for answers in kinds:
        exam = _measure(engine, drawn[True], answers, kept, report, stop)
        for name, given in compared.items():
            rows.append(
                {
                    "answers": answers,
                    "cross_validated": False,
                    "name": name,
                    "strength": best.strength if name == best.name else 0.0,
                    **asdict(quality(exam.masses @ given, exam)),
                    "needed_right_first": float((exam.lost.argmax(axis=1) == exam.right).mean()),
                }
            )
    value.save(
        folder,
        {**asdict(best), "questions": len(learnt), "seed": seed, "data": material.hashes, "held_out": rows},
    )
    yield from rows


def _measure(
    engine: Engine,
    drawn: Sequence[Planted],
    answers: Answers,
    kept: "_Kept",
    report: Callable[[str], None],
    stop: threading.Event,
) -> Measured:
    rows: list[Row] = []
    written: dict[tuple[int, ...], ExplicitMemory] = {}
    for first in range(0, len(drawn), STEP):
        group = drawn[first : first + STEP]
        left = [] if stop.is_set() else [each for each in group if kept.get(each, answers) is None]
        wanted = dict.fromkeys(ids for each in left for ids in each.references)
        fresh = [ids for ids in wanted if ids not in written]
        written = {ids: memory for ids, memory in written.items() if ids in wanted}
        written |= dict(zip(fresh, engine.write(fresh), strict=True))
        for each in left:
            keyed = [KeyedMemory(i, written[ids]) for i, ids in enumerate(each.references)]
            kept.put(each, answers, _measured(engine, each, keyed, answers))
        kept.save()
        rows += [row for each in group if (row := kept.get(each, answers)) is not None]
        report(f"measured {len(rows)} of {len(drawn)} {answers} answers")
    if len(rows) < FEWEST:
        raise AttestError(
            f"{len(rows)} questions are too few to weigh heads by; it takes {FEWEST} of each kind"
        )
    masses, lost, right = zip(*rows, strict=True)
    return Measured(np.stack(masses).astype(np.float64), np.stack(lost).astype(np.float64), np.array(right))


def _measured(engine: Engine, asked: Planted, keyed: list[KeyedMemory], answers: Answers) -> Row:
    messages = [Message("system", profile(asked.profile).system), Message("user", asked.question)]
    answer = asked.answer
    if answers == "generated":
        options = GenerateOptions(ANSWER_TOKENS, REPETITION_PENALTY, min_tokens=1)
        events = engine.generate(messages, lambda chunk: keyed, options)
        answer = "".join(event.text for event in events if isinstance(event, Token)).strip() or answer
    reads = engine.score(messages, answer, lambda chunk: keyed).reads
    needed = engine.needed(messages, answer, lambda chunk: keyed, [(each.key,) for each in keyed])
    total = sum(read.to_token - read.from_token for read in reads)
    masses = sum(
        np.stack([mass.heads.ravel() for mass in sorted(read.memories, key=lambda mass: mass.key)])
        * ((read.to_token - read.from_token) / total)
        for read in reads
    )
    lost = needed.log_probabilities.sum() - needed.without.sum(axis=1)
    return np.asarray(masses, np.float32), np.asarray(lost, np.float32), asked.right


class _Kept:
    """What was measured, in memory and in a file, if there is one to keep it."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._rows: dict[str, Row] = {}
        if file is not None and file.exists():
            with np.load(file) as found:
                for key, masses, lost, right in zip(
                    found["keys"], found["masses"], found["lost"], found["right"], strict=True
                ):
                    self._rows[str(key)] = masses, lost, int(right)

    def get(self, asked: Planted, answers: Answers) -> Row | None:
        return self._rows.get(_key(asked, answers))

    def put(self, asked: Planted, answers: Answers, row: Row) -> None:
        self._rows[_key(asked, answers)] = row

    def save(self) -> None:
        if self._file is None or not self._rows:
            return
        masses, lost, right = zip(*self._rows.values(), strict=True)
        partial = self._file.with_suffix(".part.npz")
        np.savez(partial, keys=list(self._rows), masses=masses, lost=lost, right=right)
        partial.replace(self._file)


def _key(asked: Planted, answers: Answers) -> str:
    return hashlib.sha256(json.dumps([answers, asdict(asked)]).encode()).hexdigest()[:16]
