"""Finding the references that a question needs: by meaning and by words, fused by rank.

Reciprocal rank fusion (Cormack, Clarke, Büttcher 2009): score = sum of 1 / (60 + rank). Which references
may be found at all (collection, documents, status) is decided inside both searches, from one snapshot of
the database, so that what may not be seen takes no places.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from storage import epochs, lexical, sources
from storage.collections import collection_id_of
from storage.database import Database
from storage.errors import EmbedderChanged
from storage.records import SEARCHABLE, Hit
from storage.schema import CollectionDocument, Document, Reference
from storage.vectors import VectorIndex

RANK_CONSTANT = 60
_VISIBLE_SETS = 32


class Visible:
    """A set of reference ids, one bit for each."""

    def __init__(self, ids: npt.NDArray[np.int64]) -> None:
        self.count = len(ids)
        flags = np.zeros((int(ids.max()) // 8 + 1) * 8 if len(ids) else 8, dtype=np.uint8)
        flags[ids] = 1
        self._flags = flags
        self.bits = np.packbits(flags, bitorder="little")  # (ceil(ids / 8),) uint8, lowest id first

    def __contains__(self, reference_id: int) -> bool:
        return reference_id < len(self._flags) and bool(self._flags[reference_id])


class Search:
    """Hybrid search with the vectors of one embedder. Safe to share between threads."""

    def __init__(self, database: Database, folder: Path, embedder: str, dimension: int) -> None:
        self._database = database
        self._dimension = dimension
        self._embedder = embedder
        self._vectors = VectorIndex(database, folder, embedder, dimension)
        self._lock = threading.Lock()
        self._visible: OrderedDict[tuple[int | None, tuple[str, ...] | None], Visible] = OrderedDict()
        self._epoch = -1

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
            visible = self._visible_to(connection, collection, document_ids)
            if not visible.count:
                return []
            self._vectors.follow(connection)
            dense = self._vectors.search(query, candidates, visible.bits)
            words = lexical.search(connection, query_text, visible.__contains__, candidates)
            fused = _fuse(dense, words)[:k]
            measured = query if cosine_to is None else np.ascontiguousarray(cosine_to, dtype=np.float32)
            cosines = self._vectors.cosines(measured, [hit.reference_id for hit in fused])
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

    def _visible_to(
        self, connection: sa.Connection, collection: str | None, document_ids: Sequence[str] | None
    ) -> Visible:
        epoch = epochs.read(connection).visible
        if epoch != self._epoch:
            self._visible.clear()
            self._epoch = epoch
        collection_id = None if collection is None else collection_id_of(connection, collection)
        key = (collection_id, None if document_ids is None else tuple(sorted(set(document_ids))))
        visible = self._visible.pop(key, None)
        if visible is None:
            visible = Visible(_visible_ids(connection, *key))
        self._visible[key] = visible
        if len(self._visible) > _VISIBLE_SETS:
            self._visible.popitem(last=False)
        return visible


def _visible_ids(
    connection: sa.Connection, collection_id: int | None, document_ids: tuple[str, ...] | None
) -> npt.NDArray[np.int64]:
    documents = sa.select(Document.id).where(Document.status.in_(SEARCHABLE))
    if collection_id is not None:
        members = sa.select(CollectionDocument.document_id).where(
            CollectionDocument.collection_id == collection_id
        )
        documents = documents.where(Document.id.in_(members))
    if document_ids is None:
        documents = documents.where(Document.id.not_in(sources.older(collection_id)))
    else:
        documents = documents.where(Document.id.in_(document_ids))
    query = sa.select(Reference.id).where(Reference.document_id.in_(documents))
    return np.fromiter(connection.execute(query).scalars(), dtype=np.int64)


def _fuse(dense: Sequence[tuple[int, float]], words: Sequence[tuple[int, float]]) -> list[Hit]:
    dense_ranks = {key: rank for rank, (key, _) in enumerate(dense, 1)}
    word_ranks = {key: rank for rank, (key, _) in enumerate(words, 1)}
    bm25 = dict(words)
    hits = []
    for key in dense_ranks.keys() | word_ranks.keys():
        ranks = [ranking[key] for ranking in (dense_ranks, word_ranks) if key in ranking]
        score = sum(1 / (RANK_CONSTANT + rank) for rank in ranks)
        hits.append(Hit(key, score, dense_ranks.get(key), word_ranks.get(key), None, bm25.get(key)))
    return sorted(hits, key=lambda hit: (-hit.score, hit.dense_rank or len(hits) + 1, hit.reference_id))
