from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import lexical
from storage.errors import (
    CollectionNotFound,
    DocumentNotFound,
    EmbedderChanged,
    InvalidReference,
)
from storage.records import NewReference
from storage.search import Search
from storage.store import Store
from storage.vectors import VectorIndex
from storage.visible import Visible
from tests.storage.conftest import (
    DIMENSION,
    EMBEDDER,
    AddDocument,
    memory,
    references_of,
    unit,
    vector_of,
)


@pytest.fixture
def search(store: Store) -> Search:
    return store.search(EMBEDDER, DIMENSION)


def texts(store: Store, hits: list) -> list[str]:  # type: ignore[type-arg]
    return [row.text for row in store.references.get([hit.reference_id for hit in hits])]


def test_references_come_back_whole(store: Store, add_document: AddDocument) -> None:
    document_id = add_document("a.txt", ["The tenant pays.", "The landlord 𝒳 repairs."])
    store.documents.set_info(document_id, title="Lease")
    first, second = store.references.of_document(document_id)
    rows = store.references.get([second, 99, first])
    assert [row.id for row in rows] == [second, first]
    row, expected = rows[0], references_of(["The tenant pays.", "The landlord 𝒳 repairs."])[1]
    assert row.text == "The landlord 𝒳 repairs."
    assert (row.document_id, row.document_name, row.title) == (document_id, "a.txt", "Lease")
    assert (row.page, row.page_label, row.start, row.end) == (1, "i", expected.start, expected.end)
    assert row.heading_path == ("Part I", "Terms")
    assert row.header_tokens == 2
    np.testing.assert_array_equal(row.token_ids, expected.token_ids)
    np.testing.assert_array_equal(row.token_offsets, expected.token_offsets)


def test_a_reference_that_does_not_fit_is_refused_and_changes_nothing(
    store: Store, add_document: AddDocument
) -> None:
    document_id = add_document("a.txt", ["one two", "three"])
    before = store.references.of_document(document_id)
    good = references_of(["one two", "three"])

    def but(**changed: object) -> list[NewReference]:
        values = {name: getattr(good[1], name) for name in NewReference.__dataclass_fields__}
        return [good[0], NewReference(**{**values, **changed})]

    for bad in (
        but(page=2),
        but(end=100),
        but(start=good[1].end),
        but(header_tokens=0),
        but(vector=np.zeros(3, np.float32)),
        but(vector=np.full(DIMENSION, np.nan, np.float32)),
    ):
        with pytest.raises(InvalidReference, match=f"{document_id}, page"):
            store.references.replace(document_id, bad, EMBEDDER)
    assert store.references.of_document(document_id) == before
    with pytest.raises(DocumentNotFound):
        store.references.replace("gone", good, EMBEDDER)


def test_words_and_meaning_are_fused(store: Store, search: Search, add_document: AddDocument) -> None:
    add_document(
        "a.txt",
        ["Rent is due monthly.", "Either party may terminate.", "Payment of rent by cheque."],
        vectors=[unit(1), unit(0, 1), unit(1, 0.2)],
    )
    hits = search.hybrid("When must rent be paid?", unit(1))
    assert texts(store, hits)[:2] == ["Rent is due monthly.", "Payment of rent by cheque."]
    assert (hits[0].dense_rank, hits[0].lexical_rank) == (1, 1)
    assert hits[0].score == pytest.approx(2)
    assert hits[0].cosine == pytest.approx(1)
    assert hits[0].bm25 is not None
    assert hits[0].bm25 > 0
    assert (hits[2].dense_rank, hits[2].lexical_rank, hits[2].bm25) == (3, None, None)


def test_a_hit_by_words_alone_has_its_cosine(store: Store, search: Search, add_document: AddDocument) -> None:
    add_document("a.txt", ["alpha", "beta"], vectors=[unit(1), unit(1, 1)])
    hits = search.hybrid("beta", unit(1), candidates=1)
    by_words = next(hit for hit in hits if hit.dense_rank is None)
    assert by_words.cosine == pytest.approx(0.5**0.5)


def test_cosines_may_be_to_another_vector_than_the_query(
    store: Store, search: Search, add_document: AddDocument
) -> None:
    add_document("a.txt", ["alpha", "beta"], vectors=[unit(1), unit(0, 1)])
    hits = search.hybrid("beta", unit(0, 1), cosine_to=unit(1))
    assert {text: hit.cosine for text, hit in zip(texts(store, hits), hits, strict=True)} == pytest.approx(
        {"beta": 0.0, "alpha": 1.0}
    )


