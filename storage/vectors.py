"""The vectors of one embedder in RAM, as an index that follows the database.

The database is the truth; the index, and the file it is saved to, are copies that may be thrown away.
New ids are appended (ids only grow); when ids disappeared, the difference is taken out. A file is kept so
that start-up need not read every vector from the database. Up to `EXACT_LIMIT` vectors the search is exact;
beyond, codes find candidates (see `storage.nearest`) that are ranked by the vectors of the database.
"""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from storage import epochs, files, nearest
from storage.database import Database
from storage.errors import EmbedderChanged, StorageError
from storage.nearest import Ids
from storage.schema import Reference
from storage.visible import Visible

_log = logging.getLogger(__name__)

EXACT_LIMIT = 100_000
CANDIDATES = 300  # by codes: what keeps the five nearest even of a million random directions, see docs/log.md
SAVE_ROWS = 1000
_SAVE_SHARE = 0.1  # of the index: a large one is not written for every small document
_BATCH = 5000
_SAMPLE = 16
_LIKE_ITSELF = 0.75  # a vector's cosine to its own code is about 0.9


class VectorIndex:
    """Not safe to share between threads: `Search` holds a lock around it."""

    def __init__(
        self, database: Database, folder: Path, embedder: str, dimension: int, exact_limit: int = EXACT_LIMIT
    ) -> None:
        self._database = database
        self._embedder = embedder
        self._dimension = dimension
        self._exact_limit = exact_limit
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

    def candidates(
        self, query: npt.NDArray[np.float32], count: int, visible: Visible
    ) -> list[tuple[int, float]]:
        """(reference id, cosine) of the nearest that are visible, for `rank`. query: (D,) L2-normalised.

        Reads no database, so that it may run beside what does.
        """
        if nearest.is_exact(self._index):
            return nearest.nearest(self._index, query, count, visible.flags)
        wanted = max(CANDIDATES, 2 * count)
        if visible.count <= wanted:
            return [(int(key), 0.0) for key in visible.ids()]
        return nearest.nearest(self._index, query, wanted, visible.flags)

    def rank(
        self,
        connection: sa.Connection,
        query: npt.NDArray[np.float32],
        count: int,
        found: list[tuple[int, float]],
    ) -> list[tuple[int, float]]:
        """The best `count` of what `candidates` found, best first, by exact cosines."""
        if nearest.is_exact(self._index):
            return found
        cosines = self.cosines(connection, query, [key for key, _ in found])
        return sorted(cosines.items(), key=lambda item: -item[1])[:count]

    def cosines(
        self, connection: sa.Connection, query: npt.NDArray[np.float32], ids: Sequence[int]
    ) -> dict[int, float]:
        """Cosines of the given references, those that have a vector of this embedder."""
        given = {"ids": json.dumps(list(ids)), "embedder": self._embedder}
        rows = connection.execute(_OF_IDS, given).all()
        return dict(zip([row.id for row in rows], (self._unpack(rows) @ query).tolist(), strict=True))

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
        partial = None
        try:
            partial = _beside(self._index, self.path)
            with self._database.write() as connection:
                if epochs.read(connection).index == self._epoch:
                    files.settle(partial, self.path)
                    self._unsaved = 0
        except (OSError, RuntimeError, StorageError) as error:
            self._unsaved = 0  # try again after as many changes, not at every query
            _log.warning("vector index %s was not saved: %s", self.path.name, type(error).__name__)
        finally:
            if partial is not None:
                partial.unlink(missing_ok=True)

    def _load(self, connection: sa.Connection) -> Any:
        if self.path.is_file():
            try:
                index = nearest.read(self.path)
                if self._is_ours(connection, index):
                    return index
                _log.warning("vector index %s does not fit the database; building it anew", self.path.name)
            except RuntimeError:
                _log.warning("vector index %s is not readable; building it anew", self.path.name)
        return nearest.exact(self._dimension)

    def _is_ours(self, connection: sa.Connection, index: Any) -> bool:
        """Whether the file's vectors are the database's, by a sample.

        Ids alone do not tell: a database restored from a backup gives the same ids to other texts. What it
        gave anew are the highest ids that both have.
        """
        if not nearest.fits(index, self._dimension):
            return False
        ids = nearest.ids_of(index)
        if len(ids) == 0:
            return True
        last = int(ids.max())
        common = (
            sa.select(Reference.id, Reference.vector)
            .where(Reference.embedder == self._embedder, Reference.id <= last)
            .order_by(Reference.id.desc())
            .limit(_SAMPLE)
        )
        rows = [row for row in connection.execute(common).all() if np.any(ids == row.id)]
        least = 0.999 if nearest.is_exact(index) else _LIKE_ITSELF
        for row, vector in zip(rows, self._unpack(rows), strict=True):
            only = np.zeros(last + 1, np.bool_)
            only[row.id] = True
            found = nearest.nearest(index, vector, 1, only)
            if not found or found[0][1] < least * float(vector @ vector):
                return False
        return True

    def _take_difference(self, connection: sa.Connection) -> None:
        query = sa.select(Reference.id).where(Reference.embedder == self._embedder).order_by(Reference.id)
        stored = _integers(connection, query)
        held = nearest.ids_of(self._index)
        missing = np.setdiff1d(stored, held, assume_unique=True)
        if self._index.ntotal + len(missing) > self._exact_limit and nearest.is_exact(self._index):
            self._index = nearest.to_coarse(self._index)
        gone = np.setdiff1d(held, stored, assume_unique=True)
        if len(gone):
            self._index.remove_ids(gone)
            self._unsaved += len(gone)
        for first in range(0, len(missing), _BATCH):
            chosen = Reference.id.in_(missing[first : first + _BATCH].tolist())
            self._append(connection.execute(_VECTORS.where(chosen)).all())
        self._last = int(stored[-1]) if len(stored) else 0

    def _add_newer(self, connection: sa.Connection) -> None:
        while True:
            newer = (Reference.embedder == self._embedder, Reference.id > self._last)
            rows = connection.execute(_VECTORS.where(*newer).limit(_BATCH)).all()
            if not rows:
                return
            self._append(rows)
            self._last = rows[-1].id

    def _append(self, rows: Sequence[sa.Row[int, bytes]]) -> None:
        self._index.add_with_ids(self._unpack(rows), np.array([row.id for row in rows], dtype=np.int64))
        self._unsaved += len(rows)
        if nearest.is_exact(self._index) and self.size > self._exact_limit:
            self._index = nearest.to_coarse(self._index)

    def _unpack(self, rows: Sequence[sa.Row[int, bytes]]) -> nearest.Vectors:
        """(n, D)"""
        if any(len(row.vector) != 4 * self._dimension for row in rows):
            raise EmbedderChanged(
                f"embedder {self._embedder} now gives {self._dimension} dimensions, but stored references "
                "have others; ingest the documents again"
            )
        data = b"".join(row.vector for row in rows)
        return np.frombuffer(data, dtype="<f4").reshape(len(rows), self._dimension)


