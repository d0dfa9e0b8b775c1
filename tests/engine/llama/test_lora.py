"""An adapter in llama.cpp computes what torch computes with it merged, and both share their banks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import loading
from engine.adapter import Adapter
from engine.errors import AdapterMismatch, BackendUnavailable, ModelUnsupported
from engine.llama import lora, trial
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
    model = LlamaModel(pair.file, adapter=adapter)
    return TorchEngine(loaded, FORMAT), LlamaEngine(model, FORMAT, loaded.weights_hash, sizes=SIZES)


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
    monkeypatch.setattr(lora, "interleaved", lambda rows, heads: rows)
    reference, engine = both(pair, adapter, pair.file.parent / "cache")
    ours, _ = engine.teacher_forced(MESSAGES, ANSWER, None)
    expected, _ = reference.teacher_forced(MESSAGES, ANSWER, None)
    assert (mean_difference(ours, expected) < NATS) == (not engine._model.interleaved)
    engine.close()


def test_rows_are_interleaved_as_the_converter_does() -> None:
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)  # one head of six numbers
    assert lora.interleaved(rows, 1)[:, 0].tolist() == [0, 6, 2, 8, 4, 10]
    assert lora.interleaved(np.arange(8.0).astype(np.float32)[:, None], 2)[:, 0].tolist() == [
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
    shapes = {"model.layers.0.mlp.up_proj.weight": (8, 8)}
    fits = llama_pair.loaded.weights_hash
    odd = Adapter.open(tiny_adapter.write(tmp_path / "odd", shapes, fits, FORMAT))
    with pytest.raises(ModelUnsupported, match="does not take adapter odd"):
        LlamaModel(llama_pair.file, adapter=odd)
    unknown = {"model.layers.0.mlp.somewhere.weight": (8, 8)}
    with pytest.raises(ModelUnsupported, match="somewhere"):
        LlamaModel(
            llama_pair.file, adapter=Adapter.open(tiny_adapter.write(tmp_path / "new", unknown, fits, FORMAT))
        )


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


def test_a_build_is_tried_out_with_the_adapter(llama_pair: Pair, tmp_path: Path) -> None:
    adapter, cache = adapter_for(llama_pair, tmp_path), tmp_path / "cache"
    trial.trusted(llama_pair.file, cache)
    trial.trusted(llama_pair.file, cache, adapter)
    assert len(list(cache.glob("trial-*"))) == 2
    (adapter.folder / "adapter_model.safetensors").unlink()
    trial.trusted(llama_pair.file, cache, adapter)  # it was noted
    (cache / f"trial-{trial._key(llama_pair.file, adapter)}").unlink()
    with pytest.raises(BackendUnavailable):
        trial.trusted(llama_pair.file, cache, adapter)


def test_half_precision_files_take_adapters_too(tmp_path: Path) -> None:
    file = tiny_gguf.write(tmp_path / "half.gguf", "llama", weights="f16")
    plain = LlamaModel(file)
    assert plain.lora is None
    shapes = {"model.layers.0.self_attn.q_proj.weight": (64, 64)}
    adapter = Adapter.open(tiny_adapter.write(tmp_path / "one", shapes, loading.file_hash(file), FORMAT))
    assert LlamaModel(file, adapter=adapter).lora
