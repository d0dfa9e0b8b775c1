"""The tiny GGUF models mean the same to transformers and to llama.cpp: weights, logits, tokens, prompt."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from engine import attention, loading
from engine.errors import ModelUnsupported
from engine.loading import LoadedModel
from engine.protocol import Message
from tests.engine import tiny_gguf

TOKENS = 40
TEXTS = [
    "The band of the states: 12  12 fées, 3½ km — “quoted”.\n\n\tIt's  DON'T we'll\r\n\n",
    "   leading and trailing   ",
    "x1y22z333 4,567.89 (a+b)==c; naïve 漢字テスト 🙂🙂",
    "the and for ing information\n \n  x",
    "",
]


def torch_loaded(folder: Path, family: str, **changes: Any) -> tuple[Path, LoadedModel]:
    folder.mkdir(exist_ok=True)
    file = tiny_gguf.write(folder / f"{family}.gguf", family, **changes)
    return file, loading.load(str(file), dtype=torch.float32, device="cpu", cache=folder / "cache")


@contextmanager
def llama(file: Path, cache: str = "f16", flash: bool = False) -> Iterator[Any]:
    """llama.cpp with every token's logits; cache: number format of its keys and values."""
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    kind = {"f16": llama_cpp.GGML_TYPE_F16, "f32": llama_cpp.GGML_TYPE_F32}[cache]
    with closing(
        llama_cpp.Llama(
            str(file),
            n_ctx=256,
            n_threads=1,
            n_threads_batch=1,
            logits_all=True,
            type_k=kind,
            type_v=kind,
            flash_attn=flash,
            verbose=False,
        )
    ) as model:
        yield model


def llama_logits(model: Any, ids: Sequence[int]) -> npt.NDArray[np.float32]:
    model.eval(ids)
    return np.array(model.scores[: len(ids)])


def torch_logits(loaded: LoadedModel, ids: Sequence[int]) -> npt.NDArray[np.float32]:
    with torch.inference_mode():
        output = loaded.transformer.model(input_ids=torch.tensor([list(ids)]), use_cache=False)
    return np.asarray(output.logits[0].numpy())


def some_tokens(seed: int = 1) -> list[int]:
    drawn = np.random.default_rng(seed).integers(0, len(tiny_gguf.vocabulary()), TOKENS)
    return [int(token) for token in drawn]


@pytest.fixture(scope="module", params=list(tiny_gguf.FAMILIES))
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, LoadedModel]:
    return torch_loaded(tmp_path_factory.mktemp(request.param), request.param)


# logits spread by 2; a wrong rotation, norm or bias moves them by that much
@pytest.mark.parametrize(
    ("cache", "flash", "tolerance"), [("f32", False, 3e-4), ("f16", False, 0.05), ("f16", True, 0.08)]
)
def test_torch_and_llama_cpp_agree(
    both: tuple[Path, LoadedModel], cache: str, flash: bool, tolerance: float
) -> None:
    file, loaded = both
    ids = some_tokens()
    with llama(file, cache, flash) as model:
        np.testing.assert_allclose(
            llama_logits(model, ids), torch_logits(loaded, ids), atol=tolerance, rtol=0
        )


@pytest.mark.parametrize("family", list(tiny_gguf.FAMILIES))
def test_they_agree_on_half_precision_weights(family: str, tmp_path: Path) -> None:
    """llama.cpp rounds the other side of each product to half precision too."""
    file, loaded = torch_loaded(tmp_path, family, weights="f16")
    ids = some_tokens()
    with llama(file, "f32") as model:
        np.testing.assert_allclose(llama_logits(model, ids), torch_logits(loaded, ids), atol=0.05, rtol=0)


def test_they_cut_text_into_the_same_tokens(both: tuple[Path, LoadedModel]) -> None:
    file, loaded = both
    tokenizer = loaded.transformer.tokenizer
    with llama(file) as model:
        for text in TEXTS:
            ids = model.tokenize(text.encode(), add_bos=False, special=False)
            assert ids == tokenizer(text, add_special_tokens=False).input_ids
            assert model.detokenize(ids).decode() == text
        # whether a BOS comes first is the file's to say
        assert model.tokenize(b"a b", add_bos=True) == tokenizer("a b").input_ids
        assert (model.token_bos(), model.token_eos()) == (tokenizer.bos_token_id, tokenizer.eos_token_id)


def test_they_build_the_same_prompt(both: tuple[Path, LoadedModel]) -> None:
    file, loaded = both
    question = "Who pays the fee?"
    rendered = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    ids = loaded.prompt_ids([Message("user", question)])
    assert [token for token in ids if token < len(tiny_gguf.CONTROL)] == [1, 2, 1]
    assert loaded.end_tokens == {tiny_gguf.EOS}
    with llama(file) as model:
        assert model.metadata["tokenizer.chat_template"] == loaded.transformer.tokenizer.chat_template
        assert model.tokenize(rendered.encode(), add_bos=False, special=True) == ids


def test_logits_are_spread_and_attention_is_uneven(both: tuple[Path, LoadedModel]) -> None:
    loaded = both[1]
    ids = torch.tensor([some_tokens()])
    loaded.transformer.model.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            output = loaded.transformer.model(input_ids=ids, use_cache=False, output_attentions=True)
    finally:
        loaded.transformer.model.set_attn_implementation(attention.NAME)
    assert output.logits.std() > 1
    for layer in output.attentions:  # (1, H, T, T)
        strongest = layer[0, :, TOKENS // 2 :].max(-1).values.mean()
        assert 4 / TOKENS < strongest < 0.8


def test_a_seed_stands_for_weights_whatever_the_rotary_order(tmp_path: Path) -> None:
    """Rows that the "llama" architecture keeps interleaved come back to halves in transformers."""
    _, interleaved = torch_loaded(tmp_path / "a", "llama")
    _, halves = torch_loaded(tmp_path / "b", "qwen2", tied=True)
    for name in ("q_proj", "k_proj", "v_proj"):
        first, second = (
            getattr(loaded.transformer.backbone.layers[0].self_attn, name).weight
            for loaded in (interleaved, halves)
        )
        torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    first, again, other = (
        tiny_gguf.write(tmp_path / f"{i}.gguf", "qwen3", seed).read_bytes()
        for i, seed in enumerate((5, 5, 6))
    )
    assert first == again
    assert first != other


def test_a_sliding_window_shows_in_llama_cpp_and_is_refused_by_torch(tmp_path: Path) -> None:
    file = tiny_gguf.write(tmp_path / "gemma3.gguf", "gemma3")
    with pytest.raises(ModelUnsupported, match="attention cannot be routed"):
        loading.load(str(file), dtype=torch.float32, device="cpu", cache=tmp_path)
    with llama(file) as model:
        import llama_cpp

        assert llama_cpp.llama_model_n_swa(model.model) == tiny_gguf.WITHOUT_MEMORY["gemma3"].window
        logits = llama_logits(model, some_tokens())
        assert np.isfinite(logits).all()
        assert logits.std() > 1
