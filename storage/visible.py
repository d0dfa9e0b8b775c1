"""A set of references that a search may return. Knows no table; `storage.visibility` fills it."""

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


class Visible:
    """A set of reference ids, one byte for each below the largest."""

    def __init__(self, flags: npt.NDArray[np.bool_]) -> None:
        self.flags = flags
        ids = self.ids()
        self.count = len(ids)
        self.first = int(ids[0]) if len(ids) else 0
        self.span = int(ids[-1]) + 1 - self.first if len(ids) else 0  # ids from the first to the last

    def __contains__(self, reference_id: int) -> bool:
        return reference_id < len(self.flags) and bool(self.flags[reference_id])

    def ids(self) -> Ids:
        """Ascending."""
        return np.flatnonzero(self.flags)