def test_only_what_is_asked_for_is_searched(
    store: Store, search: Search, add_document: AddDocument, tmp_path: Path
) -> None:
    """A crowd of better matches elsewhere takes no places from the collection that is asked."""
    store.collections.add("medicine", "medical")
    mine = add_document(
        "mine.txt", ["aspirin is mentioned here once among other words"], vectors=[unit(0.1, 1)]
    )
    add_document(
        "crowd.txt", [f"aspirin {n}" for n in range(30)], collection="medicine", vectors=[unit(1)] * 30
    )
    found = search.hybrid("aspirin", unit(1), "law", k=5, candidates=5)
    assert [row.document_id for row in store.references.get([hit.reference_id for hit in found])] == [mine]
    assert (found[0].dense_rank, found[0].lexical_rank) == (1, 1)
    assert len(search.hybrid("aspirin", unit(1), k=5)) == 5
    assert len(search.hybrid("aspirin", unit(1), document_ids=[mine])) == 1
    assert search.hybrid("aspirin", unit(1), "medicine", document_ids=[mine]) == []
    with pytest.raises(CollectionNotFound):
        search.hybrid("aspirin", unit(1), "nowhere")
    store.documents.add(tmp_path / "mine.txt", "medicine")
    assert len(search.hybrid("aspirin", unit(1), "medicine", document_ids=[mine])) == 1


def test_a_document_is_found_while_it_is_answerable(
    store: Store, search: Search, add_document: AddDocument
) -> None:
    document_id = add_document("a.txt", ["warfarin"], status="reading")
    found = {}
    for status in ("queued", "reading", "answerable", "ready", "partial", "failed", "cancelled"):
        store.documents.set_status(document_id, status)
        found[status] = len(search.hybrid("warfarin", vector_of("warfarin")))
    assert found == {
        "queued": 0,
        "reading": 0,
        "answerable": 1,
        "ready": 1,
        "partial": 1,
        "failed": 0,
        "cancelled": 0,
    }


def test_new_references_replace_the_old_everywhere(
    store: Store, search: Search, add_document: AddDocument, home: Path
) -> None:
    document_id = add_document("a.txt", ["first words", "second words"])
    old = store.references.of_document(document_id)
    bank = store.banks.open("print", {})
    bank.write([(key, memory(key)) for key in old])
    assert search.hybrid("first", vector_of("first words"))
    new = store.references.replace(document_id, references_of(["first words second"]), EMBEDDER)
    assert min(new) > max(old)
    assert [hit.reference_id for hit in search.hybrid("first", vector_of("first words"))] == new
    assert bank.read(old) == {}
    assert list((home / "bank").rglob("*.safetensors")) == []
    assert store.documents.get(document_id).reference_count == 1


def test_another_process_sees_what_this_one_does(
    store: Store, search: Search, add_document: AddDocument, home: Path
) -> None:
    """Two stores on one home stand for two processes: nothing in RAM is shared between them."""
    first = add_document("a.txt", ["alpha beta"])
    with Store.open(home) as other:
        theirs = other.search(EMBEDDER, DIMENSION)
        assert len(theirs.hybrid("alpha", vector_of("alpha beta"))) == 1
        add_document("b.txt", ["alpha gamma"])
        assert len(theirs.hybrid("alpha", vector_of("alpha beta"))) == 2
        store.documents.delete(first)
        left = theirs.hybrid("alpha", vector_of("alpha beta"))
        assert texts(store, left) == ["alpha gamma"]


def reopened(home: Path) -> list[tuple[int, float | None]]:
    with Store.open(home) as store:
        hits = store.search(EMBEDDER, DIMENSION).hybrid("alpha", vector_of("alpha 3"))
        return [(hit.reference_id, hit.cosine) for hit in hits]


