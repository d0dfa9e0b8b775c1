"""The loss of a batch: references written live, answers read from them, everything differentiable."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from engine.adapt.batch import Batch, Sample
from engine.adapt.passes import LivePlain, LiveRead, LiveWrite
from engine.format import REFERENCE_TOKENS, MemoryFormat
from engine.transformer import Transformer


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
    for group in _alike(samples):
        mine = [samples[i] for i in group]
        texts = _padded([(*sample.prompt, *sample.answer) for sample in mine], transformer.device)
        attest: LiveRead | LivePlain
        if mine[0].memories is None or written is None:
            attest = LivePlain(transformer, texts.shape[1])
        else:
            chosen = _padded([sample.memories or () for sample in mine], transformer.device, filler=-1)
            attest = LiveRead(transformer, written, chosen, texts.shape[1])
        hidden = transformer.hidden(texts, attest.positions, attest, gradients=True)
        found |= dict(zip(group, _at_answers(transformer, hidden, mine), strict=True))
    return [found[i] for i in range(len(samples))]


def write_live(transformer: Transformer, fmt: MemoryFormat, references: Sequence[Sequence[int]]) -> LiveWrite:
    """Memories of `references`, gradients included."""
    attest = LiveWrite(transformer, fmt, [len(reference) for reference in references])
    rows = [(*transformer.prefix, *reference) for reference in references]
    width = len(transformer.prefix) + REFERENCE_TOKENS
    ids = _padded(rows, transformer.device, width)
    transformer.hidden(ids, attest.positions, attest, gradients=True)
    return attest


def _alike(samples: Sequence[Sample]) -> list[list[int]]:
    """Indices of samples that share a pass: with memories or without, of about one length."""
    groups: dict[tuple[bool, int], list[int]] = {}
    for i, sample in enumerate(samples):
        doubled = (len(sample.prompt) + len(sample.answer) - 1).bit_length()
        groups.setdefault((sample.memories is None, max(doubled, 6)), []).append(i)
    return list(groups.values())


def _at_answers(
    transformer: Transformer, hidden: torch.Tensor, samples: Sequence[Sample]
) -> list[torch.Tensor]:
    """Logits where answers are predicted only: the vocabulary is the widest thing in a small model."""
    rows = [
        each[len(sample.prompt) - 1 : len(sample.prompt) + len(sample.answer) - 1]
        for each, sample in zip(hidden, samples, strict=True)
    ]
    logits: torch.Tensor = transformer.model.lm_head(torch.cat(rows)).float()
    return list(torch.split(logits, [len(row) for row in rows]))


def _padded(
    sequences: Sequence[Sequence[int]], device: torch.device, width: int = 1, filler: int = 0
) -> torch.Tensor:
    """(B, at least width) ids, filled up at the end, where nothing looks."""
    ids = torch.full((len(sequences), max(width, *map(len, sequences))), filler)
    for row, tokens in zip(ids, sequences, strict=True):
        row[: len(tokens)] = torch.tensor(tokens, dtype=torch.long)
    return ids.to(device)
