"""LoRA adapters in torch: merged as peft merges, named in fingerprints, refused where they do not belong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel

from engine import loading, opening, registry
from engine.adapter import CONFIG, OURS, TENSORS, Adapter, chosen, deltas, identity
from engine.errors import AdapterInvalid, AdapterMismatch
from engine.format import MemoryFormat
from engine.loading import LoadedModel
from engine.protocol import KeyedMemory, Message
from engine.registry import REGISTERED, Registered, adapter_folder
from engine.torch_engine import TorchEngine, format_of
from tests.engine import tiny, tiny_adapter

FORMAT = MemoryFormat((0, 1, 2, 3), 16, selection="attention_value_norm", codec="int8")
MESSAGES = [Message("user", "What is the state of the band?")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # on a CPU the 4-bit kernel wants multiples of 32
    shape = {"hidden_size": 64, "num_attention_heads": 4, "head_dim": 16}
    return tiny.save("llama", tmp_path_factory.mktemp("adapted") / "llama", **shape)


@pytest.fixture(scope="module")
def load(folder: Path) -> Callable[..., LoadedModel]:
    def loaded(adapter: Adapter | None = None, **options: object) -> LoadedModel:
        options = {"dtype": torch.float32, **options}
        return loading.load(str(folder), device="cpu", adapter=adapter, cache=folder / "cache", **options)  # type: ignore[arg-type]

    return loaded


@pytest.fixture(scope="module")
def base(load: Callable[..., LoadedModel]) -> LoadedModel:
    return load()


@pytest.fixture
def write(base: LoadedModel, tmp_path: Path) -> Callable[..., Path]:
    def written(name: str = "tuned", **options: object) -> Path:
        shapes = tiny_adapter.linear_shapes(base.transformer.model)
        options = {"base": base.weights_hash, "fmt": FORMAT, **options}
        return tiny_adapter.write(tmp_path / name, shapes, **options)  # type: ignore[arg-type]

    return written


def weights(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    return dict(loaded.transformer.model.named_parameters())


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks for it
@pytest.mark.parametrize("rslora", [False, True])
def test_it_is_merged_as_peft_merges(
    folder: Path, load: Callable[..., LoadedModel], write: Callable[..., Path], rslora: bool
) -> None:
    adapter = Adapter.open(write(use_rslora=rslora))
    ours = weights(load(adapter))
    stock, _ = loading._from_pretrained(str(folder), dtype=torch.float32)
    theirs = dict(PeftModel.from_pretrained(stock, str(adapter.folder)).merge_and_unload().named_parameters())
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], rtol=0, atol=1e-6)
    changed = [name for name, _ in deltas(adapter)]
    assert len(changed) == 7 * 4


def test_it_is_rounded_once(load: Callable[..., LoadedModel], write: Callable[..., Path]) -> None:
    adapter = Adapter.open(write(dtype=torch.bfloat16))
    before, after = weights(load(dtype=torch.bfloat16)), weights(load(adapter, dtype=torch.bfloat16))
    for name, delta in deltas(adapter):
        assert delta.dtype == torch.float32
        torch.testing.assert_close(after[name], (before[name].float() + delta).bfloat16(), rtol=0, atol=0)


def test_an_adapter_of_zeros_changes_no_bit(
    base: LoadedModel, load: Callable[..., LoadedModel], write: Callable[..., Path]
) -> None:
    zeros = weights(load(Adapter.open(write(spread=0.0))))
    for name, weight in weights(base).items():
        assert torch.equal(weight, zeros[name])


def test_it_is_named_and_changes_what_banks_are_valid_for(
    base: LoadedModel, load: Callable[..., LoadedModel], write: Callable[..., Path]
) -> None:
    one, other = Adapter.open(write("one")), Adapter.open(write("other", seed=1))
    loaded = load(one)
    assert loaded.info.adapter == "one"
    assert loaded.weights_hash == base.weights_hash
    prints = [each.fingerprint(FORMAT) for each in (base, loaded, load(other))]
    assert [each.adapter for each in prints] == ["", one.hash, other.hash]
    assert prints[0].differences(prints[1].to_json()) == ["adapter"]
    assert len({each.id for each in prints}) == 3


@pytest.mark.parametrize("quantisation", ["8bit", "4bit"])
def test_it_is_merged_before_weights_are_quantised(
    quantisation: str, base: LoadedModel, load: Callable[..., LoadedModel], write: Callable[..., Path]
) -> None:
    adapter = Adapter.open(write(spread=2.0))
    exact, rounded = load(adapter), load(adapter, quantisation=quantisation)
    assert rounded.fingerprint(FORMAT).differences(exact.fingerprint(FORMAT).to_json()) == ["quantisation"]

    def matrix(loaded: LoadedModel) -> torch.Tensor:
        with torch.inference_mode():
            return loaded.transformer.backbone.layers[2].mlp.up_proj(torch.eye(64))

    assert type(rounded.transformer.backbone.layers[2].mlp.up_proj).__module__.startswith("bitsandbytes")
    moved = (matrix(exact) - matrix(base)).abs().mean()
    assert (matrix(rounded) - matrix(exact)).abs().mean() < moved / 4
    engine = TorchEngine(rounded)
    keyed = [KeyedMemory(1, engine.write([list(range(40))])[0])]
    score = engine.score(MESSAGES, "some answer", lambda chunk: keyed)
    assert np.isfinite(score.log_probabilities).all()


def test_an_adapter_of_other_weights_is_refused(
    load: Callable[..., LoadedModel], write: Callable[..., Path]
) -> None:
    with pytest.raises(AdapterMismatch, match=r"adapter tuned was trained on other weights \(0{12}\)"):
        load(Adapter.open(write(base="0" * 64)))


def test_an_adapter_of_another_shape_is_refused(
    base: LoadedModel, load: Callable[..., LoadedModel], tmp_path: Path
) -> None:
    shapes = {"model.layers.9.mlp.up_proj.weight": (64, 48)}
    adapter = Adapter.open(tiny_adapter.write(tmp_path / "odd", shapes, base.weights_hash, FORMAT))
    with pytest.raises(AdapterMismatch, match=r"model\.layers\.9\.mlp\.up_proj\.weight"):
        load(adapter)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"peft_type": "IA3"}, "peft_type"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"rank_pattern": {"q_proj": 8}}, "rank_pattern"),
        ({"r": 5}, "rank 5"),
        ({"r": 0}, "lacks what it should say"),
        ({"lora_alpha": None}, "lacks what it should say"),
    ],
)
def test_other_kinds_of_adapters_are_refused(
    config: dict[str, object], said: str, write: Callable[..., Path]
) -> None:
    with pytest.raises(AdapterInvalid, match=said):
        Adapter.open(write(**config))


@pytest.mark.parametrize("name", [CONFIG, TENSORS, OURS])
def test_a_missing_or_damaged_file_is_named(name: str, write: Callable[..., Path]) -> None:
    folder = write()
    data = (folder / name).read_bytes()
    for harm in (lambda file: file.write_bytes(data[: len(data) // 2]), Path.unlink):
        harm(folder / name)
        with pytest.raises(AdapterInvalid, match=name.replace(".", r"\.")):
            Adapter.open(folder)


def test_the_hash_is_of_what_is_computed_with(write: Callable[..., Path]) -> None:
    folder = write()
    first = Adapter.open(folder)
    ours = json.loads((folder / OURS).read_text())
    (folder / OURS).write_text(json.dumps({**ours, "trained": {"steps": 5}}))
    assert Adapter.open(folder).hash == first.hash
    moved = Adapter.open(Path(shutil.copytree(folder, folder.with_name("moved"))))
    assert (moved.hash, moved.name, moved.format) == (first.hash, "moved", FORMAT)


def test_the_default_format_is_the_adapters(
    load: Callable[..., LoadedModel], write: Callable[..., Path]
) -> None:
    adapter = Adapter.open(write())
    assert TorchEngine(load(adapter)).format == FORMAT
    assert format_of("default", 4, adapter) == FORMAT
    assert format_of('{"tokens_per_head": 8}', 4, adapter).codec == "int8"
    assert format_of("paper", 4, adapter) == MemoryFormat.paper(4)
    assert format_of("default", 4) != FORMAT


def test_settings_stand_for_adapters(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write()
    shipped = Registered("shipped", "language model", "nowhere", "file", "MIT", adapter="teaching")
    monkeypatch.setitem(registry.REGISTERED, "shipped", shipped)
    auto = adapter_folder("auto", "shipped")
    assert auto is not None
    assert auto.parts[-3:] == ("assets", "adapters", "teaching")
    assert adapter_folder("none", "shipped") is adapter_folder("auto", str(folder)) is None
    assert chosen("none", "shipped") is None
    opened = chosen(str(folder), "shipped")
    assert opened is not None
    assert identity(str(folder), "shipped") == opened.hash
    assert identity("none", "shipped") == identity("auto", "else") == ""
    assert identity("/no/such", "shipped") == "/no/such"
    with pytest.raises(AdapterInvalid, match="/no/such"):
        chosen("/no/such", "shipped")


def test_shipped_adapters_belong_to_their_models() -> None:
    for model in REGISTERED.values():
        if model.adapter is not None:
            adapter, file = chosen("auto", model.name), model.path()
            assert adapter is not None
            assert file is not None
            adapter.check(loading.file_hash(file))


def test_an_adapter_that_comes_with_the_model_and_does_not_fit_is_left_out(
    folder: Path,
    write: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = write(base="0" * 64)
    monkeypatch.setattr(opening, "chosen", lambda setting, model: Adapter.open(other))
    options = {"backend": "torch", "device": "cpu", "cache": tmp_path}
    assert opening.open_engine(str(folder), **options).info.adapter is None  # type: ignore[arg-type]
    assert "answers come without an adapter" in caplog.text
    with pytest.raises(AdapterMismatch):
        opening.open_engine(str(folder), adapter=str(other), **options)  # type: ignore[arg-type]
