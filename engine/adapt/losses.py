"""The loss of a batch: references written live, answers read from them, everything differentiable."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import nn

from engine.adapt.batch import Batch, Sample
from engine.adapt.passes import LivePlain, LiveRead, LiveWrite
from engine.format import REFERENCE_TOKENS, MemoryFormat
from engine.transformer import Transformer

SHARED = 320  # prompts with as many equal tokens, more than two references, are computed together


def answer_nll(transformer: Transformer, fmt: MemoryFormat, batch: Batch) -> list[float]:
    """Mean negative log-likelihood per answer token, in nats, of each sample."""
    with torch.no_grad():
        logits = answer_logits(transformer, fmt, batch.references, batch.samples)
        return [
            float(nn.functional.cross_entropy(rows, torch.tensor(sample.answer, device=rows.device)))
            for rows, sample in zip(logits, batch.samples, strict=True)
        ]


def loss(
    transformer: Transformer, fmt: MemoryFormat, batch: Batch, teachers: Sequence[torch.Tensor | None]
) -> torch.Tensor:
    """Mean over samples. Tokens of an answer share the square root of their number: long answers count for
    more than short ones, but not by their length.

    teachers: logits (answer tokens, vocabulary) of the frozen model for the samples that have one.
    """
    total, weight = torch.zeros((), device=transformer.device), 0.0
    logits = answer_logits(transformer, fmt, batch.references, batch.samples)
    for rows, sample, teacher in zip(logits, batch.samples, teachers, strict=True):
        answer = torch.tensor(sample.answer, device=rows.device)
        gold = nn.functional.cross_entropy(rows, answer)
        if teacher is not None:
            known = teacher.log_softmax(dim=-1)
            apart = nn.functional.kl_div(rows.log_softmax(dim=-1), known, log_target=True, reduction="none")
            gold = (1 - sample.distilled) * gold + sample.distilled * apart.sum(dim=-1).mean()
        total = total + gold * math.sqrt(len(sample.answer))
        weight += math.sqrt(len(sample.answer))
    return total / weight


def answer_logits(
    transformer: Transformer,
    fmt: MemoryFormat,
    references: Sequence[Sequence[int]],
    samples: Sequence[Sample],
) -> list[torch.Tensor]:
    """Logits (answer tokens, vocabulary) float32 of each sample."""
    found: dict[int, torch.Tensor] = {}
    reading = any(sample.memories is not None for sample in samples)
    written = write_live(transformer, fmt, references) if reading else None
    for group in _alike(texts_of(samples)):
        texts = _padded([text.ids for text in group], transformer.device)
        attest: LiveRead | LivePlain
        if written is None or group[0].memories is None:
            branches = [text.branches for text in group]
            attest = LivePlain(transformer, texts.shape[1], branches if any(branches) else None)
        else:
            chosen = _padded([text.memories or () for text in group], transformer.device, filler=-1)
            attest = LiveRead(transformer, written, chosen, texts.shape[1])
        hidden = transformer.hidden(texts, attest.positions, attest, gradients=True)
        found |= _at_answers(transformer, hidden, group)
    return [found[i] for i in range(len(samples))]


def write_live(transformer: Transformer, fmt: MemoryFormat, references: Sequence[Sequence[int]]) -> LiveWrite:
    """Memories of `references`, gradients included."""
    attest = LiveWrite(transformer, fmt, [len(reference) for reference in references])
    rows = [(*transformer.prefix, *reference) for reference in references]
    width = len(transformer.prefix) + REFERENCE_TOKENS
    ids = _padded(rows, transformer.device, width)
    transformer.hidden(ids, attest.positions, attest, gradients=True)
    return attest


@dataclass(frozen=True)
class Text:
    """What is computed for one sample, or for several whose prompts begin alike.

    branches: where each sample's own tokens begin, behind what they share; () for one sample. answers: the
    sample's number, and from where to where its answer is predicted.
    """

    ids: tuple[int, ...]
    memories: tuple[int, ...] | None
    branches: tuple[int, ...]
    answers: tuple[tuple[int, int, int], ...]


def texts_of(samples: Sequence[Sample]) -> list[Text]:
    """Samples as they are computed: what the prompts of those without memories share is computed once."""
    found = list[Text]()
    together: dict[tuple[int, ...], list[int]] = {}
    for i, sample in enumerate(samples):
        if sample.memories is None and len(sample.prompt) > SHARED:
            together.setdefault(sample.prompt[:SHARED], []).append(i)
        else:
            found.append(_joined(samples, [i]))
    return found + [_joined(samples, numbers) for numbers in together.values()]


def _joined(samples: Sequence[Sample], numbers: Sequence[int]) -> Text:
    shared = 0
    if len(numbers) > 1:  # the last token of a prompt predicts its answer, so it is everybody's own
        columns = zip(*(samples[i].prompt[:-1] for i in numbers), strict=False)
        shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    ids = list(samples[numbers[0]].prompt[:shared])
    branches, answers = [], []
    for i in numbers:
        prompt, answer = samples[i].prompt[shared:], samples[i].answer
        branches.append(len(ids))
        start = len(ids) + len(prompt) - 1
        answers.append((i, start, start + len(answer)))
        ids += (*prompt, *answer)
    return Text(
        tuple(ids), samples[numbers[0]].memories, tuple(branches if len(numbers) > 1 else ()), tuple(answers)
    )


def _alike(texts: Sequence[Text]) -> list[list[Text]]:
    """Texts that share a pass: with memories or without, of about one length."""
    groups: dict[tuple[bool, int], list[Text]] = {}
    for text in texts:
        doubled = (len(text.ids) - 1).bit_length()
        groups.setdefault((text.memories is None, max(doubled, 6)), []).append(text)
    return list(groups.values())


def _at_answers(
    transformer: Transformer, hidden: torch.Tensor, texts: Sequence[Text]
) -> dict[int, torch.Tensor]:
    """Logits where answers are predicted only: the vocabulary is the widest thing in a small model."""
    rows = {
        i: each[start:end] for each, text in zip(hidden, texts, strict=True) for i, start, end in text.answers
    }
    logits: torch.Tensor = transformer.model.lm_head(torch.cat(list(rows.values()))).float()
    parts = torch.split(logits, [len(row) for row in rows.values()])
    return dict(zip(rows, parts, strict=True))


def _padded(
    sequences: Sequence[Sequence[int]], device: torch.device, width: int = 1, filler: int = 0
) -> torch.Tensor:
    """(B, at least width) ids, filled up at the end, where nothing looks."""
    ids = torch.full((len(sequences), max(width, *map(len, sequences))), filler)
    for row, tokens in zip(ids, sequences, strict=True):
        row[: len(tokens)] = torch.tensor(tokens, dtype=torch.long)
    return ids.to(device)
