"""How search grows with the store: time and recall over synthetic references, for `attest bench store`.

The references are the worst that an index can meet: random directions, in which nothing is near anything,
so that no structure helps. Their words follow Zipf's law, as those of questions do. Every question may see
every other document, as a user's grants would have it. Time is that of the whole `Search.hybrid`; recall is
the share of the five exactly nearest visible references that the search by meaning alone returns.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from storage import epochs
from storage.database import Database
from storage.schema import CollectionDocument, Document, Reference
from storage.search import Search
from storage.store import Store
from storage.vectors import EXACT_LIMIT

DIMENSION = 384
EMBEDDER = "synthetic"
COLLECTION = "synthetic"
PER_DOCUMENT = 400
QUESTIONS = 60
NEAREST = 5
_BATCH = 10_000
_WORDS = 40  # of a reference
_ASKED = 8  # words of a question
_VOCABULARY = 100_000
_COMMONEST = 30  # ranks left out at the top, which would be stop words
_LETTERS = "bcdfghklmnprstvz"


class Synthetic:
    """Fills a store's first collection with made-up references, and knows what its questions should find."""

    def __init__(self, store: Store, database: Database, seed: int = 0) -> None:
        self._database = database
        self._random = np.random.default_rng(seed)
        shares = 1 / (np.arange(_VOCABULARY) + _COMMONEST)
        self._cumulated = np.cumsum(shares / shares.sum())
        self._words = np.array([_word(rank) for rank in range(_VOCABULARY)], dtype=object)
        self.collection_id = store.collections.add(COLLECTION, "general").id
        self.references = 0
        self.documents: list[str] = []
        self.questions = [self._text(_ASKED) for _ in range(QUESTIONS)]
        self.vectors = self._directions(QUESTIONS)
        self._nearest = np.zeros((QUESTIONS, 0)), np.zeros((QUESTIONS, 0), np.int64)

    @property
    def granted(self) -> list[str]:
        """Ids of the documents that questions may see."""
        return self.documents[::2]

    @property
    def expected(self) -> npt.NDArray[np.int64]:
        """(questions, 5) ids of the exactly nearest visible references."""
        return self._nearest[1]

    def grow(self, references: int) -> None:
        """Add references until there are so many."""
        while self.references < references:
            self._add(min(_BATCH, references - self.references))

    def _add(self, count: int) -> None:
        first = self.references + 1
        vectors = self._directions(count)
        ids = np.arange(first, first + count)
        documents = [f"{(key - 1) // PER_DOCUMENT:016x}" for key in ids.tolist()]
        new = [key for key in dict.fromkeys(documents) if not self.documents or key > self.documents[-1]]
        self.documents += new
        with self._database.write() as connection:
            for number, key in enumerate(new):
                row = {"id": key, "sha256": key, "name": f"{key}.txt", "bytes": 1, "warnings": []}
                row |= {"status": "ready", "created_at": time.time(), "reference_count": PER_DOCUMENT}
                connection.execute(sa.insert(Document).values(row | {"page_count": number}))
            links = [{"collection_id": self.collection_id, "document_id": key} for key in new]
            if links:
                connection.execute(sa.insert(CollectionDocument), links)
            connection.execute(
                sa.insert(Reference),
                [
                    {
                        "id": key,
                        "document_id": document,
                        "page": 1,
                        "start": 0,
                        "end": 1,
                        "heading_path": [],
                        "token_ids": b"",
                        "header_tokens": 0,
                        "token_offsets": b"",
                        "vector": vector.tobytes(),
                        "embedder": EMBEDDER,
                    }
                    for key, document, vector in zip(ids.tolist(), documents, vectors, strict=True)
                ],
            )
            connection.exec_driver_sql(
                "INSERT INTO reference_fts (rowid, title, heading, body) VALUES (?, '', '', ?)",
                [(key, self._text(_WORDS)) for key in ids.tolist()],
            )
            epochs.visibility_changed(connection)
        self.references += count
        visible = ((ids - 1) // PER_DOCUMENT) % 2 == 0
        self._note_nearest(ids[visible], vectors[visible])

    def _note_nearest(self, ids: npt.NDArray[np.int64], vectors: npt.NDArray[np.float32]) -> None:
        cosines = np.concatenate([self._nearest[0], self.vectors @ vectors.T], axis=1)
        keys = np.concatenate([self._nearest[1], np.tile(ids, (QUESTIONS, 1))], axis=1)
        best = np.argsort(-cosines, axis=1)[:, :NEAREST]
        self._nearest = np.take_along_axis(cosines, best, 1), np.take_along_axis(keys, best, 1)

    def _directions(self, count: int) -> npt.NDArray[np.float32]:
        """(count, D) L2-normalised."""
        vectors = self._random.standard_normal((count, DIMENSION), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def _text(self, words: int) -> str:
        ranks = np.searchsorted(self._cumulated, self._random.random(words))
        return " ".join(self._words[np.minimum(ranks, _VOCABULARY - 1)])


def measure_search(counts: Sequence[int], *, exact_limit: int = EXACT_LIMIT) -> dict[str, dict[str, float]]:
    """{"<references>": {"p50_ms", "p95_ms", "recall_at_5"}}, of one store in a temporary folder that grows.

    exact_limit: from how many references on the search is by codes.
    """
    with tempfile.TemporaryDirectory() as folder:
        return dict(_growing(Path(folder), sorted(counts), exact_limit))


def _growing(home: Path, counts: Sequence[int], exact_limit: int) -> Iterator[tuple[str, dict[str, float]]]:
    with Store.open(home) as store, closing(Database(home / "attest.db")) as database:
        synthetic = Synthetic(store, database)
        search = Search(database, home / "vectors", EMBEDDER, DIMENSION, exact_limit)
        for count in counts:
            synthetic.grow(count)
            yield str(count), measured(search, synthetic)


def measured(search: Search, synthetic: Synthetic) -> dict[str, float]:
    """Ask every question once, after one that loads what is loaded once."""
    granted = synthetic.granted
    search.hybrid(synthetic.questions[0], synthetic.vectors[0], COLLECTION, document_ids=granted)
    times, found = [], 0
    asked = zip(synthetic.questions, synthetic.vectors, synthetic.expected.tolist(), strict=True)
    for text, vector, expected in asked:
        started = time.perf_counter()
        search.hybrid(text, vector, COLLECTION, document_ids=granted)
        times.append((time.perf_counter() - started) * 1e3)
        nearest = search.hybrid("", vector, COLLECTION, document_ids=granted, k=NEAREST)
        found += len({hit.reference_id for hit in nearest} & set(expected))
    return {
        "p50_ms": round(statistics.median(times), 2),
        "p95_ms": round(statistics.quantiles(times, n=20)[-1], 2),
        "recall_at_5": round(found / synthetic.expected.size, 4),
    }


def _word(rank: int) -> str:
    """A word of its own for every rank: digits written as syllables."""
    letters = ""
    while True:
        rank, digit = divmod(rank, 80)
        letters += _LETTERS[digit // 5] + "aeiou"[digit % 5]
        if not rank:
            return f"{letters}x"  # no ending that a stemmer knows
