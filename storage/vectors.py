"""The vectors of one embedder in RAM, as a FAISS index that follows the database.

The database is the truth; the index, and the file it is saved to, are copies that may be thrown away.
New ids are appended (ids only grow); when ids disappeared, the difference is taken out. A file is kept so
that start-up need not read every vector from the database. Exact search (inner product of L2-normalised
vectors is the cosine), so recall is 1.
"""

import hashlib
import logging
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from storage import epochs, files
from storage.database import Database
from storage.errors import EmbedderChanged, StorageError
from storage.schema import Reference

_log = logging.getLogger(__name__)

SAVE_ROWS = 1000
_SAVE_SHARE = 0.1  # of the index: a large one is not written for every small document
_BATCH = 2000
_SAMPLE = 16

Ids = npt.NDArray[np.int64]


class VectorIndex:
    """Not safe to share between threads: `Search` holds a lock around it."""

    def __init__(self, database: Database, folder: Path, embedder: str, dimension: int) -> None:
        self._database = database
        self._embedder = embedder
        self._dimension = dimension
        name = hashlib.sha256(f"{embedder}\0{dimension}".encode()).hexdigest()[:16]
        self.path = folder / f"{name}.faiss"
        self._index: Any = None
        self._epoch = -1
        self._last = 0
        self._unsaved = 0

    @property
    def size(self) -> int:
        """Vectors held."""
        return 0 if self._index is None else int(self._index.ntotal)

    def follow(self, connection: sa.Connection) -> None:
        """Make the index hold what the database holds. Raises EmbedderChanged."""
        epoch = epochs.read(connection).index
        if self._index is None:
            self._index = self._load(connection)
        if epoch != self._epoch:
            self._take_difference(connection)
            self._epoch = epoch
        else:
            self._add_newer(connection)

    def search(
        self, query: npt.NDArray[np.float32], count: int, visible: npt.NDArray[np.uint8]
    ) -> list[tuple[int, float]]:
        """(reference id, cosine) of the nearest, best first. query: (D,) L2-normalised.

        visible: one bit per reference id, lowest first; only ids whose bit is set are looked at.
        """
        parameters = _faiss().SearchParameters(sel=_faiss().IDSelectorBitmap(visible))
        cosines, ids = self._index.search(query[None, :], count, params=parameters)  # (1, count)
        return [(int(key), float(cosine)) for key, cosine in zip(ids[0], cosines[0], strict=True) if key >= 0]

    def cosines(self, query: npt.NDArray[np.float32], ids: Sequence[int]) -> dict[int, float]:
        """Cosines of the given references, those that have a vector here."""
        found = {}
        for key in ids:
            try:
                found[key] = float(self._index.reconstruct(key) @ query)
            except RuntimeError:  # FAISS's word for "no such id"
                continue
        return found

    def save_if_due(self) -> None:
        """Save after many changes."""
        if self._unsaved >= max(SAVE_ROWS, _SAVE_SHARE * self.size):
            self.save()

    def save(self) -> None:
        """Write the index beside its place and rename it, unless a delete came between.

        A file that still held a deleted document's vectors would undo the delete, so the epoch is compared
        under the write lock. A copy that cannot be written costs only time at the next start: it is logged.
        """
        if self._index is None or not self._unsaved:
            return
        partial = self.path.with_name(f"{uuid4().hex}{files.PARTIAL}")
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            _faiss().write_index(self._index, str(partial))
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            with self._database.write() as connection:
                if epochs.read(connection).index == self._epoch:
                    files.settle(partial, self.path)
                    self._unsaved = 0
        except (OSError, RuntimeError, StorageError) as error:
            self._unsaved = 0  # try again after as many changes, not at every query
            _log.warning("vector index %s was not saved: %s", self.path.name, type(error).__name__)
        finally:
            partial.unlink(missing_ok=True)

    def _load(self, connection: sa.Connection) -> Any:
        if self.path.is_file():
            try:
                index = _faiss().read_index(str(self.path))
                if self._is_ours(connection, index):
                    return index
                _log.warning("vector index %s does not fit the database; building it anew", self.path.name)
            except RuntimeError:
                _log.warning("vector index %s is not readable; building it anew", self.path.name)
        return _faiss().IndexIDMap2(_faiss().IndexFlatIP(self._dimension))

    def _is_ours(self, connection: sa.Connection, index: Any) -> bool:
        """Whether the file's vectors are the database's, by a sample.

        Ids alone do not tell: a database restored from a backup gives the same ids to other texts. What it
        gave anew are the highest ids that both have.
        """
        if not isinstance(index, _faiss().IndexIDMap2) or index.d != self._dimension:
            return False
        ids = _faiss().vector_to_array(index.id_map)
        if len(ids) == 0:
            return True
        common = (
            sa.select(Reference.id, Reference.vector)
            .where(Reference.embedder == self._embedder, Reference.id <= int(ids.max()))
            .order_by(Reference.id.desc())
            .limit(_SAMPLE)
        )
        held = set(ids.tolist())
        sample = [row for row in connection.execute(common) if row.id in held]
        return all(
            index.reconstruct(row.id).tobytes() == np.frombuffer(row.vector, "<f4").tobytes()
            for row in sample
        )

    def _take_difference(self, connection: sa.Connection) -> None:
        query = sa.select(Reference.id).where(Reference.embedder == self._embedder)
        stored: Ids = np.fromiter(connection.execute(query).scalars(), dtype=np.int64)
        held: Ids = _faiss().vector_to_array(self._index.id_map)
        gone = np.setdiff1d(held, stored)
        if len(gone):
            self._index.remove_ids(gone)
            self._unsaved += len(gone)
        missing = np.setdiff1d(stored, held)
        for first in range(0, len(missing), _BATCH):
            chosen = Reference.id.in_(missing[first : first + _BATCH].tolist())
            self._append(connection.execute(_VECTORS.where(chosen)).all())
        self._last = int(stored.max()) if len(stored) else 0

    def _add_newer(self, connection: sa.Connection) -> None:
        while True:
            newer = (Reference.embedder == self._embedder, Reference.id > self._last)
            rows = connection.execute(_VECTORS.where(*newer).limit(_BATCH)).all()
            if not rows:
                return
            self._append(rows)
            self._last = rows[-1][0]

    def _append(self, rows: Sequence[tuple[int, bytes]]) -> None:
        data = b"".join(vector for _, vector in rows)
        if any(len(vector) != 4 * self._dimension for _, vector in rows):
            raise EmbedderChanged(
                f"embedder {self._embedder} now gives {self._dimension} dimensions, but stored references "
                "have others; ingest the documents again"
            )
        vectors = np.frombuffer(data, dtype="<f4").reshape(len(rows), self._dimension)  # (n, D)
        self._index.add_with_ids(vectors, np.array([key for key, _ in rows], dtype=np.int64))
        self._unsaved += len(rows)


_VECTORS = sa.select(Reference.id, Reference.vector).order_by(Reference.id)


def _faiss() -> Any:
    """FAISS, imported when first needed. Its type stubs describe C++ signatures, not the wrapped ones."""
    return import_module("faiss")
