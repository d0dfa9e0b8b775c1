"""An adapter by itself, as a GGUF file that llama.cpp's own programs take beside the model's."""

from pathlib import Path

from gguf import GGUFWriter

from engine.adapter import Adapter, matrices
from engine.llama.merging import in_file_order, name_in_file
from engine.llama.model import LlamaModel


def write(path: Path, model: LlamaModel, adapter: Adapter) -> Path:
    """In float32. Raises ModelUnsupported if llama.cpp has no such weights."""
    writer = GGUFWriter(path, model.architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", adapter.scale * adapter.rank)  # which it divides by the rank
    for name, up, down in matrices(adapter):
        ours = name_in_file(model, name)
        writer.add_tensor(f"{ours}.lora_a", down.numpy())
        writer.add_tensor(f"{ours}.lora_b", in_file_order(model, name, up.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
