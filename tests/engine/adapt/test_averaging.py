"""The mean of adapters is theirs, map by map, and strangers are refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.adapt.averaging import average
from engine.adapter import CONFIG, OURS, TENSORS, Adapter
from engine.format import MemoryFormat
from tests.engine import tiny_adapter

SHAPES = {"model.layers.0.self_attn.q_proj": (48, 48), "model.layers.0.mlp.up_proj": (64, 48)}


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Adapter]:
    def write(name: str, **options: object) -> Adapter:
        options = {"base": "a" * 64, "fmt": MemoryFormat((0,), 16), "shapes": SHAPES, **options}
        return Adapter.open(tiny_adapter.write(tmp_path / name, **options))  # type: ignore[arg-type]

    return write


def test_each_number_is_the_mean(written: Callable[..., Adapter], tmp_path: Path) -> None:
    parts = [written(str(seed), seed=seed, dtype=torch.bfloat16) for seed in range(3)]
    average(parts, tmp_path / "mean")
    (tmp_path / "mean" / OURS).write_bytes((parts[0].folder / OURS).read_bytes())
    mean = Adapter.open(tmp_path / "mean")
    assert (mean.rank, mean.scale) == (parts[0].rank, parts[0].scale)
    assert (mean.folder / CONFIG).read_bytes() == (parts[0].folder / CONFIG).read_bytes()
    assert mean.hash not in {part.hash for part in parts}
    found, theirs = load_file(mean.folder / TENSORS), [load_file(part.folder / TENSORS) for part in parts]
    assert found.keys() == theirs[0].keys()
    for name, tensor in found.items():
        assert tensor.dtype == torch.bfloat16
        sums = theirs[0][name].float() + theirs[1][name].float() + theirs[2][name].float()
        torch.testing.assert_close(tensor, (sums / 3).bfloat16())


def test_one_and_the_same_stays(written: Callable[..., Adapter], tmp_path: Path) -> None:
    part = written("one", dtype=torch.bfloat16)
    average([part, part], tmp_path / "mean")
    kept = load_file(tmp_path / "mean" / TENSORS)
    assert all(torch.equal(kept[name], tensor) for name, tensor in load_file(part.folder / TENSORS).items())


def test_strangers_are_refused(written: Callable[..., Adapter], tmp_path: Path) -> None:
    first, out = written("first"), tmp_path / "mean"
    for name, options, message in (
        ("base", {"base": "b" * 64}, "other weights"),
        ("rank", {"rank": 2}, "another rank"),
        ("scale", {"lora_alpha": 3}, "another rank or scale"),
        ("maps", {"shapes": {"model.layers.0.self_attn.q_proj": (48, 48)}}, "other maps"),
    ):
        with pytest.raises(ValueError, match=message):
            average([first, written(name, **options)], out)
    with pytest.raises(ValueError, match="two adapters"):
        average([first], out)
    assert not out.exists()