def test_a_lost_or_cut_off_index_file_is_built_anew(
    store: Store, search: Search, add_document: AddDocument, home: Path
) -> None:
    add_document("a.txt", [f"alpha {n}" for n in range(20)])
    search.hybrid("alpha", vector_of("alpha 3"))
    search.close()
    expected = reopened(home)
    (path,) = (home / "vectors").iterdir()
    saved = path.read_bytes()
    path.write_bytes(saved[: len(saved) // 2])
    assert reopened(home) == expected
    assert path.read_bytes() == saved
    path.unlink()
    assert reopened(home) == expected
    assert path.read_bytes() == saved


def test_a_saved_index_is_used(
    store: Store, search: Search, add_document: AddDocument, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_document("a.txt", [f"alpha {n}" for n in range(20)])
    search.hybrid("alpha", unit(1))
    search.close()
    expected = reopened(home)
    monkeypatch.setattr(VectorIndex, "_append", lambda self, rows: pytest.fail("read from the database"))
    assert reopened(home) == expected


def test_an_index_of_another_database_is_not_believed(
    store: Store, search: Search, add_document: AddDocument, home: Path
) -> None:
    add_document("a.txt", ["alpha 1", "alpha 2"])
    search.hybrid("alpha", unit(1))
    search.close()
    with store._database.write() as connection:  # as if restored from a backup, then filled anew
        connection.exec_driver_sql("UPDATE reference SET vector = ?", (unit(1).tobytes(),))
    with Store.open(home) as other:
        hits = other.search(EMBEDDER, DIMENSION).hybrid("alpha", unit(1))
        assert [hit.cosine for hit in hits] == [pytest.approx(1)] * 2


def test_an_embedder_that_changed_is_named(store: Store, search: Search, add_document: AddDocument) -> None:
    add_document("a.txt", ["alpha"])
    with pytest.raises(EmbedderChanged, match=EMBEDDER):
        search.hybrid("alpha", np.ones(3, np.float32))
    with pytest.raises(EmbedderChanged, match="ingest"):
        store.search(EMBEDDER, 3).hybrid("alpha", np.ones(3, np.float32))


def test_an_empty_store_finds_nothing(search: Search) -> None:
    assert search.hybrid("anything", unit(1), "law") == []


def test_terms_leave_out_stop_words_unless_nothing_is_left() -> None:
    assert lexical.terms("What is the Dosage of ASPIRIN, dosage?") == ["dosage", "aspirin"]
    assert lexical.terms("What is it?") == ["what", "is", "it"]
    assert lexical.terms("§ 12(b)(6) – 45_C.F.R.") == ["12", "b", "6", "45", "c", "f", "r"]
    assert lexical.terms("!?") == []
    assert len(lexical.terms(" ".join(f"w{n}" for n in range(500)))) == lexical.MOST_TERMS


@given(st.text(max_size=80))
@settings(max_examples=150, deadline=None)
def test_no_question_is_a_syntax_error(words_store: Store, text: str) -> None:
    with words_store._database.read() as connection:
        for question in (text, f'"{text}', f"body:{text}* NEAR( OR -{text}^"):
            visible = Visible(np.ones(10, np.bool_))
            assert isinstance(lexical.Lexical().search(connection, question, visible, 5), list)


@pytest.fixture(scope="module")
def words_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    opened = Store.open(tmp_path_factory.mktemp("words"))
    opened._database.engine.pool.dispose()
    return opened


def test_stems_and_accents_are_found(store: Store, search: Search, add_document: AddDocument) -> None:
    add_document("a.txt", ["The naïve lessee terminated", "nothing here", "nor here"])
    for question in ("naive", "terminating", "TERMINATION"):
        hits = search.hybrid(question, unit(1), k=3)
        assert [hit.lexical_rank for hit in hits].count(1) == 1, question


def test_ranks_agree_with_the_slow_obvious_way(
    store: Store, search: Search, add_document: AddDocument
) -> None:
    passages = [f"passage number {n}" for n in range(60)]
    add_document("a.txt", passages)
    query = vector_of("passage number 17")
    hits = search.hybrid("nothing matches", query, k=60, candidates=60)
    cosines = sorted(((float(vector_of(text) @ query), text) for text in passages), reverse=True)
    assert texts(store, hits) == [text for _, text in cosines]


def test_scores_agree_with_the_slow_obvious_way(
    store: Store, search: Search, add_document: AddDocument
) -> None:
    """Both scores of every reference, each over its best."""
    generator = np.random.default_rng(0)
    words = ["rent", "notice", "aspirin", "dose", "court", "fever", "lease", "term"]
    for name in ("a.txt", "b.txt"):
        add_document(name, [f"{name} {n} " + " ".join(generator.choice(words, 6)) for n in range(12)])
    rows = {row.id: row.text for row in store.references.get(list(range(1, 100)))}
    assert len(rows) == 24
    for number in range(25):
        text, query = " ".join(generator.choice(words, 3)), vector_of(f"query {number}")
        cosine = {key: float(vector_of(passage) @ query) for key, passage in rows.items()}
        with store._database.read() as connection:
            bm25 = lexical.Lexical().scores(connection, text, list(rows))
        best, strongest = max(cosine.values()), max(bm25.values())
        expected = {key: max(cosine[key], 0) / best + bm25.get(key, 0) / strongest for key in rows}
        hits = search.hybrid(text, query, k=8, candidates=24)
        assert [hit.score for hit in hits] == pytest.approx(
            sorted(expected.values(), reverse=True)[:8], rel=1e-4
        )
        assert all(hit.score == pytest.approx(expected[hit.reference_id], rel=1e-4) for hit in hits)
        assert search.hybrid(text, query, k=8, candidates=24) == hits