def drop_deleted(connection: sa.Connection, folder: Path) -> None:
    """Take out of the saved indexes what the database has no more; called under the write lock.

    A file that cannot be read or written is unlinked, since it is only a copy; so is one half-written.
    """
    for path in folder.iterdir():
        try:
            if path.suffix == files.PARTIAL:
                raise OSError("half-written")
            index = nearest.read(path)
            held = nearest.ids_of(index)
            stored = _integers(connection, sa.select(Reference.id).order_by(Reference.id))
            index.remove_ids(np.setdiff1d(held, stored, assume_unique=True))
            files.settle(_beside(index, path), path)
        except (OSError, RuntimeError, AttributeError):  # FAISS knows other indexes than ours, without ids
            files.remove(path)


def _integers(connection: sa.Connection, query: sa.Select[int]) -> Ids:
    """All values of a query of one column, without an object for each row."""
    values = connection.execute(sa.select(sa.func.group_concat(query.subquery().c.id))).scalar()
    return np.fromstring(values, dtype=np.int64, sep=",") if values else np.zeros(0, np.int64)


def _beside(index: Any, path: Path) -> Path:
    """Write an index, flushed, beside its place. Raises OSError, RuntimeError."""
    partial = path.with_name(f"{uuid4().hex}{files.PARTIAL}")
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        nearest.write(index, partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return partial


# One parameter for hundreds of ids: a list of them would be compiled anew at every question.
_OF_IDS = sa.text(
    "SELECT id, vector FROM reference WHERE id IN (SELECT value FROM json_each(:ids)) "
    "AND embedder = :embedder"
)
_VECTORS = sa.select(Reference.id, Reference.vector).order_by(Reference.id)
