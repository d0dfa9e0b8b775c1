"""Attention by head, its mean by weights, and weights that were fitted for something else."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine import decode
from engine.errors import AdapterInvalid
from engine.format import MemoryFormat
from engine.heads import FILE, HeadWeights, chosen
from engine.loading import LoadedModel
from engine.protocol import KeyedMemory, Read
from engine.torch_engine import TorchEngine

FORMAT = MemoryFormat((0, 2), tokens_per_head=8, codec="fp32")
WEIGHTS = HeadWeights("base", "adapter", FORMAT, 4, ((0, 1, 0.25), (2, 3, 0.75)))
PROMPT = list(range(30, 55))
ANSWER = list(range(60, 75))


def read(loaded: LoadedModel, heads: np.ndarray | None) -> Read:
    engine = TorchEngine(loaded, FORMAT)
    written = engine.write([list(range(40)), list(range(100, 170)), list(range(9))])
    keyed = [KeyedMemory(i, memory) for i, memory in enumerate(written)]
    session = decode.Session(loaded.transformer, FORMAT, PROMPT, len(ANSWER), lambda chunk: keyed, heads)
    return decode.score(session, ANSWER, lambda ids: "").reads[0]


def test_the_mean_of_heads_is_the_attention(tiny_loaded: LoadedModel) -> None:
    plain = read(tiny_loaded, None)
    for mass in plain.memories:
        assert mass.heads.shape == (2, tiny_loaded.transformer.heads)
        assert mass.heads.mean() == pytest.approx(mass.attention, abs=1e-6)
        assert (mass.weighted, mass.weighted_tokens.tolist()) == (mass.attention, mass.tokens.tolist())
        assert mass.heads.std() > 1e-3
    for token in plain.per_token:
        assert token.weighted == token.memories


def test_weights_that_are_all_alike_give_the_plain_mean(tiny_loaded: LoadedModel) -> None:
    heads = tiny_loaded.transformer.heads
    plain, uniform = read(tiny_loaded, None), read(tiny_loaded, np.full((2, heads), 0.5 / heads, np.float32))
    for one, other in zip(plain.memories, uniform.memories, strict=True):
        assert one.attention == other.attention  # which no weights change
        assert other.weighted == pytest.approx(one.attention, abs=1e-6)
        np.testing.assert_allclose(other.weighted_tokens, one.tokens, atol=1e-6)


def test_weighted_masses_are_means_of_the_heads(tiny_loaded: LoadedModel) -> None:
    weights = np.zeros((2, tiny_loaded.transformer.heads), np.float32)
    weights[0, 1], weights[1, 0] = 0.25, 0.75
    found = read(tiny_loaded, weights)
    for i, mass in enumerate(found.memories):
        assert mass.weighted == pytest.approx(float((mass.heads * weights).sum()), abs=1e-6)
        assert mass.weighted_tokens.sum() == pytest.approx(mass.weighted, abs=1e-6)
        assert np.mean([token.weighted[i] for token in found.per_token]) == pytest.approx(
            mass.weighted, abs=1e-6
        )
        assert abs(mass.weighted - mass.attention) > 1e-4


def test_leaving_memories_out_of_everything_is_a_score_without_them(tiny_loaded: LoadedModel) -> None:
    """With nothing of the prompt kept. What is kept has read them all."""
    engine = TorchEngine(tiny_loaded, FORMAT)
    written = engine.write([list(range(40)), list(range(100, 170)), list(range(9))])
    keyed = [KeyedMemory(i, memory) for i, memory in enumerate(written)]

    def session(read: list[KeyedMemory]) -> decode.Session:
        return decode.Session(tiny_loaded.transformer, FORMAT, PROMPT, len(ANSWER), lambda chunk: read)

    groups = [[0], [1, 2], [], [7], [0, 1, 2]]
    found = decode.needed(session(keyed), ANSWER, lambda ids: "", groups, 0)
    kept = decode.needed(session(keyed), ANSWER, lambda ids: "", groups, len(PROMPT) - 1)
    for i, group in enumerate(groups):
        left = [each for each in keyed if each.key not in group]
        alone = decode.score(session(left), ANSWER, lambda ids: "").log_probabilities
        np.testing.assert_allclose(found.without[i], alone, atol=1e-4)
    whole = decode.score(session(keyed), ANSWER, lambda ids: "").log_probabilities
    for needed in (found, kept):
        np.testing.assert_allclose(needed.log_probabilities, whole, atol=1e-4)
        np.testing.assert_allclose(needed.without[2:4], np.stack([whole, whole]), atol=1e-4)
    assert np.abs(kept.without[1] - whole).max() > 1e-3
    assert np.abs(kept.without[1] - found.without[1]).max() > 1e-3
    empty = decode.needed(session(keyed), ANSWER, lambda ids: "", [], 0)
    assert empty.without.shape == (0, len(ANSWER))


def test_weights_are_kept_and_read(tmp_path: Path) -> None:
    assert HeadWeights.open(tmp_path) is None
    WEIGHTS.save(tmp_path, {"questions": 3})
    assert HeadWeights.open(tmp_path) == WEIGHTS
    assert json.loads((tmp_path / FILE).read_text())["fitted"] == {"questions": 3}
    np.testing.assert_allclose(WEIGHTS.array(), [[0, 0.25, 0, 0], [0, 0, 0, 0.75]])


@pytest.mark.parametrize(
    "change",
    [
        {"weights": [[0, 1, 0.5]]},
        {"weights": [[0, 1, 0.5], [0, 1, 0.5]]},
        {"weights": [[1, 1, 1.0]]},
        {"weights": [[0, 4, 1.0]]},
        {"weights": [[0, 0, 1.5], [0, 1, -0.5]]},
        {"weights": "none"},
        {"heads": None},
    ],
)
def test_damaged_weights_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    WEIGHTS.save(tmp_path, {})
    file = tmp_path / FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(AdapterInvalid, match="attest adapt heads"):
        HeadWeights.open(tmp_path)


def test_weights_of_something_else_are_not_used(caplog: pytest.LogCaptureFixture) -> None:
    assert chosen(WEIGHTS, "base", "adapter", FORMAT, 4) is WEIGHTS
    denser = replace(FORMAT, tokens_per_head=64)
    assert chosen(WEIGHTS, "base", "adapter", denser, 4) is WEIGHTS  # the same heads read more tokens
    assert chosen(None, "base", "adapter", FORMAT, 4) is None
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        for base, adapter, fmt, heads in (
            ("other", "adapter", FORMAT, 4),
            ("base", "other", FORMAT, 4),
            ("base", "adapter", replace(FORMAT, layers=(0, 1)), 4),
            ("base", "adapter", FORMAT, 8),
        ):
            assert chosen(WEIGHTS, base, adapter, fmt, heads) is None
    assert len(caplog.records) == 4
