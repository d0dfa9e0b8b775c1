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


@dataclass(frozen=True)
class ExplicitMemory:
    """Selected attention key-values of one reference.

    keys, values: (L, H, K, D) numbers as the format's codec keeps them (engine.codec); L memory layers,
        H key-value heads, K = min(tokens per head, `length`) selected tokens, D head dimension.
    indices: (L, H, K) uint8, ascending: which token of the reference each row is.
    length: tokens of the encoded reference.
    key_scales, value_scales: (L, H, K), with the int8 codec only.
    """

    keys: npt.NDArray[Any]
    values: npt.NDArray[Any]
    indices: npt.NDArray[np.uint8]
    length: int
    key_scales: npt.NDArray[np.float32] | None = None
    value_scales: npt.NDArray[np.float32] | None = None

    @property
    def tokens(self) -> int:
        """K, rows per head."""
        return int(self.keys.shape[2])

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
        shapes |= {scales.shape for scales in (memory.key_scales, memory.value_scales) if scales is not None}
        if memory.keys.shape != memory.values.shape or len(shapes) != 1:
            raise MemoryMismatch(
                f"the stored memory's shapes disagree: keys {memory.keys.shape}, values "
                f"{memory.values.shape}, indices {memory.indices.shape}; rebuild the bank"
            )
        return memory
