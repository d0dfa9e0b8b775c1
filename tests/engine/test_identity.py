"""Correctness by equality: our reading against the stock model, on tiny models of every family.

The last section repeats the essential identities on the real default model.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import decode
from engine.format import CHUNK_TOKENS, REFERENCE_TOKENS, MemoryFormat
from engine.loading import LoadedModel
from engine.protocol import Chunk, GenerateOptions, KeyedMemory, Message, Read, Token
from engine.torch_engine import TorchEngine
from tests.engine import slow_path, tiny

MESSAGES = [Message("user", "Who pays the fee, and when is it due? " * 3)]


def reference(seed: int, length: int, vocabulary: int = 250) -> list[int]:
    return np.random.default_rng(seed).integers(0, vocabulary, length).tolist()


def dense_fp32(loaded: LoadedModel, **changes: Any) -> MemoryFormat:
    return replace(MemoryFormat(tuple(range(loaded.transformer.layers)), codec="fp32"), **changes)


def our_logits(loaded: LoadedModel, fmt: MemoryFormat, prompt: Sequence[int], sets: Any) -> torch.Tensor:
    """Logits (T, vocabulary) of `prompt`; sets[c] are the keyed memories of chunk c, or None for stock."""
    memories_for = None if sets is None else (lambda chunk: sets[chunk.index])
    session = decode.Session(loaded.transformer, fmt, prompt, 0, memories_for)
    chosen, chunk_of = decode.prompt_sets(session, lambda ids: "")
    plan = session.plan(chosen, chunk_of)
    hidden = session.forward(prompt, plan.block, plan.slots)
    return loaded.transformer.logits(hidden)


def stock_logits(
    loaded: LoadedModel, ids: Sequence[int], positions: Sequence[int] | None = None
) -> torch.Tensor:
    where = {} if positions is None else {"position_ids": torch.tensor([list(positions)])}
    whole = torch.ones(
        1, len(ids)
    )  # without it, transformers takes a gap in the positions for a new sequence
    with torch.inference_mode():
        model = loaded.transformer.model
        output = model(input_ids=torch.tensor([list(ids)]), attention_mask=whole, use_cache=False, **where)
    return output.logits[0].float()


def assert_identities(loaded: LoadedModel, vocabulary: int) -> None:
    """Zero memories and one dense memory, against the stock model."""
    fmt = dense_fp32(loaded)
    prefix, start = loaded.transformer.prefix, loaded.transformer.context_start(fmt)
    context = reference(1, 90, vocabulary)
    none = our_logits(loaded, fmt, context, None)
    assert (none - stock_logits(loaded, context)).abs().max() < 1e-4
    positions = [*range(len(prefix)), *range(start, start + len(context))]
    zero = our_logits(loaded, fmt, context, [[], []])
    stock = stock_logits(loaded, [*prefix, *context], positions)[len(prefix) :]
    assert (zero - stock).abs().max() < 1e-4
    for length in (REFERENCE_TOKENS, 77):
        ids = reference(2, length, vocabulary)
        memory = TorchEngine(loaded, fmt).write([ids])[0]
        keyed = [KeyedMemory(1, memory)]
        one = our_logits(loaded, fmt, context, [keyed, keyed])
        positions = [*range(len(prefix) + length), *range(start, start + len(context))]
        stock = stock_logits(loaded, [*prefix, *ids, *context], positions)[len(prefix) + length :]
        assert (one - stock).abs().max() < 1e-3
        assert (zero - stock).abs().max() > 1e-2  # the memory does change the answer


def test_zero_and_one_dense_memory_equal_the_stock_model(tiny_loaded: LoadedModel) -> None:
    assert_identities(tiny_loaded, 250)


FORMATS = [
    {},
    {"tokens_per_head": 8},
    {"tokens_per_head": 8, "selection": "attention_value_norm", "layers": (1, 2)},
]


@pytest.mark.parametrize("changes", FORMATS, ids=str)
def test_chunked_reading_equals_one_long_masked_sequence(
    tiny_loaded: LoadedModel, changes: dict[str, Any]
) -> None:
    fmt = dense_fp32(tiny_loaded, **changes)
    engine = TorchEngine(tiny_loaded, fmt)
    references = [reference(10 + i, length) for i, length in enumerate((128, 40, 5, 90))]
    memories = engine.write(references)
    context = reference(3, 2 * CHUNK_TOKENS + 20)
    chunks = [[0, 1], [2, 3, 1], []]
    sets = [[KeyedMemory(m, memories[m]) for m in chunk] for chunk in chunks]
    ours = our_logits(tiny_loaded, fmt, context, sets)
    model = tiny.model(_family(tiny_loaded))
    model.set_attn_implementation("eager")
    sees = [chunks[t // CHUNK_TOKENS] for t in range(len(context))]
    start = tiny_loaded.transformer.context_start(fmt)
    slow, _ = slow_path.logits(
        model, tiny_loaded.transformer.prefix, references, memories, context, sees, fmt, start
    )
    torch.testing.assert_close(ours, slow, atol=1e-3, rtol=1e-4)


def _family(loaded: LoadedModel) -> str:
    return Path(loaded.transformer.model.config._name_or_path).name


def test_order_of_parallel_memories_changes_nothing(tiny_loaded: LoadedModel) -> None:
    fmt = dense_fp32(tiny_loaded, tokens_per_head=16)
    memories = TorchEngine(tiny_loaded, fmt).write([reference(20 + i, 100) for i in range(4)])
    keyed = [KeyedMemory(i, memory) for i, memory in enumerate(memories)]
    context = reference(4, 30)
    forward = our_logits(tiny_loaded, fmt, context, [keyed])
    backward = our_logits(tiny_loaded, fmt, context, [keyed[::-1]])
    torch.testing.assert_close(forward, backward, atol=1e-4, rtol=1e-4)


class Bank:
    """Two sets of memories that take turns, so that every stretch swaps."""

    def __init__(self, engine: TorchEngine, sets: int = 3) -> None:
        self.references = [reference(30 + i, 60 + 10 * i) for i in range(2 * sets)]
        self.memories = engine.write(self.references)
        self.sets = sets
        self.chunks: list[Chunk] = []

    def __call__(self, chunk: Chunk) -> list[KeyedMemory]:
        self.chunks.append(chunk)
        first = 2 * (chunk.index % self.sets)
        return [KeyedMemory(i, self.memories[i]) for i in (first, first + 1)]


@pytest.mark.parametrize("changes", [{}, {"tokens_per_head": 8, "layers": (1, 2)}], ids=str)
def test_decoding_equals_one_teacher_forced_pass(tiny_loaded: LoadedModel, changes: dict[str, Any]) -> None:
    """150 tokens with three sets of memories: same tokens, same attention, and sums of 1."""
    engine = TorchEngine(tiny_loaded, dense_fp32(tiny_loaded, **changes))
    bank = Bank(engine)
    session = engine._session(engine._loaded.prompt_ids(MESSAGES), 150, bank)
    events = list(decode.generate(session, GenerateOptions(max_tokens=150), frozenset(), str, lambda ids: ""))
    ids = [event.id for event in events if isinstance(event, Token)]
    reads = [event for event in events if isinstance(event, Read)]
    assert len(ids) == 150
    assert [(r.from_token, r.to_token) for r in reads] == [(0, 64), (64, 128), (128, 150)]
    again = decode.score(
        engine._session(engine._loaded.prompt_ids(MESSAGES), 150, Bank(engine)), ids, lambda ids: ""
    )
    assert len(again.reads) == len(reads)
    for got, expected in zip(reads, again.reads, strict=True):
        assert [m.key for m in got.memories] == [m.key for m in expected.memories]
        for mine, theirs in zip(got.memories, expected.memories, strict=True):
            assert mine.attention == pytest.approx(theirs.attention, abs=1e-4)
            np.testing.assert_allclose(mine.tokens, theirs.tokens, atol=1e-4)
            assert mine.tokens.sum() == pytest.approx(mine.attention, abs=1e-5)
        for mass in got.per_token:
            assert sum(mass.memories) + mass.question + mass.answer + mass.prefix == pytest.approx(
                1, abs=1e-4
            )
        assert got.question == pytest.approx(expected.question, abs=1e-4)
        assert got.answer == pytest.approx(expected.answer, abs=1e-4)
        assert got.prefix == pytest.approx(expected.prefix, abs=1e-4)
    # greedy decoding picks the most probable token, so no other token may score higher
    assert (again.log_probabilities > -np.log(tiny.VOCABULARY)).all()


def test_attention_mass_equals_the_slow_path(tiny_loaded: LoadedModel) -> None:
    """Mass per memory, per token, on question, answer and prefix, from the eager model's own weights."""
    fmt = dense_fp32(tiny_loaded, tokens_per_head=16, layers=(0, 2))
    engine = TorchEngine(tiny_loaded, fmt)
    references = [reference(50 + i, 70) for i in range(3)]
    memories = engine.write(references)
    keyed = [KeyedMemory(i, memory) for i, memory in enumerate(memories)]
    prompt, answer = reference(5, 20), reference(6, 12)
    session = decode.Session(tiny_loaded.transformer, fmt, prompt, len(answer), lambda chunk: keyed)
    read = decode.score(session, answer, lambda ids: "").reads[0]
    model = tiny.model(_family(tiny_loaded))
    model.set_attn_implementation("eager")
    context = [*prompt, *answer[:-1]]
    prefix = tiny_loaded.transformer.prefix
    start = tiny_loaded.transformer.context_start(fmt)
    _, attentions = slow_path.logits(
        model, prefix, references, memories, context, [[0, 1, 2]] * len(context), fmt, start
    )
    mean = torch.stack([attentions[layer] for layer in fmt.layers]).mean(dim=(0, 1))[len(prompt) - 1 :]
    for i in range(3):
        expected = mean[:, len(prefix) + 70 * i : len(prefix) + 70 * (i + 1)].mean(dim=0)
        np.testing.assert_allclose(read.memories[i].tokens, expected.numpy(), atol=1e-5)
    first = len(prefix) + 210
    assert read.prefix == pytest.approx(float(mean[:, : len(prefix)].sum(1).mean()), abs=1e-5)
    assert read.question == pytest.approx(float(mean[:, first : first + 20].sum(1).mean()), abs=1e-5)
    assert read.answer == pytest.approx(float(mean[:, first + 20 :].sum(1).mean()), abs=1e-5)


