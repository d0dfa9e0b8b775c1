"""Which attention heads tell what an answer depends on: a weight for each memory layer and query head.

Beside an adapter's files, written once by `attest adapt heads` (in the spirit of AT2, arXiv 2504.13752):

    heads.json    {"base": hash of the weights, "adapter": hash of the adapter that they were fitted with,
                   "format": the memory format, "heads": query heads of a layer,
                   "weights": [[layer, query head, weight]...] of those above 0, "fitted": anything}

The weights sum to 1, so a head-weighted mass is a mean of shares of a softmax, as the plain mean is, over
fewer heads. What was fitted for other weights, another adapter or other layers is not used: the plain mean is
the fallback. No fingerprint knows of them, since memories stay what they are. Knows nothing of models.
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from engine.errors import AdapterInvalid
from engine.format import MemoryFormat

log = logging.getLogger(__name__)

FILE = "heads.json"


@dataclass(frozen=True)
class HeadWeights:
    """base, adapter: hashes, as in `engine.adapter.Adapter`. format: that they were fitted with. heads: query
    heads of a layer. weights: (layer, query head, weight above 0) each, summing to 1.
    """

    base: str
    adapter: str
    format: MemoryFormat
    heads: int
    weights: tuple[tuple[int, int, float], ...]

    def __post_init__(self) -> None:
        places = {(layer, head) for layer, head, _ in self.weights}
        known = all(layer in self.format.layers and 0 <= head < self.heads for layer, head in places)
        if not known or len(places) != len(self.weights):
            raise ValueError("weights of heads that are not there, or twice")
        total = sum(weight for _, _, weight in self.weights)
        if not all(weight > 0 for _, _, weight in self.weights) or not abs(total - 1) < 1e-3:
            raise ValueError(f"weights of heads must be above 0 and sum to 1, not to {total}")

    @property
    def id(self) -> str:
        """First 16 hex digits of the SHA-256 of the weights."""
        return hashlib.sha256(json.dumps(self.weights).encode()).hexdigest()[:16]

    def array(self) -> npt.NDArray[np.float32]:
        """(layers, query heads) in the order of the format's layers; sums to 1."""
        found = np.zeros((len(self.format.layers), self.heads), dtype=np.float64)
        for layer, head, weight in self.weights:
            found[self.format.layers.index(layer), head] = weight
        return np.asarray(found / found.sum(), dtype=np.float32)

    def save(self, folder: Path, fitted: dict[str, Any]) -> None:
        """Into an adapter's folder, in place of those that are there. fitted: how, for people."""
        data = {
            "base": self.base,
            "adapter": self.adapter,
            "format": self.format.to_json(),
            "heads": self.heads,
            "weights": [list(each) for each in self.weights],
            "fitted": fitted,
        }
        partial = folder / f"{FILE}.part"
        partial.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        partial.replace(folder / FILE)

    @classmethod
    def open(cls, folder: Path) -> Self | None:
        """Those of an adapter's folder; None if it has none. Raises AdapterInvalid if they are damaged."""
        file = folder / FILE
        if not file.exists():
            return None
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            weights = tuple((int(layer), int(head), float(weight)) for layer, head, weight in data["weights"])
            fmt = MemoryFormat.from_json(data["format"])
            return cls(str(data["base"]), str(data["adapter"]), fmt, int(data["heads"]), weights)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AdapterInvalid(
                f"{file} cannot be read ({error}); remove it, or write it anew with `attest adapt heads`"
            ) from error


def chosen(
    found: HeadWeights | None, base: str, adapter: str, fmt: MemoryFormat, heads: int
) -> HeadWeights | None:
    """`found` if they were fitted for these weights, this adapter and these memory layers, else None."""
    if found is None:
        return None
    if (found.base, found.adapter, found.format.layers, found.heads) != (base, adapter, fmt.layers, heads):
        log.warning(
            "%s was written for another model, adapter or other layers, so attention stays the plain mean of "
            "all heads; `attest adapt heads` writes it anew",
            FILE,
        )
        return None
    return found
