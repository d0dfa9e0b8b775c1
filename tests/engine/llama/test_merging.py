"""An adapter in llama.cpp computes what torch computes with it merged, and both share their banks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, LlamaFileType
from gguf.quants import dequantize

from engine import loading
from engine.adapter import Adapter
from engine.errors import AdapterMismatch, ModelUnsupported
from engine.llama import merging
from engine.llama.engine import LlamaEngine
from engine.llama.model import LlamaModel
from engine.opening import open_engine
from engine.protocol import KeyedMemory
from engine.torch_engine import TorchEngine
from tests.engine import tiny_adapter, tiny_gguf
from tests.engine.llama.conftest import MESSAGES, SIZES, Pair, memory_format
from tests.engine.llama.test_equality import NATS, mean_difference

FORMAT = memory_format()
ANSWER = list(range(20, 50))


def adapter_for(pair: Pair, folder: Path, **options: object) -> Adapter:
    shapes = tiny_adapter.linear_shapes(pair.loaded.transformer.model)
    options = {"base": pair.loaded.weights_hash, "fmt": FORMAT, **options}
    return Adapter.open(tiny_adapter.write(folder / "tuned", shapes, **options))  # type: ignore[arg-type]


def both(pair: Pair, adapter: Adapter, cache: Path) -> tuple[TorchEngine, LlamaEngine]:
    loaded = loading.load(str(pair.file), dtype=torch.float32, device="cpu", adapter=adapter, cache=cache)
    model = LlamaModel(merging.merged(pair.file, loaded.weights_hash, adapter, cache))
    engine = LlamaEngine(model, FORMAT, loaded.weights_hash, adapter=adapter, sizes=SIZES)
    return TorchEngine(loaded, FORMAT), engine


def test_both_backends_compute_alike_and_share_banks(
    pair: Pair, tmp_path: Path, references: Callable[..., list[list[int]]]
) -> None:
    adapter = adapter_for(pair, tmp_path)
    reference, engine = both(pair, adapter, pair.file.parent / "cache")
    assert engine.fingerprint == reference.fingerprint
    assert engine.fingerprint.differences(pair.llama(FORMAT).fingerprint.to_json()) == ["adapter"]
    assert engine.info.adapter == reference.info.adapter == "tuned"

    plain, _ = engine.teacher_forced(MESSAGES, ANSWER, None)
    expected, _ = reference.teacher_forced(MESSAGES, ANSWER, None)
    without, _ = pair.torch(FORMAT).teacher_forced(MESSAGES, ANSWER, None)
    assert mean_difference(plain, expected) < NATS
    assert mean_difference(without, expected) > 4 * NATS  # the adapter matters

    for writer in (reference, engine):  # each reads what the other wrote
        keyed = [KeyedMemory(i, memory) for i, memory in enumerate(writer.write(references(128, 90, 40)))]
        ours, _ = engine.teacher_forced(MESSAGES, ANSWER, lambda chunk, keyed=keyed: keyed)
        theirs, _ = reference.teacher_forced(MESSAGES, ANSWER, lambda chunk, keyed=keyed: keyed)
        assert mean_difference(ours, theirs) < NATS
    engine.close()


def test_query_and_key_rows_are_reordered_where_the_file_has_them_so(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = adapter_for(pair, tmp_path)
    monkeypatch.setattr(merging, "interleaved", lambda rows, heads: rows)
    reference, engine = both(pair, adapter, tmp_path / "cache")
    ours, _ = engine.teacher_forced(MESSAGES, ANSWER, None)
    expected, _ = reference.teacher_forced(MESSAGES, ANSWER, None)
    assert (mean_difference(ours, expected) < NATS) == (not engine._model.interleaved)
    engine.close()


def test_rows_are_interleaved_as_the_converter_does() -> None:
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)  # one head of six numbers
    assert merging.interleaved(rows, 1)[:, 0].tolist() == [0, 6, 2, 8, 4, 10]
    assert merging.interleaved(np.arange(8.0).astype(np.float32)[:, None], 2)[:, 0].tolist() == [
        0,
        2,
        1,
        3,
        4,
        6,
        5,
        7,
    ]


def test_an_adapter_of_other_shapes_is_refused(llama_pair: Pair, tmp_path: Path) -> None:
    fits = llama_pair.loaded.weights_hash

    def refused(name: str, weight: str) -> None:
        adapter = Adapter.open(tiny_adapter.write(tmp_path / name, {weight: (8, 8)}, fits, FORMAT))
        merging.merged(llama_pair.file, fits, adapter, tmp_path / "cache")

    with pytest.raises(AdapterMismatch, match="adapter odd"):
        refused("odd", "model.layers.0.mlp.up_proj.weight")
    with pytest.raises(ModelUnsupported, match="somewhere"):
        refused("new", "model.layers.0.mlp.somewhere.weight")


@pytest.mark.parametrize("backend", ["llamacpp", "torch"])
def test_an_engine_is_opened_with_it(backend: str, llama_pair: Pair, tmp_path: Path) -> None:
    adapter = adapter_for(llama_pair, tmp_path)
    options = {"backend": backend, "device": "cpu", "cache": tmp_path / "cache"}
    name, folder = str(llama_pair.file), str(adapter.folder)
    engine = open_engine(name, adapter=folder, **options)  # type: ignore[arg-type]
    assert (engine.info.backend, engine.info.adapter, engine.format) == (backend, "tuned", FORMAT)
    assert engine.fingerprint.adapter == adapter.hash
    memory = engine.write([[5, 6, 7, 8]])[0]
    assert np.array_equal(
        memory.keys, open_engine(name, adapter=folder, **options).write([[5, 6, 7, 8]])[0].keys
    )  # type: ignore[arg-type]
    bare = open_engine(name, adapter="none", memory_format='{"tokens_per_head": 24}', **options)  # type: ignore[arg-type]
    assert bare.fingerprint.adapter == ""
    assert not np.array_equal(memory.values, bare.write([[5, 6, 7, 8]])[0].values)
    other = adapter_for(llama_pair, tmp_path / "other", base="0" * 64)
    with pytest.raises(AdapterMismatch):
        open_engine(name, adapter=str(other.folder), **options)  # type: ignore[arg-type]


def test_a_file_is_merged_once(llama_pair: Pair, tmp_path: Path) -> None:
    adapter, cache = adapter_for(llama_pair, tmp_path), tmp_path / "cache"
    first = merging.merged(llama_pair.file, adapter.base, adapter, cache)
    made = first.stat().st_mtime_ns
    assert merging.merged(llama_pair.file, adapter.base, adapter, cache) == first
    assert first.stat().st_mtime_ns == made
    other = adapter_for(llama_pair, tmp_path / "other", seed=1)
    assert merging.merged(llama_pair.file, adapter.base, other, cache) != first
    assert not [left for left in cache.iterdir() if left.is_dir()]


def test_what_is_quantised_becomes_eight_bits_and_the_rest_stays(tmp_path: Path) -> None:
    """A file of four bits, as real ones are; its untouched weights keep every byte."""
    plain = tiny_gguf.write(tmp_path / "plain.gguf", "llama")
    weights = {
        tensor.name: dequantize(tensor.data, tensor.tensor_type)
        for tensor in GGUFReader(plain).tensors
        if "attn_q" in tensor.name or "attn_output" in tensor.name
    }
    four = tmp_path / "four.gguf"
    writer = GGUFWriter(four, "llama")
    for name, rows in weights.items():
        four_bits = GGMLQuantizationType.Q4_0
        writer.add_tensor(name, merging.quantised(rows, four_bits), raw_dtype=four_bits)
    writer.add_file_type(int(LlamaFileType.MOSTLY_Q4_0))
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        step()
    writer.close()
    changed = {name: rows + 0.5 for name, rows in weights.items() if "attn_q" in name}
    eight = merging.rewrite(four, changed, GGMLQuantizationType.Q8_0, tmp_path / "eight.gguf")
    before = {tensor.name: tensor for tensor in GGUFReader(four).tensors}
    reader = GGUFReader(eight)
    assert LlamaFileType(reader.get_field("general.file_type").contents()) == LlamaFileType.MOSTLY_Q8_0
    for tensor in reader.tensors:
        if tensor.name in changed:
            assert tensor.tensor_type == GGMLQuantizationType.Q8_0
            kept = dequantize(tensor.data, tensor.tensor_type)
            np.testing.assert_allclose(kept, changed[tensor.name], atol=0.02)
        else:
            assert tensor.tensor_type == GGMLQuantizationType.Q4_0
            assert np.array_equal(tensor.data, before[tensor.name].data)


def test_half_precision_stays_half_precision(tmp_path: Path) -> None:
    file = tiny_gguf.write(tmp_path / "half.gguf", "llama", weights="f16")
    shapes = {"model.layers.0.self_attn.q_proj.weight": (64, 64)}
    adapter = Adapter.open(tiny_adapter.write(tmp_path / "one", shapes, loading.file_hash(file), FORMAT))
    copy = merging.merged(file, adapter.base, adapter, tmp_path / "cache")
    kinds = [
        {tensor.name: tensor.tensor_type for tensor in GGUFReader(each).tensors} for each in (file, copy)
    ]
    assert kinds[0] == kinds[1]
    assert LlamaModel(copy).quantisation == LlamaModel(file).quantisation
