"""The mean of adapters that one training led through: often better than each (Wortsman et al. 2022, model
soups; Izmailov et al. 2018, stochastic weight averaging).

A and B are averaged each by itself, so that the mean has the rank of its parts. That is sound for adapters of
which each went on from another, whose A and B still mean the same; for strangers it is not.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from engine.adapter import CONFIG, TENSORS, Adapter


def average(adapters: Sequence[Adapter], folder: Path) -> None:
    """Write the mean into `folder`, as peft writes an adapter; its attest.json is the caller's.

    Raises ValueError if they are fewer than two, or of other weights, ranks, scales or maps than the first.
    """
    if len(adapters) < 2:
        raise ValueError("a mean takes two adapters at least")
    first, *others = adapters
    for other in others:
        if (other.base, other.rank, other.scale) != (first.base, first.rank, first.scale):
            raise ValueError(
                f"{other.folder} belongs to other weights than {first.folder}, or has another rank or scale"
            )
    parts = [load_file(adapter.folder / TENSORS) for adapter in adapters]
    shapes = [{name: tensor.shape for name, tensor in part.items()} for part in parts]
    for adapter, shape in zip(others, shapes[1:], strict=True):
        if shape != shapes[0]:
            raise ValueError(f"{adapter.folder} adapts other maps than {first.folder}")
    means = {
        name: torch.stack([part[name].float() for part in parts]).mean(0).to(tensor.dtype)
        for name, tensor in parts[0].items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(means, folder / TENSORS, metadata={"format": "pt"})
    (folder / CONFIG).write_bytes((first.folder / CONFIG).read_bytes())
