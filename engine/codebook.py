"""Product quantisation: a vector of a memory as a few bytes (Memory^3, appendix B; Jegou et al., 2011).

Every layer and key-value head has a codebook of its own for keys and another for values, since their
distributions have little in common. A vector is centred, turned into principal components, of which the
last sixteenth is left out, dealt out so that every group of `GROUP` components carries about as much
(Ge et al., optimised product quantisation, 2013, the parametric solution), and each group becomes one byte:
the nearest of 256 centroids that k-means found. The paper's own `OPQ16_64,Residual2x14,PQ8x10` takes 14 bytes
for a vector of 64 numbers where this takes 12. docs/log.md has what that costs in answers and what was tried.

A codebook is trained once from memories and never changes. Codes are made of int8 numbers, one memory at a
time, so that a memory coded when it was written and one coded later are the same to the last bit. Knows
arrays and memories, no files.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from engine.codec import decode
from engine.errors import MemoryMismatch
from engine.memory import ExplicitMemory

CENTROIDS = 256
GROUP = 5  # components to a byte
MINIMUM = 32 * CENTROIDS  # vectors per head: k-means with fewer would learn them by heart
ENOUGH = 64 * CENTROIDS  # more change nothing that can be measured
ROUNDS = 10  # of k-means

Floats = npt.NDArray[np.float32]
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Half:
    """The codebooks of all keys, or of all values.

    means: (L, H, D). turns: (L, H, D, G * GROUP), columns orthonormal. centroids: (L, H, G, 256, GROUP), in
    half precision.
    """

    means: Floats
    turns: Floats
    centroids: npt.NDArray[np.float16]

    def codes(self, vectors: torch.Tensor) -> npt.NDArray[np.uint8]:
        """(L, H, K, D) float32 to (L, H, K, G)."""
        groups, members = self._centroids.shape[2], self._centroids.shape[3]
        turned = torch.matmul(vectors - self._means[:, :, None], self._turns)  # (L, H, K, G * GROUP)
        split = turned.view(*turned.shape[:3], groups, GROUP).transpose(2, 3)  # (L, H, G, K, GROUP)
        near = torch.matmul(split, self._centroids.transpose(-1, -2))  # (L, H, G, K, 256)
        far = self._centroids.square().sum(-1).view(*self._centroids.shape[:3], 1, members) / 2
        best: npt.NDArray[np.uint8] = (near - far).argmax(-1).transpose(2, 3).to(torch.uint8).numpy()
        return best

    def vectors(self, codes: npt.NDArray[np.uint8]) -> torch.Tensor:
        """(L, H, K, G) to (L, H, K, D) float32."""
        layers, heads, kept, groups = codes.shape
        flat = self._centroids.reshape(-1, GROUP)
        first = torch.arange(layers * heads * groups).view(layers, heads, 1, groups) * CENTROIDS
        rows = flat.index_select(0, (torch.tensor(codes).long() + first).flatten())
        turned = rows.view(layers, heads, kept, groups * GROUP)
        return torch.matmul(turned, self._turns.transpose(-1, -2)) + self._means[:, :, None]

    @cached_property
    def _means(self) -> torch.Tensor:
        return torch.tensor(self.means)

    @cached_property
    def _turns(self) -> torch.Tensor:
        return torch.tensor(self.turns)

    @cached_property
    def _centroids(self) -> torch.Tensor:
        return torch.tensor(self.centroids, dtype=torch.float32)


@dataclass(frozen=True)
class Codebook:
    """Codes and decodes the memories of one fingerprint."""

    keys: Half
    values: Half

    @cached_property
    def id(self) -> npt.NDArray[np.uint8]:
        """Eight bytes that every memory coded with it carries: the start of a SHA-256 over all numbers."""
        digest = hashlib.sha256()
        for name, array in sorted(self.to_arrays().items()):
            digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return np.frombuffer(digest.digest()[:8], dtype=np.uint8)

    def code(self, memory: ExplicitMemory) -> dict[str, npt.NDArray[Any]]:
        """A memory as named arrays, a tenth of what they are in fp16.

        Raises MemoryMismatch if it is of another shape.
        """
        layers, heads, dim = self.keys.means.shape
        if memory.shape[:2] != (layers, heads) or memory.shape[3] != dim:
            raise _foreign()
        return {
            "key_codes": self.keys.codes(decode(memory.keys, memory.key_scales, _CPU, torch.float32)),
            "value_codes": self.values.codes(decode(memory.values, memory.value_scales, _CPU, torch.float32)),
            "indices": memory.indices,
            "length": np.array([memory.length], dtype=np.int32),
            "codebook": self.id,
        }

    def decode(self, arrays: Mapping[str, npt.NDArray[Any]]) -> ExplicitMemory:
        """Inverse of `code`, as near as the codes are; numbers come in fp16.

        Raises MemoryMismatch if the memory was coded with another codebook, or is incomplete.
        """
        try:
            keys, values, indices = arrays["key_codes"], arrays["value_codes"], arrays["indices"]
            length, coded_with = int(arrays["length"][0]), arrays["codebook"]
        except (KeyError, IndexError) as missing:
            raise MemoryMismatch(f"the coded memory lacks {missing}; rebuild the bank") from None
        expected = (*self.keys.means.shape[:2], indices.shape[2], self.keys.centroids.shape[2])
        if not np.array_equal(coded_with, self.id) or {keys.shape, values.shape} != {expected}:
            raise _foreign()
        return ExplicitMemory(
            self.keys.vectors(keys).to(torch.float16).numpy(),
            self.values.vectors(values).to(torch.float16).numpy(),
            indices,
            length,
        )

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {
            f"{half}.{name}": array
            for half, of in (("keys", self.keys), ("values", self.values))
            for name, array in vars(of).items()
            if not name.startswith("_")
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "Codebook":
        """Inverse of `to_arrays`. Raises MemoryMismatch if they are not a codebook's."""
        try:
            halves = [
                Half(*(arrays[f"{half}.{name}"] for name in ("means", "turns", "centroids")))
                for half in ("keys", "values")
            ]
        except KeyError as missing:
            raise MemoryMismatch(f"the codebook lacks {missing}; rebuild the bank") from None
        for half in halves:
            layers, heads, dim = half.means.shape if half.means.ndim == 3 else (0, 0, 0)
            groups = half.centroids.shape[2] if half.centroids.ndim == 5 else 0
            shapes = (half.turns.shape, half.centroids.shape)
            formats = [array.dtype.str for array in vars(half).values()]
            if (
                not groups
                or shapes != ((layers, heads, dim, groups * GROUP), (layers, heads, groups, CENTROIDS, GROUP))
                or formats != ["<f4", "<f4", "<f2"]
            ):
                raise MemoryMismatch("the codebook's shapes disagree; rebuild the bank")
        return cls(*halves)


