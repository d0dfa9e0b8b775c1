"""What an adapter gains: the same questions answered without references, from text and from memories.

And what each part of its format is worth: the ladder, in which one thing is changed at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from engine.adapt import lora
from engine.adapt.batch import Batch, Sample
from engine.adapt.losses import answer_nll
from engine.format import MEMORIES_PER_CHUNK, Codec, MemoryFormat, Positions
from engine.loading import LoadedModel
from engine.selection import RULES
from engine.transformer import Transformer

Reads = Literal["none", "text", "memory", "wrong"]
COUNTS = (1, 3, 10)  # memories in place of five


@dataclass(frozen=True)
class Row:
    """nll: mean over `n` questions of the mean negative log-likelihood per answer token, in nats. law,
    medicine, general: the same over the questions about such documents, None where there is none.

    adapted: with the adapter. reads: "none", "text" (the same references in the prompt), "memory", or "wrong"
    (as many memories of other documents). tokens_per_head: 0 where no memory is read. variant: what is
    changed in the adapter's own format, or in what is read, "" for nothing.
    """

    adapted: bool
    reads: str
    tokens_per_head: int
    n: int
    nll: float
    variant: str = ""
    law: float | None = None
    medicine: float | None = None
    general: float | None = None


@dataclass(frozen=True)
class Rung:
    """The adapted model reading memories of `batches` in `format`; `variant` says what is changed."""

    variant: str
    format: MemoryFormat
    batches: Sequence[Batch]


def examine(
    loaded: LoadedModel,
    folder: Path,
    batches: Sequence[Batch],
    base: MemoryFormat,
    shipped: MemoryFormat,
    kept: Sequence[int],
    ladder: Iterable[Rung] = (),
    asked_for: Sequence[Reads] = get_args(Reads),
) -> Iterator[Row]:
    """One row after the other. base, shipped: the formats that the model reads without and with the adapter
    of `folder`; the latter also with each of `kept` as its tokens per head. ladder: one more row for each.
    asked_for: what is to be read, in rows without a variant.

    The samples' teachers are their prompts with the references as text.
    """
    transformer = loaded.transformer
    model = lora.load(transformer.model, folder)
    sizes = [replace(shipped, tokens_per_head=size) for size in kept]
    for with_adapter, own, formats in ((False, base, [base]), (True, shipped, sizes)):
        kinds = [("none", own), ("text", own), *(("memory", fmt) for fmt in formats), ("wrong", own)]
        for reads, fmt in (kind for kind in kinds if kind[0] in asked_for):
            with nullcontext() if with_adapter else model.disable_adapter():
                yield _row(transformer, with_adapter, reads, Rung("", fmt, batches))
    for rung in ladder:
        yield _row(transformer, True, "memory", rung)


def rungs(
    own: MemoryFormat, batches: Sequence[Batch], drawn: Callable[[int], Sequence[Batch]]
) -> Iterator[Rung]:
    """An adapter's own format with one thing changed at a time; of rules and codecs its own is among them.
    A codebook is trained from a bank, so "pq" is measured there (`attest bench store`).

    drawn: the same questions, reading another number of memories.
    """
    yield Rung("first half", replace(own, layers=own.layers[: (len(own.layers) + 1) // 2]), batches)
    for positions in get_args(Positions):
        if positions != own.positions:
            yield Rung(positions, replace(own, positions=positions), batches)
    for count in COUNTS:
        if own.positions == "parallel" or count <= MEMORIES_PER_CHUNK:  # there are no places for more
            yield Rung("1 memory" if count == 1 else f"{count} memories", own, drawn(count))
    yield Rung("shuffled", own, [_each(batch, _reversed) for batch in batches])
    for rule in RULES:
        yield Rung(f"selection {rule}", replace(own, selection=rule), batches)
    for codec in get_args(Codec):
        if codec == "pq":
            continue
        yield Rung(f"codec {codec}", replace(own, codec=codec), batches)


def _row(transformer: Transformer, adapted: bool, reads: str, rung: Rung) -> Row:
    every: list[float] = []
    about: dict[str, list[float]] = {"legal": [], "medical": [], "general": []}
    for batch in rung.batches:
        values = answer_nll(transformer, rung.format, _reading(batch, reads))
        every += values
        for sample, nll in zip(batch.samples, values, strict=True):
            about.get(sample.profile, []).append(nll)
    law, medicine, general = (_mean(values) if values else None for values in about.values())
    size = rung.format.tokens_per_head if reads in ("memory", "wrong") else 0
    return Row(adapted, reads, size, len(every), _mean(every), rung.variant, law, medicine, general)


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def _reading(batch: Batch, reads: str) -> Batch:
    if reads == "memory":
        return batch
    return _each(batch, lambda sample: _changed(sample, reads, len(batch.references)))


def _each(batch: Batch, change: Callable[[Sample], Sample]) -> Batch:
    return replace(batch, samples=tuple(map(change, batch.samples)))


def _changed(sample: Sample, reads: str, references: int) -> Sample:
    if reads == "none":
        return replace(sample, memories=None)
    if reads == "text":
        return replace(sample, prompt=sample.teacher or sample.prompt, memories=None)
    # every reference of its own document is among those that it reads, so the rest are others'
    mine = sample.memories or ()
    others = [i for i in range(references) if i not in mine]
    return replace(sample, memories=tuple(others[: len(mine)]))


def _reversed(sample: Sample) -> Sample:
    return replace(sample, memories=None if sample.memories is None else sample.memories[::-1])
