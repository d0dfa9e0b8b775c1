"""What an adapter gains: the same questions answered without references, from text and from memories."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from engine.adapt import lora
from engine.adapt.batch import Batch
from engine.adapt.losses import answer_nll
from engine.format import MemoryFormat
from engine.loading import LoadedModel


@dataclass(frozen=True)
class Row:
    """nll: mean over `n` questions of the mean negative log-likelihood per answer token, in nats.

    adapted: with the adapter. reads: "none", "text" (the same references in the prompt) or "memory".
    tokens_per_head: 0 where no memory is read.
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
    adapted: Sequence[MemoryFormat],
) -> Iterator[Row]:
    """One row after the other. base: the format that the model reads without the adapter of `folder`.

    The samples' teachers are their prompts with the references as text.
    """
    transformer = loaded.transformer
    model = lora.load(transformer.model, folder)
    for with_adapter, formats in ((False, [base]), (True, adapted)):
        kinds = [("none", base), ("text", base), *(("memory", fmt) for fmt in formats)]
        for reads, fmt in kinds:
            with nullcontext() if with_adapter else model.disable_adapter():
                values = [
                    nll for batch in batches for nll in answer_nll(transformer, fmt, _reading(batch, reads))
                ]
            kept = fmt.tokens_per_head if reads == "memory" else 0
            yield Row(with_adapter, reads, kept, len(values), round(sum(values) / len(values), 4))


def _reading(batch: Batch, reads: str) -> Batch:
    if reads == "memory":
        return batch
    return Batch(
        (),
        tuple(
            replace(
                sample,
                prompt=sample.teacher if reads == "text" and sample.teacher else sample.prompt,
                memories=None,
            )
            for sample in batch.samples
        ),
    )
