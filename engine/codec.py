"""How the numbers of a memory are kept: fp32, fp16, int8 with one scale per vector, or four bits in groups.

int8 is symmetric: a vector of D numbers becomes D signed bytes and the fp32 number that turns the largest of
them back into itself. Half the bytes of fp16; docs/format.md prints what that costs in answer quality. A
memory of codec "pq" leaves the engine in int8, and is coded when there is a codebook (engine.codebook).

int4 divides a vector into groups of `GROUP`, or takes it as one where that leaves a rest; sixteen even steps
lead from the least number of a group to the largest. A vector becomes D / 2 unsigned bytes, its first half in
their lower four bits and its second half in the upper, and for each group the step and the least number in
half precision. Keys have a few dimensions that are always large and of one sign, which steps on both sides of
zero would waste themselves on.

int4-channel keeps values so, but groups the keys of a head by dimension: `GROUP` tokens in their order, or
what is left of them, share the steps of each. A large dimension then widens no steps but its own (per-channel
keys and per-token values, as KIVI, arXiv 2402.02750, found best). It takes as many bytes as int4 where a head
keeps a multiple of `GROUP` tokens, and more where it keeps few.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from engine.format import GROUP

BY_CHANNEL = "int4-channel"
_LARGEST = 127
_STEPS = 15

# numbers and, for int8 and int4, what turns them back
Encoded = tuple[npt.NDArray[Any], npt.NDArray[Any] | None]


def encode(vectors: torch.Tensor, codec: str) -> Encoded:
    """(..., K, D) of any float type to numbers (..., K, D), in four bits (..., K, D / 2) uint8, and their
    scales: for int8 (..., K) fp32; for int4 step and least number, (..., K, groups, 2) fp16; and so for
    int4-channel, as keys are kept, (..., groups, D, 2).

    Raises ValueError if the codec is unknown.
    """
    numbers, scales = _encoded(vectors, codec)
    return numbers.cpu().numpy(), None if scales is None else scales.cpu().numpy()


def decode(
    numbers: npt.NDArray[Any],
    scales: npt.NDArray[Any] | None,
    device: torch.device,
    dtype: torch.dtype,
) -> torch.Tensor:
    """(..., K, D) of what `encode` made. Copies: stored arrays may be read-only maps of a file."""
    on_device = None if scales is None else torch.tensor(scales).to(device)
    return _decoded(torch.tensor(numbers).to(device), on_device, dtype)


def decode_here(numbers: npt.NDArray[Any], scales: npt.NDArray[Any] | None) -> npt.NDArray[np.float32]:
    """`decode` to numpy, on the calling thread alone: between two tokens the other cores are llama.cpp's,
    whose threads do not make room for torch's.
    """
    if scales is None:
        return numbers.astype(np.float32)
    if numbers.dtype != np.uint8:
        exact = numbers.astype(np.float32)
        exact *= scales[..., None]
        return exact
    half, scales = numbers.shape[-1], scales.astype(np.float32)  # mixed with halves, products are far slower
    exact = np.empty((*numbers.shape[:-1], 2 * half), np.float32)
    exact[..., :half] = numbers & 15
    exact[..., half:] = numbers >> 4
    if is_by_channel(numbers, scales):
        for group in range(scales.shape[-3]):
            tokens = exact[..., group * GROUP : (group + 1) * GROUP, :]
            tokens *= scales[..., group, None, :, 0]
            tokens += scales[..., group, None, :, 1]
        return exact
    grouped = exact.reshape(*scales.shape[:-1], -1)
    grouped *= scales[..., :1]
    grouped += scales[..., 1:]
    return exact


def key_value_codecs(codec: str) -> tuple[str, str]:
    """The codecs that `codec` gives to keys and to values."""
    return codec, "int4" if codec == BY_CHANNEL else codec


def is_by_channel(numbers: Any, scales: Any) -> bool:
    """Whether the scales are those of each dimension, as keys have them in int4-channel."""
    return bool(scales.ndim > numbers.ndim and scales.shape[-2] == 2 * numbers.shape[-1])


def cut(encoded: Encoded, i: int, tokens: int) -> Encoded:
    """The first `tokens` of reference i: (H, tokens, ...) of a batch (B, H, K, ...)."""
    numbers, scales = encoded
    if scales is None:
        return numbers[i, :, :tokens], None
    rows = -(-tokens // GROUP) if is_by_channel(numbers, scales) else tokens
    return numbers[i, :, :tokens], scales[i, :, :rows]


def round_trip(vectors: torch.Tensor, codec: str) -> torch.Tensor:
    """What is read of (..., K, D) once it was stored: `decode` of `encode`, without leaving the device. The
    gradient passes as if nothing had been rounded (straight through, arXiv 1308.3432).
    """
    with torch.no_grad():
        read = _decoded(*_encoded(vectors, codec), vectors.dtype)
    return read + (vectors - vectors.detach())  # adds nothing but the gradient


def _encoded(vectors: torch.Tensor, codec: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    if codec == "fp32":
        return vectors.to(torch.float32), None
    if codec == "fp16":
        return vectors.to(torch.float16), None
    if codec == "int4":
        return _in_groups(vectors.float())
    if codec == BY_CHANNEL:
        return _by_channel(vectors.float())
    if codec not in ("int8", "pq"):
        raise ValueError(f"unknown codec {codec!r}; known are fp32, fp16, int8, int4, {BY_CHANNEL} and pq")
    exact = vectors.float()
    scales = exact.abs().amax(dim=-1) / _LARGEST
    return (exact / scales.where(scales > 0, 1.0)[..., None]).round().to(torch.int8), scales


def _in_groups(exact: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    dim = exact.shape[-1]
    groups = dim // GROUP if dim % GROUP == 0 else 1
    steps, scales = _in_steps(exact.reshape(*exact.shape[:-1], groups, -1), axis=-1)
    return _packed(steps.flatten(-2)), scales


def _by_channel(exact: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    tokens = exact.shape[-2]
    size = min(GROUP, tokens)
    # the last group is filled up with its last token, which changes neither its least number nor its largest
    filled = torch.arange(-(-tokens // size) * size, device=exact.device).clamp(max=tokens - 1)
    rows = exact.index_select(-2, filled)
    grouped = rows.reshape(*exact.shape[:-2], -1, size, exact.shape[-1])  # (..., groups, size, D)
    steps, scales = _in_steps(grouped, axis=-2)
    return _packed(steps.flatten(-3, -2)[..., :tokens, :]), scales


def _in_steps(grouped: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers that share steps along `axis` to 0 .. 15 as uint8, and scales without that axis, (..., 2)."""
    most = torch.finfo(torch.float16).max
    least = grouped.amin(dim=axis, keepdim=True).clamp(-most, most).half()
    # what is stored is what steps are counted by
    step = ((grouped.amax(dim=axis, keepdim=True) - least.float()) / _STEPS).clamp(0, most).half()
    counted = (grouped - least.float()) / step.float().where(step > 0, 1.0)
    steps = counted.round().clamp(0, _STEPS).to(torch.uint8)
    return steps, torch.stack((step.squeeze(axis), least.squeeze(axis)), dim=-1)


def _packed(steps: torch.Tensor) -> torch.Tensor:
    half = steps.shape[-1] // 2
    return steps[..., :half] | steps[..., half:] << 4


def _decoded(numbers: torch.Tensor, scales: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
    if scales is None:
        return numbers.to(dtype)
    if numbers.dtype != torch.uint8:
        return (numbers.float() * scales[..., None]).to(dtype)
    steps = torch.cat((numbers & 15, numbers >> 4), dim=-1).float()
    scale = scales.float()
    if is_by_channel(numbers, scales):
        each = torch.arange(steps.shape[-2], device=steps.device) // GROUP  # token -> group
        step, least = scale.index_select(-3, each).unbind(-1)
        return (steps * step + least).to(dtype)
    grouped = steps.reshape(*scales.shape[:-1], -1)
    return (grouped * scale[..., :1] + scale[..., 1:]).flatten(-2).to(dtype)
