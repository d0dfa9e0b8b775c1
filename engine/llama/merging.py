"""An adapter in llama.cpp: merged into a copy of its model's file, made once and kept in the cache.

Beside the file's weights, as llama.cpp itself would use an adapter, it costs every token some hundred small
products. Merged, it costs nothing, but changed weights must be quantised again, and at four bits that moves
answers further than many adapters do. At eight bits it cannot be told from torch with the same adapter, and
is the faster of the two (tests/bench/adapter_gguf.py). So what an adapter changes becomes Q8_0, and the rest
stays as it is.
"""

import ctypes
import logging
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from gguf import (
    GGML_QUANT_SIZES,
    MODEL_ARCH_NAMES,
    GGMLQuantizationType,
    GGUFReader,
    GGUFValueType,
    GGUFWriter,
    LlamaFileType,
    TensorNameMap,
    get_tensor_name_map,
)
from gguf.quants import dequantize

from engine.adapter import Adapter, deltas
from engine.errors import AdapterMismatch, ModelUnsupported
from engine.llama import library
from engine.llama.model import LlamaModel

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]
_EXACT = (GGMLQuantizationType.F32, GGMLQuantizationType.F16, GGMLQuantizationType.BF16)
_MERGED = GGMLQuantizationType.Q8_0


def merged(file: Path, weights: str, adapter: Adapter, models: Path) -> Path:
    """The copy of `file` (hash `weights`) with the adapter in it, kept in the folder `models`.

    Raises AdapterMismatch for an adapter of other weights, ModelUnsupported if llama.cpp has no such weights.
    """
    adapter.check(weights)
    target = models / f"{weights[:16]}-{adapter.hash[:16]}-{_MERGED.name}.gguf"
    models.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):  # the page and the worker start together; one of them does it
        if not target.is_file():
            log.info("merging an adapter into a GGUF file of %d bytes, once", file.stat().st_size)
            with tempfile.TemporaryDirectory(dir=models) as folder:
                weights_with = dict(changed(file, adapter))
                rewrite(file, weights_with, _MERGED, Path(folder) / "merged.gguf").rename(target)
    return target


def rewrite(file: Path, changed: dict[str, Floats], kind: GGMLQuantizationType | None, target: Path) -> Path:
    """`file` with other weights (outputs, inputs) by name: in number format `kind` where the old ones were
    quantised, in their own format where they were not, or where `kind` is None.
    """
    reader = GGUFReader(file)
    writer = GGUFWriter(target, str(_field(reader, "general.architecture")))
    for field in reader.fields.values():
        if field.name in ("general.architecture", "general.file_type") or field.name.startswith("GGUF."):
            continue
        array = field.types[0] == GGUFValueType.ARRAY
        writer.add_key_value(
            field.name, field.contents(), field.types[0], sub_type=field.types[-1] if array else None
        )
    kinds = {tensor.tensor_type for tensor in reader.tensors if tensor.name in changed}
    file_type = _field(reader, "general.file_type")
    if kind is not None and kinds - set(_EXACT):
        file_type = LlamaFileType[f"MOSTLY_{kind.name}"]
    if file_type is not None:
        writer.add_file_type(int(file_type))
    for tensor in reader.tensors:
        data, own = tensor.data, tensor.tensor_type
        if tensor.name in changed:
            own = own if kind is None or own in _EXACT else kind
            data = quantised(changed[tensor.name], own)
        writer.add_tensor(tensor.name, data, raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def changed(file: Path, adapter: Adapter) -> Iterator[tuple[str, Floats]]:
    """(name, weights with the adapter) of each of the file's tensors that it changes."""
    model = LlamaModel(file, gpu=False)
    tensors = {tensor.name: tensor for tensor in GGUFReader(file).tensors}
    for name, delta in deltas(adapter):
        tensor = tensors.get(name_in_file(model, name))
        if tensor is None:
            raise ModelUnsupported(f"{file.name} has no weight {name}, which adapter {adapter.name} changes")
        weights = dequantize(tensor.data, tensor.tensor_type)
        rows = in_file_order(model, name, delta.numpy())
        if rows.shape != weights.shape:
            raise AdapterMismatch(
                f"{file.name} has {weights.shape} numbers in {name}, adapter {adapter.name} {rows.shape}; "
                "set the adapter to none"
            )
        yield tensor.name, weights + rows


def name_in_file(model: LlamaModel, name: str) -> str:
    """What llama.cpp calls a weight of transformers. Raises ModelUnsupported if it knows none such."""
    found = _names(model.architecture, model.layers).get_name(name, (".weight",))
    if found is None:
        raise ModelUnsupported(
            f"{model.path.name}: llama.cpp has no weight {name}, which the adapter changes"
        )
    return str(found)


@cache
def _names(architecture: str, layers: int) -> TensorNameMap:
    known = next((arch for arch, name in MODEL_ARCH_NAMES.items() if name == architecture), None)
    if known is None:
        raise ModelUnsupported(f"no adapter can be used with the architecture {architecture}")
    return get_tensor_name_map(known, layers)


def in_file_order(model: LlamaModel, name: str, rows: Floats) -> Floats:
    """Rows of a weight as the file orders them: queries and keys of some architectures are interleaved."""
    heads = {"q_proj": model.heads, "k_proj": model.kv_heads}.get(name.split(".")[-2])
    return interleaved(rows, heads) if model.interleaved and heads else rows


def interleaved(rows: Floats, heads: int) -> Floats:
    """Query or key rows (heads * D, ...), each head's from two halves to pairs that lie side by side."""
    pairs = rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(pairs).reshape(rows.shape)


def quantised(weights: Floats, kind: GGMLQuantizationType) -> npt.NDArray[Any]:
    """Rows in number format `kind`, by llama.cpp's own quantiser."""
    source = np.ascontiguousarray(weights, dtype=np.float32)
    if kind == GGMLQuantizationType.F32:
        return source
    if kind == GGMLQuantizationType.F16:
        return source.astype(np.float16)
    quantise = library.ggml().ggml_quantize_chunk
    quantise.restype = ctypes.c_size_t
    quantise.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    block, size = GGML_QUANT_SIZES[kind]
    target = np.empty((len(source), source.shape[1] // block * size), dtype=np.uint8)
    quantise(kind, source.ctypes.data, target.ctypes.data, 0, *source.shape, None)
    return target


def _field(reader: GGUFReader, name: str) -> Any:
    field = reader.get_field(name)
    return None if field is None else field.contents()
