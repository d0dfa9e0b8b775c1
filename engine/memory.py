"""One reference's explicit memory as arrays (Memory^3, section 3.3).

Canonical layout, shared by every backend of the same weights: Hugging Face head order, keys *before*
rotary embedding (they are rotated when loaded, so parallel and serial positions both stay possible),
values as the model computes them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import MemoryMismatch
from engine.format import GROUP


@dataclass(frozen=True)
class ExplicitMemory:
    """Selected attention key-values of one reference.

    keys, values: (L, H, K, D) numbers as the format's codec keeps them (engine.codec), D / 2 bytes in int4;
        L memory layers, H key-value heads, K = min(tokens per head, `length`) selected tokens, D head
        dimension.
    indices: (L, H, K) uint8, ascending: which token of the reference each row is.
    length: tokens of the encoded reference.
    key_scales, value_scales: (L, H, K) in int8, (L, H, K, groups, 2) in int4, for the keys of int4-channel
        (L, H, groups, D, 2), else None.
    """

    keys: npt.NDArray[Any]
    values: npt.NDArray[Any]
    indices: npt.NDArray[np.uint8]
    length: int
    key_scales: npt.NDArray[Any] | None = None
    value_scales: npt.NDArray[Any] | None = None

    @property
    def tokens(self) -> int:
        """K, rows per head."""
        return int(self.keys.shape[2])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(L, H, K, D) of keys and values, however they are kept."""
        layers, heads, tokens, width = self.keys.shape
        return layers, heads, tokens, width * (2 if self.keys.dtype == np.uint8 else 1)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.to_arrays().values())

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Named arrays for a store that knows nothing of memories."""
        arrays = {
            "keys": self.keys,
            "values": self.values,
            "indices": self.indices,
            "length": np.array([self.length], dtype=np.int32),
        }
        if self.key_scales is not None and self.value_scales is not None:
            arrays |= {"key_scales": self.key_scales, "value_scales": self.value_scales}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> "ExplicitMemory":
        """Inverse of `to_arrays`.

        Raises MemoryMismatch if arrays are missing or their shapes do not agree.
        """
        try:
            memory = cls(
                arrays["keys"],
                arrays["values"],
                arrays["indices"],
                int(arrays["length"][0]),
                arrays.get("key_scales"),
                arrays.get("value_scales"),
            )
        except KeyError as missing:
            raise MemoryMismatch(f"the stored memory lacks {missing}; rebuild the bank") from None
        shapes = {memory.keys.shape[:3], memory.values.shape[:3], memory.indices.shape}
        scales = [each for each in (memory.key_scales, memory.value_scales) if each is not None]
        if memory.keys.shape != memory.values.shape or len(shapes) != 1 or not _fits(memory, scales):
            raise MemoryMismatch(
                f"the stored memory's shapes disagree: keys {memory.keys.shape}, values "
                f"{memory.values.shape}, indices {memory.indices.shape}; rebuild the bank"
            )
        return memory


def _fits(memory: ExplicitMemory, scales: list[npt.NDArray[Any]]) -> bool:
    """Whether numbers and what turns them back are of one codec."""
    if memory.values.dtype != memory.keys.dtype:
        return False
    if memory.keys.dtype not in (np.uint8, np.int8):
        return not scales
    if len(scales) != 2:
        return False
    if memory.keys.dtype == np.int8:
        return all(each.shape == memory.shape[:3] for each in scales)
    return all(each.ndim == 5 and each.shape[4] == 2 for each in scales) and (
        _in_groups(scales[1], memory.shape)
        and (_in_groups(scales[0], memory.shape) or _by_channel(scales[0], memory.shape))
    )


def _in_groups(scales: npt.NDArray[Any], shape: tuple[int, ...]) -> bool:
    return scales.shape[:3] == shape[:3] and scales.shape[3] > 0 and shape[3] % scales.shape[3] == 0


def _by_channel(scales: npt.NDArray[Any], shape: tuple[int, ...]) -> bool:
    layers, heads, tokens, dim = shape
    return scales.shape[:4] == (layers, heads, -(-tokens // GROUP), dim)