def _foreign() -> MemoryMismatch:
    return MemoryMismatch(
        "a memory does not belong to the codebook of its bank; run `attest memories verify`, then rebuild it"
    )


def is_coded(arrays: Mapping[str, npt.NDArray[Any]]) -> bool:
    """Whether stored arrays are a memory's codes; else they are its numbers."""
    return "key_codes" in arrays


def groups_of(dim: int) -> int:
    """Bytes to a vector of `dim` numbers: 12 for 64, 24 for 128."""
    return max(1, dim * 3 // 16)


def train(memories: Sequence[ExplicitMemory]) -> Codebook:
    """A codebook for memories like these.

    Raises ValueError if they are too few: a head needs `MINIMUM` vectors.
    """
    vectors = sum(memory.tokens for memory in memories)
    if vectors < MINIMUM:
        raise ValueError(
            f"{len(memories)} memories have {vectors} vectors per head, and a codebook needs {MINIMUM}"
        )
    return Codebook(*(_half(memories, name) for name in ("keys", "values")))


def _half(memories: Sequence[ExplicitMemory], name: str) -> Half:
    layers, heads, _, dim = memories[0].keys.shape
    groups = min(groups_of(dim), dim // GROUP)
    means = np.zeros((layers, heads, dim), np.float32)
    turns = np.zeros((layers, heads, dim, groups * GROUP), np.float32)
    centroids = np.zeros((layers, heads, groups, CENTROIDS, GROUP), np.float16)
    for layer, head in np.ndindex(layers, heads):
        vectors = np.concatenate([_vectors(memory, name, layer, head) for memory in memories])
        means[layer, head] = vectors.mean(axis=0)
        turns[layer, head] = _turn(vectors - means[layer, head], groups)
        turned = (vectors - means[layer, head]) @ turns[layer, head]
        centroids[layer, head] = _centroids(turned, groups)
    return Half(means, turns, centroids)


def _vectors(memory: ExplicitMemory, name: str, layer: int, head: int) -> Floats:
    """(K, D) of one head."""
    numbers: npt.NDArray[Any] = getattr(memory, name)[layer, head]
    scales = memory.key_scales if name == "keys" else memory.value_scales
    exact = numbers.astype(np.float32)
    return exact if scales is None else exact * scales[layer, head][:, None]


def _turn(centred: Floats, groups: int) -> Floats:
    """(D, groups * GROUP): principal directions, the strongest dealt one to a group, each of the others to
    the group that carries least so far.
    """
    strengths, directions = np.linalg.eigh(centred.T.astype(np.float64) @ centred / len(centred))
    order = np.argsort(-strengths)[: groups * GROUP]
    logs = np.log(np.maximum(strengths[order], strengths.max() * 1e-6 + 1e-30))
    dealt: list[list[int]] = [[] for _ in range(groups)]
    carried = np.zeros(groups)
    for place, log in zip(order, logs - logs.min() + 1e-3, strict=True):
        open_groups = [i for i in range(groups) if len(dealt[i]) < GROUP]
        least = min(open_groups, key=lambda i: carried[i])
        dealt[least].append(int(place))
        carried[least] += log
    return directions[:, [place for group in dealt for place in group]].astype(np.float32)


def _centroids(turned: Floats, groups: int) -> Floats:
    """(groups, 256, GROUP)."""
    import faiss

    quantiser = faiss.ProductQuantizer(turned.shape[1], groups, 8)
    quantiser.cp.niter, quantiser.cp.max_points_per_centroid = ROUNDS, ENOUGH // CENTROIDS
    quantiser.cp.min_points_per_centroid = MINIMUM // CENTROIDS
    quantiser.train(np.ascontiguousarray(turned, dtype=np.float32))
    found: Floats = faiss.vector_to_array(quantiser.centroids)
    return found.reshape(groups, CENTROIDS, GROUP)
