"""What one step of training learns from, as token ids."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """A prompt and what should follow it.

    prompt: token ids up to where the answer begins. answer: those that follow, with the end token where the
        answer ends there; () for what the frozen model itself replies (engine.adapt.replies). memories:
        which of the batch's references it reads; None runs the stock model, without the prefix. teacher: a
        prompt from which the frozen model knows what to say (references as text, or the same prompt): the
        sample then also learns its distribution, with weight `distilled`, and the answer itself with the
        rest.
    profile: legal, medical or general, for a question about such a document.
    """

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    memories: tuple[int, ...] | None
    teacher: tuple[int, ...] | None = None
    distilled: float = 0.0
    profile: str = ""


@dataclass(frozen=True)
class Batch:
    """references: token ids, at most `REFERENCE_TOKENS` each. A reference is written once for all samples."""

    references: tuple[tuple[int, ...], ...]
    samples: tuple[Sample, ...]
