"""Random LoRA adapters in peft's files, for any set of weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from engine.adapter import CONFIG, OURS, TENSORS
from engine.format import MemoryFormat

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def linear_shapes(model: Any) -> dict[str, tuple[int, int]]:
    """Names and (outputs, inputs) of the weights that an adapter of ours changes."""
    return {
        name: tuple(weight.shape)
        for name, weight in model.named_parameters()
        if name.endswith(tuple(f"{projection}.weight" for projection in PROJECTIONS))
    }


def write(
    folder: Path,
    shapes: Mapping[str, tuple[int, int]],
    base: str,
    fmt: MemoryFormat,
    *,
    rank: int = 4,
    spread: float = 0.2,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    **config: Any,
) -> Path:
    """spread: standard deviation of B; 0 changes nothing. config: fields of peft's configuration to set."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, (outputs, inputs) in shapes.items():
        where = f"base_model.model.{name.removesuffix('.weight')}"
        down = torch.rand(rank, inputs, generator=generator) * 2 - 1  # as peft begins
        tensors[f"{where}.lora_A.weight"] = (down / inputs**0.5).to(dtype)
        tensors[f"{where}.lora_B.weight"] = (torch.randn(outputs, rank, generator=generator) * spread).to(
            dtype
        )
    save_file(tensors, folder / TENSORS)
    plain = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": list(PROJECTIONS),
        "bias": "none",
    }
    (folder / CONFIG).write_text(json.dumps({**plain, **config}))
    (folder / OURS).write_text(json.dumps({"base": base, "format": fmt.to_json(), "trained": {}}))
    return folder
