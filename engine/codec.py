"""How the numbers of a memory are kept: fp32, fp16, int8 with one scale per vector, or int4 in groups.

int8 is symmetric: a vector of D numbers becomes D signed bytes and the fp32 number that turns the largest of
them back into itself. Half the bytes of fp16; docs/format.md prints what that costs in answer quality. A
memory of codec "pq" leaves the engine in int8, and is coded when there is a codebook (engine.codebook).

int4 divides a vector into groups of `GROUP`; sixteen even steps lead from the least number of a group to the
largest. A vector becomes D / 2 unsigned bytes, its first half in their lower four bits and its second half in
the upper, and for each group the step and the least number in half precision. Keys have a few dimensions
that are always large and of one sign, which steps on both sides of zero would waste themselves on.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

GROUP = 32  # numbers that share their steps; a vector that cannot be divided into such is one group
_LARGEST = 127
_STEPS = 15

# numbers and, for int8 and int4, what turns them back
Encoded = tuple[npt.NDArray[Any], npt.NDArray[Any] | None]


def encode(vectors: torch.Tensor, codec: str) -> Encoded:
    """(..., D) of any float type to numbers (..., D), for int4 (..., D / 2) uint8, and their scales: for int8
    (...) fp32, for int4 (..., groups, 2) fp16, step and least number.
    """
    numbers, scales = _encoded(vectors, codec)
    return numbers.cpu().numpy(), None if scales is None else scales.cpu().numpy()


def decode(
    numbers: npt.NDArray[Any],
    scales: npt.NDArray[Any] | None,
    device: torch.device,
    dtype: torch.dtype,
) -> torch.Tensor:
    """(..., D) of what `encode` made. Copies: stored arrays may be read-only maps of a file."""
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
    grouped = exact.reshape(*scales.shape[:-1], -1)
    grouped *= scales[..., :1]
    grouped += scales[..., 1:]
    return exact


def round_trip(vectors: torch.Tensor, codec: str) -> torch.Tensor:
    """What is read of (..., D) once it was stored: `decode` of `encode`, without leaving the device. The
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
    if codec not in ("int8", "pq"):
        raise ValueError(f"unknown codec {codec!r}; known are fp32, fp16, int8, int4 and pq")
    exact = vectors.float()
    scales = exact.abs().amax(dim=-1) / _LARGEST
    return (exact / scales.where(scales > 0, 1.0)[..., None]).round().to(torch.int8), scales


def _in_groups(exact: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    dim = exact.shape[-1]
    groups = dim // GROUP if dim % GROUP == 0 else 1
    grouped = exact.reshape(*exact.shape[:-1], groups, -1)
    most = torch.finfo(torch.float16).max
    least = grouped.amin(dim=-1).clamp(-most, most).half()
    # what is stored is what steps are counted by
    step = ((grouped.amax(dim=-1) - least.float()) / _STEPS).clamp(0, most).half()
    counted = (grouped - least.float()[..., None]) / step.float().where(step > 0, 1.0)[..., None]
    steps = counted.round().clamp(0, _STEPS).to(torch.uint8).flatten(-2)
    return steps[..., : dim // 2] | steps[..., dim // 2 :] << 4, torch.stack((step, least), dim=-1)


def _decoded(numbers: torch.Tensor, scales: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
    if scales is None:
        return numbers.to(dtype)
    if numbers.dtype != torch.uint8:
        return (numbers.float() * scales[..., None]).to(dtype)
    steps = torch.cat((numbers & 15, numbers >> 4), dim=-1).float().reshape(*scales.shape[:-1], -1)
    scale = scales.float()
    return (steps * scale[..., :1] + scale[..., 1:]).flatten(-2).to(dtype)
