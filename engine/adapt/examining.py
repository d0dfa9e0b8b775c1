"""What an adapter gains: the same questions answered without references, from text and from memories."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from engine.adapt import lora
from engine.adapt.batch import Batch, Sample
from engine.adapt.losses import answer_nll
from engine.format import MemoryFormat
from engine.loading import LoadedModel


@dataclass(frozen=True)
class Row:
    """nll: mean over `n` questions of the mean negative log-likelihood per answer token, in nats.

    adapted: with the adapter. reads: "none", "text" (the same references in the prompt), "memory", or "wrong"
    (as many memories of other documents). tokens_per_head: 0 where no memory is read.
    """

    adapted: bool
    reads: str
    tokens_per_head: int
    n: int
    nll: float


def examine(
    loaded: LoadedModel,
    folder: Path,
    batches: Sequence[Batch],
    base: MemoryFormat,
    shipped: MemoryFormat,
    kept: Sequence[int],
) -> Iterator[Row]:
    """One row after the other. base, shipped: the formats that the model reads without and with the adapter
    of `folder`; the latter also with each of `kept` as its tokens per head.

    The samples' teachers are their prompts with the references as text.
    """
    transformer = loaded.transformer
    model = lora.load(transformer.model, folder)
    sizes = [replace(shipped, tokens_per_head=size) for size in kept]
    for with_adapter, own, formats in ((False, base, [base]), (True, shipped, sizes)):
        kinds = [("none", own), ("text", own), *(("memory", fmt) for fmt in formats), ("wrong", own)]
        for reads, fmt in kinds:
            with nullcontext() if with_adapter else model.disable_adapter():
                values = [
                    nll for batch in batches for nll in answer_nll(transformer, fmt, _reading(batch, reads))
                ]
            size = fmt.tokens_per_head if reads in ("memory", "wrong") else 0
            yield Row(with_adapter, reads, size, len(values), round(sum(values) / len(values), 4))


def _reading(batch: Batch, reads: str) -> Batch:
    if reads == "memory":
        return batch
    return Batch(
        batch.references, tuple(_changed(sample, reads, len(batch.references)) for sample in batch.samples)
    )


def _changed(sample: Sample, reads: str, references: int) -> Sample:
    if reads == "none":
        return replace(sample, memories=None)
    if reads == "text":
        return replace(sample, prompt=sample.teacher or sample.prompt, memories=None)
    # every reference of its own document is among those that it reads, so the rest are others'
    mine = sample.memories or ()
    others = [i for i in range(references) if i not in mine]
    return replace(sample, memories=tuple(others[: len(mine)]))
