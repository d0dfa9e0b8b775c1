"""Names and places of documents: changed without touching what was made of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from storage.errors import CollectionExists, CollectionNotFound, DocumentNotFound
from storage.records import NewAnswer
from storage.store import Store
from tests.storage.conftest import DIMENSION, EMBEDDER, vector_of

AddDocument = Callable[..., str]


def found(store: Store, collection: str, words: str) -> int:
    search = store.search(EMBEDDER, DIMENSION)
    return len(search.hybrid(words, vector_of(words), collection))


def test_a_document_is_shown_under_its_new_name(store: Store, add_document: AddDocument) -> None:
    lease = add_document("lease.txt", ["the rent is due"])
    store.placing.rename(lease, "Harbour Row.txt")
    assert store.documents.get(lease).name == "Harbour Row.txt"
    (row,) = store.references.get(store.references.of_document(lease))
    assert row.document_name == "Harbour Row.txt"
    with pytest.raises(DocumentNotFound):
        store.placing.rename("nothing", "x.txt")


def test_a_delete_covers_every_name_that_the_document_had(store: Store, add_document: AddDocument) -> None:
    lease = add_document("lease.txt", ["the rent is due"])
    for name in ("Harbour Row.txt", "Dock Road.txt", "lease.txt", "Quay Street.txt"):
        store.placing.rename(lease, name)
    talk = store.conversations.start("law", "Is Harbour Row.txt newer than Dock Road.txt?").id
    body = {"abstained": False, "citations": [], "reads": []}
    kept = store.answers.keep(
        talk, NewAnswer("And lease.txt?", "See Quay Street.txt.", "memory", 64, body, (lease,))
    )
    store.documents.delete(lease)
    row = store.answers.get(kept)
    told = " ".join((store.conversations.get(talk).title, row.question, row.text))
    for name in ("Harbour Row.txt", "Dock Road.txt", "lease.txt", "Quay Street.txt"):
        assert name not in told


def test_a_document_is_found_where_it_was_put(store: Store, add_document: AddDocument) -> None:
    store.collections.add("deals", "legal")
    lease, other = add_document("lease.txt", ["the rent is due"]), add_document("b.txt", ["a deed"])
    assert found(store, "law", "the rent is due") == 2
    assert store.placing.move([lease, "nothing"], "law", "deals") == 1
    assert found(store, "law", "the rent is due") == 1
    assert found(store, "deals", "the rent is due") == 1
    assert store.documents.get(lease).collections == ("deals",)
    assert store.placing.move([lease], "law", "deals") == 0
    assert store.placing.move([other], "law", "law") == 0
    with pytest.raises(CollectionNotFound):
        store.placing.move([other], "law", "elsewhere")


def test_its_work_goes_along(store: Store, tmp_path: Path) -> None:
    store.collections.add("deals", "legal")
    (tmp_path / "a.txt").write_text("a")
    row, _ = store.documents.add(tmp_path / "a.txt", "law")
    store.placing.move([row.id], "law", "deals")
    job = store.documents.get(row.id).job
    assert job is not None
    assert job.collection_id == store.collections.get("deals").id


def test_its_paths_go_along_as_the_newest_versions(store: Store, tmp_path: Path) -> None:
    store.collections.add("deals", "legal")
    path = tmp_path / "lease.txt"
    ids = []
    for text in ("one", "two", "three"):
        path.write_text(text)
        collection = "deals" if text == "one" else "law"
        row, _ = store.documents.add(path, collection, stays=True)
        store.documents.set_status(row.id, "ready")
        ids.append(row.id)
    assert store.placing.move(ids[1:], "law", "deals") == 2
    versions = store.sources.versions(ids[2])
    assert [(each.document_id, each.version, each.collection) for each in versions] == [
        (key, number, "deals") for number, key in enumerate(ids, 1)
    ]
    assert versions[0].superseded_by == ids[2]
    assert store.sources.under("law", tmp_path) == {}


def test_a_document_in_both_collections_is_in_one_then(store: Store, tmp_path: Path) -> None:
    store.collections.add("deals", "legal")
    path = tmp_path / "lease.txt"
    path.write_text("one")
    row, _ = store.documents.add(path, "law", stays=True)
    store.documents.add(path, "deals", stays=True)
    assert store.placing.move([row.id], "law", "deals") == 1
    after = store.documents.get(row.id)
    assert after.collections == ("deals",)
    assert [(each.collection, each.version) for each in after.sources] == [("deals", 1)]


def test_collections_are_renamed(store: Store, add_document: AddDocument) -> None:
    add_document("lease.txt", ["the rent is due"])
    store.collections.add("deals", "medical")
    store.collections.rename("law", "Leases")
    assert list(store.collections.profiles()) == ["Leases", "deals"]
    assert found(store, "Leases", "the rent is due") == 1
    with pytest.raises(CollectionExists):
        store.collections.rename("Leases", "deals")
    with pytest.raises(CollectionNotFound):
        store.collections.rename("law", "x")
