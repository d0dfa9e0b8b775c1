"""How the numbers of a memory are kept: fp32, fp16, or int8 with one scale per vector.

int8 is symmetric: a vector of D numbers becomes D signed bytes and the fp32 number that turns the largest of
them back into itself. Half the bytes of fp16; docs/format.md prints what that costs in answer quality.
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
    if codec == "fp32":
        return vectors.to(torch.float32).cpu().numpy(), None
    if codec == "fp16":
        return vectors.to(torch.float16).cpu().numpy(), None
    if codec != "int8":
        raise ValueError(f"unknown codec {codec!r}; known are fp32, fp16 and int8")
    exact = vectors.float()
    scales = exact.abs().amax(dim=-1) / _LARGEST
    numbers = (exact / scales.where(scales > 0, 1.0)[..., None]).round().to(torch.int8)
    return numbers.cpu().numpy(), scales.cpu().numpy()


def decode(
    numbers: npt.NDArray[Any],
    scales: npt.NDArray[np.float32] | None,
    device: torch.device,
    dtype: torch.dtype,
) -> torch.Tensor:
    """(..., D) numbers back to a tensor. Copies: stored arrays may be read-only maps of a file."""
    vectors = torch.tensor(numbers).to(device)
    if scales is None:
        return vectors.to(dtype)
    return (vectors.float() * torch.tensor(scales).to(device)[..., None]).to(dtype)
