"""How the numbers of a memory are kept: fp32, fp16, or int8 with one scale per vector.

int8 is symmetric: a vector of D numbers becomes D signed bytes and the fp32 number that turns the largest of
them back into itself. Half the bytes of fp16; docs/format.md prints what that costs in answer quality. A
memory of codec "pq" leaves the engine in int8, and is coded when there is a codebook (engine.codebook).
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

_LARGEST = 127

# numbers and, for int8, their scales
Encoded = tuple[npt.NDArray[Any], npt.NDArray[np.float32] | None]


def encode(vectors: torch.Tensor, codec: str) -> Encoded:
    """(..., D) of any float type to (..., D) numbers and, for int8, (...) scales."""
    numbers, scales = _encoded(vectors, codec)
    return numbers.cpu().numpy(), None if scales is None else scales.cpu().numpy()


def decode(
    numbers: npt.NDArray[Any],
    scales: npt.NDArray[np.float32] | None,
    device: torch.device,
    dtype: torch.dtype,
) -> torch.Tensor:
    """(..., D) numbers back to a tensor. Copies: stored arrays may be read-only maps of a file."""
    on_device = None if scales is None else torch.tensor(scales).to(device)
    return _decoded(torch.tensor(numbers).to(device), on_device, dtype)


def decode_here(numbers: npt.NDArray[Any], scales: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32]:
    """`decode` to numpy, on the calling thread alone: between two tokens the other cores are llama.cpp's,
    whose threads do not make room for torch's.
    """
    exact = numbers.astype(np.float32)
    return exact if scales is None else exact * scales[..., None]


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
    if codec not in ("int8", "pq"):
        raise ValueError(f"unknown codec {codec!r}; known are fp32, fp16, int8 and pq")
    exact = vectors.float()
    scales = exact.abs().amax(dim=-1) / _LARGEST
    return (exact / scales.where(scales > 0, 1.0)[..., None]).round().to(torch.int8), scales


def _decoded(numbers: torch.Tensor, scales: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
    return numbers.to(dtype) if scales is None else (numbers.float() * scales[..., None]).to(dtype)
