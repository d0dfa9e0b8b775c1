"""An adapter in llama.cpp: its two matrices per weight beside the file's own, which stay as they are.

llama.cpp takes LoRA adapters as GGUF files of their own, so one is written for the time of loading. Merged
into the file's weights they would cost nothing per token, but the weights must then be quantised again. At
four bits that moved logits further than a random adapter itself did, at eight bits it was no faster than this
(tests/bench/adapter_gguf.py).
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from engine.adapter import Adapter, matrices
from engine.errors import ModelUnsupported

if TYPE_CHECKING:
    from engine.llama.model import LlamaModel

Floats = npt.NDArray[np.float32]


def load(model: "LlamaModel", adapter: Adapter) -> Any:
    """llama.cpp's handle of the adapter, which is freed with the model. To be loaded before any context.

    Raises ModelUnsupported if llama.cpp has no such weights.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = write(Path(folder) / "adapter.gguf", model, adapter)
        handle = model.library.llama_adapter_lora_init(model.handle, str(file).encode())
    if not handle:
        raise ModelUnsupported(
            f"llama.cpp does not take adapter {adapter.name} with {model.path.name}; choose --backend torch, "
            "or set the adapter to none"
        )
    return handle


def write(path: Path, model: "LlamaModel", adapter: Adapter) -> Path:
    """The adapter as llama.cpp reads it, in float32. Raises ModelUnsupported."""
    from gguf import MODEL_ARCH_NAMES, GGUFWriter, get_tensor_name_map

    known = next((arch for arch, name in MODEL_ARCH_NAMES.items() if name == model.architecture), None)
    if known is None:
        raise ModelUnsupported(f"no adapter can be used with the architecture {model.architecture}")
    names = get_tensor_name_map(known, model.layers)
    heads = {"q_proj": model.heads, "k_proj": model.kv_heads}
    writer = GGUFWriter(path, model.architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", adapter.scale * adapter.rank)  # which it divides by the rank
    for name, up, down in matrices(adapter):
        ours = names.get_name(name, (".weight",))
        if ours is None:
            raise ModelUnsupported(f"llama.cpp has no weight {name}, which adapter {adapter.name} changes")
        rows, projection = up.numpy(), name.split(".")[-2]
        if model.interleaved and projection in heads:
            rows = interleaved(rows, heads[projection])
        writer.add_tensor(f"{ours}.lora_a", down.numpy())
        writer.add_tensor(f"{ours}.lora_b", rows)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def interleaved(rows: Floats, heads: int) -> Floats:
    """Query or key rows (heads * D, ...), each head's from two halves to pairs that lie side by side."""
    pairs = rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(pairs).reshape(rows.shape)
