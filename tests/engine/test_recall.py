"""What finds memories: the fast way equals the obvious one; heads are believed with their adapter only."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from engine import recall
from engine.errors import AdapterInvalid
from engine.memory import ExplicitMemory

LAYERS = (1, 4)
HEADS = ((1, 0), (4, 3), (4, 5))


def memory(generator: np.random.Generator, tokens: int, *, scaled: bool) -> ExplicitMemory:
    """Two layers, two key-value heads, four dimensions."""
    keys = generator.integers(-127, 127, (2, 2, tokens, 4)).astype(np.int8)
    scales = generator.random((2, 2, tokens)).astype(np.float32) / 50
    indices = np.tile(np.arange(tokens, dtype=np.uint8), (2, 2, 1))
    if scaled:
        return ExplicitMemory(keys, keys, indices, tokens, scales, scales)
    return ExplicitMemory(keys * scales[..., None], keys, indices, tokens)


@pytest.mark.parametrize("scaled", [True, False])
def test_scores_are_the_logarithm_of_what_a_head_would_spend(scaled: bool) -> None:
    generator = np.random.default_rng(0)
    memories = [memory(generator, tokens, scaled=scaled) for tokens in (5, 1, 7)]
    queries = generator.normal(size=(2, 6, 3, 4)).astype(np.float32)
    expected = np.zeros((3, 3))
    for i, each in enumerate(memories):
        for column, (layer, head) in enumerate(HEADS):
            total = 0.0
            for token in range(each.tokens):
                row, own = LAYERS.index(layer), head // 3
                scale = 1.0 if each.key_scales is None else float(each.key_scales[row, own, token])
                key = [float(number) * scale for number in each.keys[row, own, token]]
                query = [float(number) for number in queries[row, head, -1]]
                total += math.exp(sum(k * q for k, q in zip(key, query, strict=True)) / math.sqrt(4))
            expected[i, column] = math.log(total)
    np.testing.assert_allclose(recall.scores(queries, memories, LAYERS, HEADS), expected, rtol=1e-4)


def test_heads_are_kept_with_their_adapter(tmp_path: Path) -> None:
    assert recall.opened(tmp_path, "mine") == ()
    recall.save(tmp_path, "mine", HEADS, {"questions": 3})
    assert recall.opened(tmp_path, "mine") == HEADS
    assert recall.opened(tmp_path, "another") == ()
    file = tmp_path / recall.FILE
    for damaged in ("{", json.dumps({"adapter": "mine"}), json.dumps({"adapter": "mine", "heads": [[1]]})):
        file.write_text(damaged)
        with pytest.raises(AdapterInvalid, match=r"recall\.json"):
            recall.opened(tmp_path, "mine")
