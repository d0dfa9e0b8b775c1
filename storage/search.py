"""Finding the references that a question needs: by meaning and by words, fused by score.

Score = cosine / best cosine + BM25 / best BM25, both known for whatever either search found. Fusing by
reciprocal rank finds less (docs/log.md): it does not see that the best by words is far ahead, or that all
are alike. Which references may be found at all (collection, documents, status) is decided inside both
searches, from one snapshot of the database, so that what may not be seen takes no places.
"""

import copy
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from storage.collections import collection_id_of
from storage.database import Database
from storage.errors import EmbedderChanged
from storage.grants import LOCAL, Viewer
from storage.lexical import Lexical
from storage.records import Hit
from storage.vectors import EXACT_LIMIT, VectorIndex
from storage.visibility import Visibility

CACHE_KIB = 65_536  # of a connection that searches; SQLite's 2 MiB make a large index a third slower


class Search:
    """Hybrid search with the vectors of one embedder. Safe to share between threads."""

    def __init__(
        self, database: Database, folder: Path, embedder: str, dimension: int, exact_limit: int = EXACT_LIMIT
    ) -> None:
        self._database = database
        self._dimension = dimension
        self._embedder = embedder
        self._vectors = VectorIndex(database, folder, embedder, dimension, exact_limit)
        self._words = Lexical()
        self._visibility = Visibility()
        self._beside = ThreadPoolExecutor(1, "attest-vectors")  # FAISS lets other threads run
        self._lock = threading.Lock()
        self._viewer = LOCAL

    def seen_by(self, viewer: Viewer) -> Self:
        """The same indexes, of which only what `viewer` sees is found."""
        seen = copy.copy(self)
        seen._viewer = viewer
        return seen

    def hybrid(
        self,
        query_text: str,
        query_vector: npt.NDArray[np.float32],
        collection: str | None = None,
        *,
        document_ids: Sequence[str] | None = None,
        cosine_to: npt.NDArray[np.float32] | None = None,
        k: int = 5,
        candidates: int = 50,
    ) -> list[Hit]:
        """The `k` best references, best first; of `candidates` from each search.

        query_vector: (D,) L2-normalised. cosine_to: report cosines to this vector instead. collection,
        document_ids: None is everything; both given, both hold. Only documents that are answerable, ready or
        partial are searched, and older versions only if `document_ids` names them. Raises CollectionNotFound,
        EmbedderChanged.
        """
        query = np.ascontiguousarray(query_vector, dtype=np.float32)
        if query.shape != (self._dimension,):
            raise EmbedderChanged(
                f"the query has shape {query.shape}, but {self._embedder} was opened with {self._dimension} "
                "dimensions; embed it with the same embedder"
            )
        with self._lock, self._database.read() as connection:
            connection.exec_driver_sql(f"PRAGMA cache_size=-{CACHE_KIB}")
            collection_id = (
                None if collection is None else collection_id_of(connection, collection, self._viewer)
            )
            visible = self._visibility.to(connection, self._viewer, collection_id, document_ids)
            if not visible.count:
                return []
            self._vectors.follow(connection)
            scan = self._beside.submit(self._vectors.candidates, query, candidates, visible)
            try:
                words = self._words.search(connection, query_text, visible, candidates)
            finally:
                near = scan.result()  # before anybody else may change the index
            dense = self._vectors.rank(connection, query, candidates, near)
            cosines = dict(dense)
            others = [key for key, _ in words if key not in cosines]
            cosines |= self._vectors.cosines(connection, query, others)
            found = [*dict(dense), *others]
            bm25 = self._words.scores(connection, query_text, found)
            fused = fuse(found, [key for key, _ in dense], cosines, bm25)[:k]
            if cosine_to is not None:
                measured = np.ascontiguousarray(cosine_to, dtype=np.float32)
                cosines = self._vectors.cosines(connection, measured, [hit.reference_id for hit in fused])
        with self._lock:
            self._vectors.save_if_due()
        return [
            Hit(
                hit.reference_id,
                hit.score,
                hit.dense_rank,
                hit.lexical_rank,
                cosines.get(hit.reference_id),
                hit.bm25,
            )
            for hit in fused
        ]

    def close(self) -> None:
        """Save the vectors for a quick start next time."""
        with self._lock:
            self._vectors.save()


def fuse(
    found: Sequence[int], dense: Sequence[int], cosines: Mapping[int, float], bm25: Mapping[int, float]
) -> list[Hit]:
    """What either search found, best first. dense: by meaning, best first.

    A reference without a vector has no cosine, and one without any of the words no BM25.
    """
    dense_ranks = {key: rank for rank, key in enumerate(dense, 1)}
    by_words = sorted((key for key in found if key in bm25), key=lambda key: (-bm25[key], key))
    word_ranks = {key: rank for rank, key in enumerate(by_words, 1)}
    nearest = max(cosines.values(), default=0.0)
    strongest = max(bm25.values(), default=0.0)
    hits = []
    for key in found:
        score = max(cosines.get(key, 0.0), 0.0) / nearest if nearest > 0 else 0.0
        if strongest > 0:
            score += bm25.get(key, 0.0) / strongest
        hits.append(Hit(key, score, dense_ranks.get(key), word_ranks.get(key), None, bm25.get(key)))
    return sorted(hits, key=lambda hit: (-hit.score, hit.dense_rank or len(hits) + 1, hit.reference_id))
