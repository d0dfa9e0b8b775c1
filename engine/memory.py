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

    keys, values: (L, H, K, D) floats; L memory layers, H key-value heads, K = min(tokens per head,
        `length`) selected tokens, D head dimension.
    indices: (L, H, K) uint8, ascending: which token of the reference each row is.
    length: tokens of the encoded reference.
    """

    keys: npt.NDArray[np.floating[Any]]
    values: npt.NDArray[np.floating[Any]]
    indices: npt.NDArray[np.uint8]
    length: int

    @property
    def tokens(self) -> int:
        """K, rows per head."""
        return int(self.keys.shape[2])

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes + self.indices.nbytes

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Named arrays for a store that knows nothing of memories."""
        return {
            "keys": self.keys,
            "values": self.values,
            "indices": self.indices,
            "length": np.array([self.length], dtype=np.int32),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> "ExplicitMemory":
        """Inverse of `to_arrays`.

        Raises MemoryMismatch if arrays are missing or their shapes do not agree.
        """
        try:
            memory = cls(arrays["keys"], arrays["values"], arrays["indices"], int(arrays["length"][0]))
        except KeyError as missing:
            raise MemoryMismatch(f"the stored memory lacks {missing}; rebuild the bank") from None
        if memory.keys.shape != memory.values.shape or memory.keys.shape[:3] != memory.indices.shape:
            raise MemoryMismatch(
                f"the stored memory's shapes disagree: keys {memory.keys.shape}, values "
                f"{memory.values.shape}, indices {memory.indices.shape}; rebuild the bank"
            )
        return memory
