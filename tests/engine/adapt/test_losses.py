"""Training sees what inference sees: the same numbers for the same references and answers."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from engine.adapt import losses
from engine.adapt.batch import Batch, Sample
from engine.adapt.losses import answer_logits, answer_nll, loss, write_live
from engine.adapt.passes import LiveWrite
from engine.format import REFERENCE_TOKENS, MemoryFormat
from engine.loading import LoadedModel
from engine.protocol import KeyedMemory, Message
from engine.torch_engine import TorchEngine

QUESTIONS = ("Who pays the rent?", "When?")
TEXTS = (
    "The tenant pays the rent on the first of May.",
    "Short.",
    "A landlord keeps the roof in good order " * 2,
)
ANSWERS = ("the tenant", "on the first of May")
FORMATS = {
    "sparse": {"tokens_per_head": 8, "selection": "attention_value_norm", "temperature": 0.85},
    "some layers": {"layers": (0, 2), "tokens_per_head": 16},
    "dense": {"tokens_per_head": 128},
    "serial": {"tokens_per_head": 16, "positions": "serial"},
}


def lesson(loaded: LoadedModel, memories: tuple[tuple[int, ...] | None, ...]) -> Batch:
    engine = TorchEngine(loaded)
    return Batch(
        tuple(tuple(engine.tokenize(text).ids) for text in TEXTS),
        tuple(
            Sample(
                tuple(loaded.prompt_ids([Message("user", question)])),
                tuple(engine.tokenize(answer).ids),
                read,
            )
            for question, answer, read in zip(QUESTIONS, ANSWERS, memories, strict=True)
        ),
    )


@pytest.mark.parametrize("codec", ["fp32", "int8", "int4-channel"])
@pytest.mark.parametrize("fields", FORMATS.values(), ids=list(FORMATS))
@pytest.mark.parametrize("memories", [((0, 2), (1,)), ((0, 1, 2), ()), ((2,), None)])
def test_training_and_inference_agree(
    tiny_loaded: LoadedModel,
    fields: dict[str, object],
    memories: tuple[tuple[int, ...] | None, ...],
    codec: str,
) -> None:
    fmt = MemoryFormat(**{"layers": (0, 1, 2, 3), "codec": codec, **fields})
    engine, batch = TorchEngine(tiny_loaded, fmt), lesson(tiny_loaded, memories)
    written = engine.write(batch.references)
    # a number half way between two steps may fall to either; unrounded memories are 0.1 off
    close = 2e-4 if codec == "fp32" else 2e-3
    measured = answer_nll(tiny_loaded.transformer, fmt, batch)
    for question, answer, read, nll in zip(QUESTIONS, ANSWERS, memories, measured, strict=True):
        keyed = [KeyedMemory(i, written[i]) for i in read or ()]
        score = engine.score(
            [Message("user", question)], answer, None if read is None else lambda chunk, keyed=keyed: keyed
        )
        assert nll == pytest.approx(-float(score.log_probabilities.mean()), abs=close)


def test_the_loss_reaches_what_is_read_and_nothing_else(
    tiny_loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys and values of the chosen tokens have gradients; those of a reference nobody reads have none."""
    transformer = tiny_loaded.transformer
    fmt = MemoryFormat((0, 1, 2, 3), tokens_per_head=8)
    written: list[LiveWrite] = []

    def watched(*arguments: Any) -> LiveWrite:
        written.append(write_live(*arguments))
        for kept in written[-1].memories.values():
            for tensor in kept:
                tensor.retain_grad()
        return written[-1]

    monkeypatch.setattr(losses, "write_live", watched)
    weight = transformer.backbone.embed_tokens.weight
    weight.requires_grad_()
    try:
        torch.autograd.backward(loss(transformer, fmt, lesson(tiny_loaded, ((0,), (1,))), [None, None]))
        assert weight.grad is not None
        for layer, kept in written[0].memories.items():
            for tensor in kept:
                assert tensor.grad is not None, layer
                reached = tensor.grad.abs().amax(dim=(1, 2, 3))
                assert bool((reached[:2] > 0).all())
                assert float(reached[2]) == 0
    finally:
        weight.grad = None
        weight.requires_grad_(False)


def test_a_taught_sample_learns_what_the_teacher_says(tiny_loaded: LoadedModel) -> None:
    """With the frozen model as its own teacher there is nothing to learn; with another one there is."""
    transformer, fmt = tiny_loaded.transformer, MemoryFormat((0, 1, 2, 3), tokens_per_head=8)
    batch = lesson(tiny_loaded, (None, None))
    samples = tuple(replace(sample, teacher=sample.prompt, distilled=1.0) for sample in batch.samples)
    taught = Batch(batch.references, samples)
    with torch.no_grad():
        said = answer_logits(transformer, fmt, (), samples)
        other = [rows.roll(1, dims=-1) for rows in said]
        assert float(loss(transformer, fmt, taught, list(said))) == pytest.approx(0.0, abs=1e-5)
        assert float(loss(transformer, fmt, taught, list(other))) > 0.01


def test_prompts_that_begin_alike_are_computed_once_and_say_the_same(tiny_loaded: LoadedModel) -> None:
    beginning = tuple(TorchEngine(tiny_loaded).tokenize(" ".join(TEXTS) * 16).ids)
    assert len(beginning) > losses.SHARED
    samples = [
        *lesson(tiny_loaded, (None, (1,))).samples,
        *(Sample((*beginning, *own), answer, None) for own, answer in (((5,), (6, 7, 8)), ((5, 9, 4), (3,)))),
        Sample(beginning[: losses.SHARED + 1], (7, 7), None),
        Sample(
            (*beginning[: 2 * REFERENCE_TOKENS], *[9] * REFERENCE_TOKENS), (8,), None
        ),  # goes on otherwise
    ]
    references = lesson(tiny_loaded, (None, (1,))).references
    texts = losses.texts_of(samples)
    assert sorted(len(text.branches) for text in texts) == [0, 0, 0, 3]
    alone = sum(len(sample.prompt) + len(sample.answer) for sample in samples)
    assert sum(len(text.ids) for text in texts) < alone - losses.SHARED
    fmt = MemoryFormat((0, 1, 2, 3), tokens_per_head=8)
    with torch.no_grad():
        together = answer_logits(tiny_loaded.transformer, fmt, references, samples)
        for mine, sample in zip(together, samples, strict=True):
            (by_itself,) = answer_logits(tiny_loaded.transformer, fmt, references, [sample])
            torch.testing.assert_close(mine, by_itself, rtol=1e-4, atol=1e-4)
