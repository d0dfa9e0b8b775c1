"""Selection and writing against the obvious loops; batches against one reference at a time."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import loading, packing, selection, writer
from engine.errors import MemoryMismatch
from engine.format import Codec, MemoryFormat
from engine.loading import LoadedModel
from engine.torch_engine import TorchEngine


def slow_scores(rule: str, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """One reference, (Hq, T, D) and (H, T, D), by loops and the formula of section 3.3."""
    power = 2 if rule == "contribution_energy" else 1
    heads, tokens, dim = keys.shape
    groups = queries.shape[0] // heads
    scores = torch.zeros(heads, tokens)
    for head in range(heads):
        for query_head in range(head * groups, (head + 1) * groups):
            for i in range(tokens):
                row = [
                    math.exp(float(queries[query_head, i] @ keys[head, j]) / math.sqrt(dim))
                    for j in range(tokens)
                ]
                for j in range(tokens):
                    scores[head, j] += (row[j] / sum(row)) ** power
        if rule != "attention":
            scores[head] *= values[head].norm(dim=-1) ** power
    return scores


@pytest.mark.parametrize("rule", list(selection.RULES))
def test_scores_equal_the_formula(rule: str) -> None:
    torch.manual_seed(0)
    lengths = [7, 4]
    queries, keys, values = torch.randn(2, 6, 7, 8), torch.randn(2, 2, 7, 8), torch.randn(2, 2, 7, 8)
    scores = selection.RULES[rule](queries, keys, values, lengths, 8**-0.5)
    for i, n in enumerate(lengths):
        expected = slow_scores(rule, queries[i, :, :n], keys[i, :, :n], values[i, :, :n])
        torch.testing.assert_close(scores[i, :, :n], expected, atol=1e-4, rtol=1e-4)
        assert (scores[i, :, n:] == -math.inf).all()


def test_selected_tokens_are_the_best_and_ascend() -> None:
    scores = torch.tensor([[[0.1, 0.9, 0.3, 0.8]], [[0.5, 0.4, -math.inf, -math.inf]]])
    assert selection.select(scores, 3).tolist() == [[[1, 2, 3]], [[0, 1, 1]]]


@pytest.mark.parametrize(
    ("k", "codec"), [(8, "fp32"), (128, "fp32"), (128, "int4-channel"), (40, "int4-channel")]
)
def test_a_memory_depends_on_its_reference_alone(tiny_loaded: LoadedModel, k: int, codec: Codec) -> None:
    """Bit for bit, whatever is written with it: cold equals warm."""
    fmt = MemoryFormat((0, 2, 3), tokens_per_head=k, codec=codec)
    generator = np.random.default_rng(1)
    references = [generator.integers(0, 250, n).tolist() for n in (128, 3, 40, 41, 1, 128, 90) * 3]
    together = writer.write(tiny_loaded.transformer, fmt, references)
    for reference, memory in zip(references, together, strict=True):
        alone = writer.write(tiny_loaded.transformer, fmt, [reference])[0]
        assert memory.length == len(reference)
        assert memory.tokens == min(k, len(reference))
        for name, array in memory.to_arrays().items():
            np.testing.assert_array_equal(array, alone.to_arrays()[name])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_default_model_writes_the_same_memory_cold_and_warm(
    model_cache: Path, dtype: torch.dtype
) -> None:
    loaded = loading.load(dtype=dtype, device="cpu", cache=model_cache)
    engine = TorchEngine(loaded)
    generator = np.random.default_rng(2)
    references = [generator.integers(100, 40_000, n).tolist() for n in generator.integers(20, 129, 24)]
    warm = engine.write(references)
    cold = [memory for first in range(0, 24, 5) for memory in engine.write(references[first : first + 5])]
    for one, other in zip(warm, cold, strict=True):
        for name, array in one.to_arrays().items():
            np.testing.assert_array_equal(array, other.to_arrays()[name])


def test_a_sparse_memory_is_rows_of_the_dense_one(tiny_loaded: LoadedModel) -> None:
    reference = list(range(100))
    dense = TorchEngine(tiny_loaded, MemoryFormat((0, 3), codec="fp32")).write([reference])[0]
    sparse = TorchEngine(tiny_loaded, MemoryFormat((0, 3), tokens_per_head=8, codec="fp32")).write(
        [reference]
    )[0]
    for row in range(2):
        for head in range(dense.keys.shape[1]):
            rows = sparse.indices[row, head]
            assert (np.diff(rows.astype(int)) > 0).all()
            np.testing.assert_array_equal(sparse.keys[row, head], dense.keys[row, head, rows])
            np.testing.assert_array_equal(sparse.values[row, head], dense.values[row, head, rows])


def test_packs_keep_the_order_and_fit() -> None:
    lengths = [5, 128, 60, 60, 1, 128, 90] * 9
    made = list(packing.packs(lengths))
    assert [i for pack in made for i in pack] == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in pack) <= packing.PACK_TOKENS for pack in made)
    assert len(made) <= sum(lengths) // (packing.PACK_TOKENS - 128) + 1


@pytest.mark.parametrize("length", [0, 129])
def test_a_reference_that_does_not_fit_is_refused(tiny_loaded: LoadedModel, length: int) -> None:
    with pytest.raises(MemoryMismatch, match=f"{length} tokens"):
        TorchEngine(tiny_loaded).write([[1] * length])