def test_swapping_memories_leaves_the_context_cache_alone(tiny_loaded: LoadedModel) -> None:
    engine = TorchEngine(tiny_loaded, dense_fp32(tiny_loaded))
    bank = Bank(engine)
    session = engine._session(engine._loaded.prompt_ids(MESSAGES), 80, bank)
    before: list[torch.Tensor] = []
    for event in decode.generate(session, GenerateOptions(max_tokens=80), frozenset(), str, lambda ids: ""):
        length = session.cache.length
        if isinstance(event, Read) and event.to_token == 64:
            before = [layer.keys[:, :, :length].clone() for layer in session.cache.layers]
    for layer, kept in zip(session.cache.layers, before, strict=True):
        torch.testing.assert_close(layer.keys[:, :, : kept.shape[2]], kept, atol=0, rtol=0)
    assert [(c.part, c.index) for c in bank.chunks[-1:]] == [("answer", len(bank.chunks) - 1)]


def test_default_model_identities(default_loaded: LoadedModel) -> None:
    assert_identities(default_loaded, 40_000)


def test_default_model_decodes_as_it_scores(default_engine: TorchEngine) -> None:
    text = "The monthly maintenance fee is 312 dollars per vehicle, due within 45 days of the invoice."
    memories = default_engine.write([default_engine.tokenize(text).ids])
    keyed = [KeyedMemory(i, memory) for i, memory in enumerate(memories)]
    messages = [Message("user", "What is the monthly maintenance fee per vehicle?")]
    events = list(default_engine.generate(messages, lambda chunk: keyed, GenerateOptions(max_tokens=24)))
    answer = "".join(event.text for event in events if isinstance(event, Token))
    assert "312" in answer
    read = next(event for event in events if isinstance(event, Read))
    again = default_engine.score(messages, answer, lambda chunk: keyed).reads[0]
    assert read.memories[0].attention == pytest.approx(again.memories[0].attention, abs=0.02)
    for mass in read.per_token:
        assert sum(mass.memories) + mass.question + mass.answer + mass.prefix == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("codec", "bound"), [("fp16", 0.002), ("int8", 0.1)])
def test_default_model_codecs_stay_near_full_precision(
    default_loaded: LoadedModel, codec: str, bound: float
) -> None:
    """Mean logit difference to fp32 memories, where no memory at all is more than 1 away."""
    text = "The fee is 312 dollars per vehicle and month. It is due within 45 days of the invoice. " * 4
    context = reference(1, 50, 40_000)
    ids = TorchEngine(default_loaded).tokenize(text).ids[:128]
    by_codec = []
    for name in ("fp32", codec):
        fmt = dense_fp32(default_loaded, codec=name)
        keyed = [KeyedMemory(1, TorchEngine(default_loaded, fmt).write([ids])[0])]
        by_codec.append(our_logits(default_loaded, fmt, context, [keyed]))
    without = our_logits(default_loaded, dense_fp32(default_loaded), context, [[]])
    assert (by_codec[0] - by_codec[1]).abs().mean() < bound
    assert (by_codec[0] - without).abs().mean() > 5 * bound
