"""Indexes of vectors in RAM: exact while they are few, two bits for each number when they are many.

The small one keeps the vectors as they are. The large one turns every vector at random, cuts it into pairs
of numbers and keeps for each pair which of 16 points is nearest (product quantisation: Jégou, Douze, Schmid
2011; scanned 32 vectors at a time: André, Kermarrec, Le Scouarnec 2017). After the turn the pairs of any
unit vector spread like normal noise, so one set of points, learnt from noise, fits them all: nothing is
trained on what is stored, and nothing has to be trained anew when that grows or changes. It scans all codes,
so a filter costs no recall, and its order is rough: look at more than are wanted, and rank those exactly.

Both are FAISS's, know their vectors by id, and go into one file. Nothing here knows a database.
"""

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]  # (n, D), L2-normalised

_POINTS = 16  # 4 bits for a pair, what the scan reads
_SEED = 12
_NOISE = 20_000


def exact(dimension: int) -> Any:
    """An empty index of vectors as they are."""
    return faiss().IndexIDMap(faiss().IndexFlatIP(dimension))


def coarse(dimension: int) -> Any:
    """An empty index of codes: dimension / 4 bytes for each vector."""
    turned = dimension + dimension % 2
    turn = faiss().RandomRotationMatrix(dimension, turned)
    turn.init(_SEED)
    codes = faiss().IndexIVFPQFastScan(
        faiss().IndexFlatIP(turned), turned, 1, turned // 2, 4, faiss().METRIC_INNER_PRODUCT
    )
    codes.quantizer.add(np.zeros((1, turned), np.float32))  # the only list: FAISS scans no flat codes by id
    codes.by_residual = False
    points = _points() / np.sqrt(turned)  # a number of a unit vector spreads like N(0, 1/D)
    faiss().copy_array_to_vector(np.tile(points.ravel(), turned // 2).astype(np.float32), codes.pq.centroids)
    codes.is_trained = True
    index = faiss().IndexPreTransform(turn, codes)
    index.is_trained = True
    return index


def is_exact(index: Any) -> bool:
    return isinstance(index, faiss().IndexIDMap)


def fits(index: Any, dimension: int) -> bool:
    """Whether this is one of our two kinds."""
    ours = isinstance(index, (faiss().IndexIDMap, faiss().IndexIDMap2, faiss().IndexPreTransform))
    return ours and index.d == dimension


def ids_of(index: Any) -> Ids:
    """The ids held, in the order of the index."""
    if isinstance(index, faiss().IndexPreTransform):
        lists = faiss().downcast_index(index.index).invlists
        held: Ids = faiss().rev_swig_ptr(lists.get_ids(0), lists.list_size(0)).astype(np.int64)
        return held
    held = faiss().vector_to_array(index.id_map)
    return held


def nearest(
    index: Any, query: Vectors, count: int, selected: npt.NDArray[np.bool_]
) -> list[tuple[int, float]]:
    """(id, cosine, rough if the index is) of the nearest, best first. query: (D,).

    selected: one flag for each id from 0; ids beyond or without their flag are not looked at.
    """
    bits = np.packbits(selected, bitorder="little")
    parameters = faiss().SearchParametersIVF(sel=faiss().IDSelectorBitmap(bits), nprobe=1)
    if not isinstance(index, faiss().IndexPreTransform):
        parameters = faiss().SearchParameters(sel=faiss().IDSelectorBitmap(bits))
    cosines, ids = index.search(query[None, :], count, params=parameters)  # (1, count)
    return [(int(key), float(cosine)) for key, cosine in zip(ids[0], cosines[0], strict=True) if key >= 0]


def to_coarse(index: Any) -> Any:
    """The same vectors, by codes."""
    vectors = faiss().vector_to_array(faiss().downcast_index(index.index).codes).view(np.float32)
    made = coarse(index.d)
    made.add_with_ids(vectors.reshape(-1, index.d), ids_of(index))
    return made


def read(path: Path) -> Any:
    """Raises RuntimeError if the file is no index."""
    return faiss().read_index(str(path))


def write(index: Any, path: Path) -> None:
    """Raises RuntimeError, OSError."""
    faiss().write_index(index, str(path))


@cache
def _points() -> Vectors:
    """(16, 2) the points nearest to which pairs from N(0, 1) lie."""
    noise = np.random.default_rng(_SEED).standard_normal((_NOISE, 2)).astype(np.float32)
    clusters = faiss().Kmeans(2, _POINTS, niter=25, seed=_SEED, max_points_per_centroid=_NOISE)
    clusters.train(noise)
    points: Vectors = clusters.centroids
    return points


def faiss() -> Any:
    """FAISS, imported when first needed. Its type stubs describe C++ signatures, not the wrapped ones."""
    return import_module("faiss")
