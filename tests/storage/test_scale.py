"""Search by codes and by rare words, forced on a small store by low limits; a million in the slow tests."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from app.measuring.search import COLLECTION, DIMENSION, EMBEDDER, Synthetic, measure_search, measured
from storage import nearest
from storage.database import Database
from storage.lexical import Lexical
from storage.search import Search
from storage.store import Store
from storage.visible import Visible


def test_codes_find_what_exact_search_finds(home: Path) -> None:
    """The same questions of the same references, under the same grants; then after a delete and a reload."""
    with Store.open(home) as store, closing(Database(home / "attest.db")) as database:
        synthetic = Synthetic(store, database)
        synthetic.grow(3000)
        search = Search(database, home / "vectors", EMBEDDER, DIMENSION, exact_limit=1000)
        assert measured(search, synthetic)["recall_at_5"] >= 0.98
        assert not nearest.is_exact(search._vectors._index)
        search.close()
        gone = synthetic.granted[1]
        ids = set(store.references.of_document(gone))
        store.documents.delete(gone)
        (path,) = (home / "vectors").iterdir()
        assert not ids & set(nearest.ids_of(nearest.read(path)).tolist())
        for opened in (search, Search(database, home / "vectors", EMBEDDER, DIMENSION, exact_limit=1000)):
            for vector, expected in zip(synthetic.vectors, synthetic.expected.tolist(), strict=True):
                hits = opened.hybrid("", vector, COLLECTION, document_ids=synthetic.granted)
                found = [hit.reference_id for hit in hits]
                assert not ids & set(found)
                assert len(set(expected) - ids - set(found)) <= 1
            assert opened._vectors.size == 2600


def test_few_visible_references_are_ranked_exactly(home: Path) -> None:
    with Store.open(home) as store, closing(Database(home / "attest.db")) as database:
        synthetic = Synthetic(store, database)
        synthetic.grow(2000)
        search = Search(database, home / "vectors", EMBEDDER, DIMENSION, exact_limit=100)
        only = synthetic.documents[3]
        ids = store.references.of_document(only)
        for vector in synthetic.vectors[:10]:
            hits = search.hybrid("", vector, document_ids=[only], k=5)
            with database.read() as connection:
                cosines = search._vectors.cosines(connection, vector, ids)
            assert [hit.reference_id for hit in hits] == sorted(ids, key=lambda key: -cosines[key])[:5]


def test_frequent_words_are_left_out_except_among_few(home: Path) -> None:
    with Store.open(home) as store, closing(Database(home / "attest.db")) as database:
        Synthetic(store, database)
        with database.write() as connection:
            connection.exec_driver_sql(
                "INSERT INTO reference_fts (rowid, title, heading, body) VALUES (?, '', '', ?)",
                [(key, "common rare" if key == 7 else "common") for key in range(1, 41)],
            )
        everything, few = np.ones(30_000, np.bool_), np.zeros(30_000, np.bool_)
        few[[3, 7]] = True
        with database.read() as connection:
            words = Lexical(most_rows=10)
            assert [key for key, _ in words.search(connection, "common rare", Visible(everything), 5)] == [7]
            assert words.search(connection, "common", Visible(everything), 5) == []
            assert [key for key, _ in words.search(connection, "common rare", Visible(few), 5)] == [7, 3]
            assert len(Lexical(most_rows=50).search(connection, "common", Visible(everything), 50)) == 40


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million() -> None:
    figures = measure_search([1_000_000])["1000000"]
    assert figures["recall_at_5"] >= 0.98
