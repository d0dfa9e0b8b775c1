"""Loading memories: positions, joining, selecting, refusing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from engine import reader
from engine.errors import MemoryMismatch
from engine.format import REFERENCE_TOKENS, MemoryFormat
from engine.loading import LoadedModel
from engine.torch_engine import TorchEngine

REFERENCES = [np.random.default_rng(i).integers(0, 250, n).tolist() for i, n in enumerate((128, 30, 5))]


@pytest.mark.parametrize("positions", ["parallel", "serial"])
def test_loaded_keys_equal_transformers_own_rotation(tiny_loaded: LoadedModel, positions: str) -> None:
    transformer = tiny_loaded.transformer
    fmt = MemoryFormat((0, 2), tokens_per_head=8, positions=positions, codec="fp32")  # type: ignore[arg-type]
    memories = TorchEngine(tiny_loaded, fmt).write(REFERENCES)
    block = reader.load(transformer, fmt, memories, range(3))
    assert block is not None
    column = 0
    for i, memory in enumerate(memories):
        shift = len(transformer.prefix) + (REFERENCE_TOKENS * i if positions == "serial" else 0)
        for row in range(2):
            for head in range(transformer.kv_heads):
                where = torch.from_numpy(memory.indices[row, head].astype("int64")) + shift
                raw = torch.from_numpy(memory.keys[row, head])[None, None]
                cos, sin = transformer.rotary.inner(raw, where[None])
                expected = apply_rotary_pos_emb(raw, raw, cos, sin)[0][0, 0]
                got = block.keys[row, head, column : column + memory.tokens]
                torch.testing.assert_close(got, expected)
                assert (
                    block.tokens[row, head, column : column + memory.tokens] // REFERENCE_TOKENS == i
                ).all()
        column += memory.tokens
    assert block.columns == (8, 8, 5)


def test_context_starts_behind_all_memories_whatever_is_loaded(tiny_loaded: LoadedModel) -> None:
    prefix = len(tiny_loaded.transformer.prefix)
    parallel = MemoryFormat((0,))
    assert tiny_loaded.transformer.context_start(parallel) == prefix + 128
    assert tiny_loaded.transformer.context_start(replace(parallel, positions="serial")) == prefix + 640


def test_selecting_slots_equals_loading_only_them(tiny_loaded: LoadedModel) -> None:
    fmt = MemoryFormat((1, 3), tokens_per_head=8, codec="fp32")
    memories = TorchEngine(tiny_loaded, fmt).write(REFERENCES)
    whole = reader.load(tiny_loaded.transformer, fmt, memories, [0, 1, 2])
    part = reader.load(tiny_loaded.transformer, fmt, [memories[2], memories[0]], [0, 1])
    assert whole is not None
    assert part is not None
    selected = whole.select([2, 0])
    for name in ("keys", "values", "tokens"):
        torch.testing.assert_close(getattr(selected, name), getattr(part, name), atol=0, rtol=0)
    assert selected.columns == part.columns


def test_a_memory_of_another_shape_is_refused(tiny_loaded: LoadedModel) -> None:
    fmt = MemoryFormat((0, 1), tokens_per_head=8)
    foreign = TorchEngine(tiny_loaded, replace(fmt, layers=(0,))).write(REFERENCES[:1])
    with pytest.raises(MemoryMismatch, match="rebuild the bank"):
        reader.load(tiny_loaded.transformer, fmt, foreign, [0])
