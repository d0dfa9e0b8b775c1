"""Round trips of each codec, bounded, for any vectors."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from engine.codec import decode, decode_here, encode, key_value_codecs, round_trip
from engine.errors import MemoryMismatch
from engine.format import MemoryFormat
from engine.loading import LoadedModel
from engine.memory import ExplicitMemory
from engine.torch_engine import TorchEngine

CODECS = ["fp32", "fp16", "int8", "int4", "int4-channel"]
VECTORS = arrays.arrays(
    np.float32, (3, 5, 8), elements=st.floats(-1000, 1000, width=32, allow_subnormal=False)
)


@given(VECTORS)
def test_int8_is_off_by_at_most_half_a_step_of_its_vector(vectors: np.ndarray) -> None:
    numbers, scales = encode(torch.from_numpy(vectors), "int8")
    assert numbers.dtype == np.int8
    assert scales is not None
    back = decode(numbers, scales, torch.device("cpu"), torch.float32).numpy()
    largest = np.abs(vectors).max(axis=-1, keepdims=True)
    assert (np.abs(back - vectors) <= largest / 127 * 0.5 * (1 + 1e-4)).all()


@given(arrays.arrays(np.float32, (3, 2, 64), elements=st.floats(-1000, 1000, width=32)))
def test_int4_is_off_by_about_half_a_step_of_its_group(vectors: np.ndarray) -> None:
    numbers, scales = encode(torch.from_numpy(vectors), "int4")
    assert (numbers.dtype, numbers.shape) == (np.uint8, (3, 2, 32))
    assert scales is not None
    assert (scales.dtype, scales.shape) == (np.float16, (3, 2, 2, 2))
    back = decode(numbers, scales, torch.device("cpu"), torch.float32).numpy()
    np.testing.assert_array_equal(decode_here(numbers, scales), back)
    grouped = vectors.reshape(3, 2, 2, 32)
    steps = np.ptp(grouped, axis=-1, keepdims=True) / 15
    # the least number and the step are themselves kept in half precision, to eleven bits
    rounding = (np.abs(grouped).max(axis=-1, keepdims=True) + 16 * steps) * 2.0**-10 + 1e-6
    assert (np.abs(back.reshape(grouped.shape) - grouped) <= steps * 0.5 + rounding).all()


def test_int4_keeps_a_number_that_is_always_large() -> None:
    """What steps on both sides of zero waste: one dimension far from it, the others near."""
    vectors = torch.randn(200, 64, generator=torch.Generator().manual_seed(0))
    vectors[:, 5] += 20.0
    off = (round_trip(vectors, "int4") - vectors)[:, 32:].abs().mean()
    beside = (round_trip(vectors, "int4") - vectors)[:, :32].abs().mean()
    assert off < 0.1
    assert beside < 0.5


@pytest.mark.parametrize(("tokens", "groups"), [(1, 1), (8, 1), (32, 1), (33, 2), (40, 2), (64, 2)])
def test_int4_channel_is_off_by_about_half_a_step_of_its_dimension(tokens: int, groups: int) -> None:
    vectors = torch.randn(3, 2, tokens, 64, generator=torch.Generator().manual_seed(tokens)) * 5
    numbers, scales = encode(vectors, "int4-channel")
    assert (numbers.dtype, numbers.shape) == (np.uint8, (3, 2, tokens, 32))
    assert scales is not None
    assert (scales.dtype, scales.shape) == (np.float16, (3, 2, groups, 64, 2))
    back = decode(numbers, scales, torch.device("cpu"), torch.float32)
    np.testing.assert_array_equal(decode_here(numbers, scales), back.numpy())
    for first in range(0, tokens, 32):
        exact, read = vectors[:, :, first : first + 32], back[:, :, first : first + 32]
        steps = (exact.amax(dim=2) - exact.amin(dim=2)) / 15
        rounding = (exact.abs().amax(dim=2) + 16 * steps) * 2.0**-10 + 1e-6
        assert ((read - exact).abs() <= (steps * 0.5 + rounding)[:, :, None]).all()


def test_int4_channel_spares_what_shares_a_vector_with_a_wide_dimension() -> None:
    """Groups of one vector do not: a dimension that is large in some tokens widens the steps of others."""
    vectors = torch.randn(200, 64, 64, generator=torch.Generator().manual_seed(0))
    vectors[..., 5] *= 20.0
    beside = torch.arange(64) != 5
    apart = {
        codec: (round_trip(vectors, codec) - vectors)[..., beside].abs().mean().item()
        for codec in ("int4", "int4-channel")
    }
    assert apart["int4-channel"] < apart["int4"] / 2


def test_int4_channel_is_for_keys() -> None:
    assert key_value_codecs("int4-channel") == ("int4-channel", "int4")
    assert key_value_codecs("int4") == ("int4", "int4")


@given(VECTORS)
def test_fp16_and_fp32_round_as_numpy_does(vectors: np.ndarray) -> None:
    for codec, dtype in (("fp16", np.float16), ("fp32", np.float32)):
        numbers, scales = encode(torch.from_numpy(vectors), codec)
        assert scales is None
        back = decode(numbers, scales, torch.device("cpu"), torch.float32).numpy()
        np.testing.assert_array_equal(back, vectors.astype(dtype).astype(np.float32))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@given(VECTORS)
def test_a_round_trip_is_what_is_read_of_what_was_stored(
    codec: str, dtype: torch.dtype, vectors: np.ndarray
) -> None:
    exact = torch.from_numpy(vectors).to(dtype)
    read = decode(*encode(exact, codec), torch.device("cpu"), dtype)
    torch.testing.assert_close(round_trip(exact, codec), read, rtol=0, atol=0)


def test_the_gradient_passes_a_round_trip_untouched() -> None:
    vectors = torch.randn(3, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weights = torch.arange(24.0).view(3, 8)
    for codec in ("int8", "int4", "int4-channel"):
        vectors.grad = None
        torch.autograd.backward((round_trip(vectors, codec) * weights).sum())
        torch.testing.assert_close(vectors.grad, weights, rtol=0, atol=0)


def test_an_unknown_codec_is_refused() -> None:
    for store in (encode, round_trip):
        with pytest.raises(ValueError, match="zip"):
            store(torch.zeros(1, 4), "zip")


@pytest.mark.parametrize("codec", CODECS)
def test_a_memory_survives_its_arrays(tiny_loaded: LoadedModel, codec: str) -> None:
    fmt = MemoryFormat((0, 2), tokens_per_head=40, codec=codec)  # type: ignore[arg-type]
    memory = TorchEngine(tiny_loaded, fmt).write([list(range(60))])[0]
    again = ExplicitMemory.from_arrays(memory.to_arrays())
    assert again.length == memory.length == 60
    for name, array in memory.to_arrays().items():
        np.testing.assert_array_equal(again.to_arrays()[name], array)


def test_arrays_that_do_not_belong_together_are_refused(tiny_loaded: LoadedModel) -> None:
    arrays_of = TorchEngine(tiny_loaded).write([list(range(20))])[0].to_arrays()
    with pytest.raises(MemoryMismatch, match="lacks 'values'"):
        ExplicitMemory.from_arrays({k: v for k, v in arrays_of.items() if k != "values"})
    with pytest.raises(MemoryMismatch, match="disagree"):
        ExplicitMemory.from_arrays({**arrays_of, "indices": arrays_of["indices"][:, :, :3]})


def test_numbers_of_one_codec_with_scales_of_another_are_refused(tiny_loaded: LoadedModel) -> None:
    def written(codec: str) -> dict[str, np.ndarray]:
        fmt = MemoryFormat((0, 2), tokens_per_head=16, codec=codec)  # type: ignore[arg-type]
        return TorchEngine(tiny_loaded, fmt).write([list(range(20))])[0].to_arrays()

    int8, int4, fp16 = written("int8"), written("int4"), written("fp16")
    channel = written("int4-channel")
    assert ExplicitMemory.from_arrays(channel).shape == ExplicitMemory.from_arrays(fp16).shape
    assert ExplicitMemory.from_arrays(int4).shape == ExplicitMemory.from_arrays(fp16).shape
    for mixed in (
        {**int4, "key_scales": int8["key_scales"], "value_scales": int8["value_scales"]},
        {**int8, "key_scales": int4["key_scales"], "value_scales": int4["value_scales"]},
        {**int4, "key_scales": int4["key_scales"][..., :1]},
        {**int4, "values": int4["values"].view(np.int8)},
        {name: array for name, array in int4.items() if not name.endswith("scales")},
        {**channel, "value_scales": channel["key_scales"]},
        {**channel, "key_scales": channel["key_scales"][:, :, :, :4]},
        {**channel, "key_scales": channel["key_scales"].repeat(2, axis=2)},
        {name: array for name, array in channel.items() if name != "key_scales"},
        {**fp16, "key_scales": int8["key_scales"], "value_scales": int8["value_scales"]},
    ):
        with pytest.raises(MemoryMismatch, match="disagree"):
            ExplicitMemory.from_arrays(mixed)
