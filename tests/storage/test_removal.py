import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from storage.errors import CollectionNotFound, DocumentNotFound
from storage.records import Receipt
from storage.removal import Remover
from storage.shard import Shard
from storage.shards import Draft, Entries
from storage.store import Store
from tests.storage.conftest import DIMENSION, EMBEDDER, AddDocument, memory, vector_of

SECRETS = ["zyxquorvanta", "quibblezorp", "xylophantic"]


def where(home: Path, needle: bytes) -> list[str]:
    """Files under the home folder whose bytes hold `needle`."""
    return [
        str(path.relative_to(home))
        for path in home.rglob("*")
        if path.is_file() and needle.lower() in path.read_bytes().lower()
    ]


def remember(store: Store, *document_ids: str) -> list[int]:
    """Memories of all references of the documents, in one shard."""
    ids = [key for document_id in document_ids for key in store.references.of_document(document_id)]
    store.banks.open("print", {}).write([(key, memory(key)) for key in ids])
    return ids


def search_all(store: Store) -> list[int]:
    hits = store.search(EMBEDDER, DIMENSION).hybrid(
        "agreement", vector_of("agreement"), k=100, candidates=100
    )
    return [hit.reference_id for hit in hits]


def test_nothing_of_a_deleted_document_stays(store: Store, add_document: AddDocument, home: Path) -> None:
    """Not in rows, words, vectors, memories, the original, images, backups or the write-ahead log."""
    kept = [add_document(f"kept {n}.txt", [f"agreement {n} {m} " * 9 for m in range(40)]) for n in range(3)]
    doomed = add_document(f"{SECRETS[0]}.txt", [f"agreement {SECRETS[1]} {m} " * 9 for m in range(40)])
    kept.append(add_document("kept 3.txt", [f"agreement 3 {m} " * 9 for m in range(40)]))
    store.documents.set_info(doomed, title=SECRETS[2])
    store.documents.add_warning(doomed, 1, SECRETS[2])
    ids = remember(store, *kept, doomed)
    gone = store.references.of_document(doomed)
    vector = vector_of(f"agreement {SECRETS[1]} 5 " * 9).tobytes()
    keys = memory(gone[5])["keys"].tobytes()
    search_all(store)
    store.search(EMBEDDER, DIMENSION).close()
    (home / "pages" / f"{doomed}-1.png").write_bytes(SECRETS[1].encode())
    (home / "pages" / doomed).mkdir()
    (home / "pages" / doomed / "2.png").write_bytes(SECRETS[1].encode())
    (home / "pages" / f"{kept[0]}-1.png").write_bytes(b"image")
    (home / "backups").mkdir()
    (home / "backups" / "attest-0001.db").write_bytes(SECRETS[1].encode())
    needles = [*(secret.encode() for secret in SECRETS), vector, keys, doomed.encode()]
    assert all(where(home, needle) for needle in needles)

    receipt = store.documents.delete(doomed)

    assert {needle: where(home, needle) for needle in needles} == {needle: [] for needle in needles}
    assert receipt.document_id == doomed
    assert receipt.rows == 1 + 1 + 40 + 1 + 1  # document, page, references, job, collection
    assert (receipt.vectors, receipt.memories) == (40, 40)
    assert receipt.files == 5 + 1  # original, two images, vectors, backup; the shard rewritten
    assert receipt.bytes_freed > 40 * len(keys)
    assert [path for path in home.glob("pages/**/*") if path.is_file()] == [
        home / "pages" / f"{kept[0]}-1.png"
    ]
    left = sorted(set(ids) - set(gone))
    found = search_all(store)
    assert len(found) >= 100
    assert set(found) <= set(left)
    read = store.banks.open("print", {}).read(left)
    assert list(read) == left
    np.testing.assert_array_equal(read[left[3]]["keys"], memory(left[3])["keys"])
    assert store.banks.verify("print") == []
    with pytest.raises(DocumentNotFound):
        store.documents.delete(doomed)


def test_a_document_after_another_leaves_no_words(
    store: Store, add_document: AddDocument, home: Path
) -> None:
    """Words of many sizes, deleted in an order that splits and merges database pages."""
    random = np.random.default_rng(5)
    documents = {}
    for n in range(24):
        secret = "".join(random.choice(list("bcdfghjklmnpqrstvwxz"), 12))
        sizes = random.integers(1, 300, size=random.integers(1, 12))
        documents[secret] = add_document(f"{n}.txt", [f"{secret} clause " * int(size) for size in sizes])
    for secret in random.permutation(list(documents))[:16]:
        store.documents.delete(documents.pop(str(secret)))
        assert where(home, str(secret).encode()) == []
    for secret, document_id in documents.items():
        rows = store.references.get(store.references.of_document(document_id))
        assert all(secret in row.text for row in rows)


@pytest.mark.parametrize("stage", ["shard", "original", "pages", "vectors", "words"])
def test_a_crash_in_the_middle_is_finished_at_the_next_open(
    store: Store, add_document: AddDocument, home: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    kept, doomed = (
        add_document("kept.txt", ["agreement one"]),
        add_document("b.txt", [f"agreement {SECRETS[0]}"]),
    )
    kept_ids, _ = remember(store, kept, doomed)[:1], search_all(store)
    store.search(EMBEDDER, DIMENSION).close()
    work_off = Remover._work_off

    def crash(self: Remover, kind: str, target: str) -> None:
        if kind == stage:
            raise KeyboardInterrupt
        work_off(self, kind, target)

    with monkeypatch.context() as patched:
        patched.setattr(Remover, "_work_off", crash)
        with pytest.raises(KeyboardInterrupt):
            store.documents.delete(doomed)
    with pytest.raises(DocumentNotFound):  # gone for everyone from the first half on
        store.documents.get(doomed)
    with Store.open(home) as again:
        assert where(home, SECRETS[0].encode()) == []
        assert [Shard(path).keys for path in (home / "bank").rglob("*.safetensors")] == [
            {str(key) for key in kept_ids}
        ]
        assert list(again.banks.open("print", {}).read(kept_ids)) == kept_ids
        assert search_all(again) == kept_ids


def test_the_same_file_can_come_back(store: Store, add_document: AddDocument) -> None:
    first = add_document("a.txt", ["agreement"])
    old = store.references.of_document(first)
    store.documents.delete(first)
    second = add_document("a.txt", ["agreement"])
    assert second == first
    assert store.references.of_document(second) > old  # ids are never used twice
    assert store.documents.original(second).read_text() == "agreement"
    assert len(search_all(store)) == 1


def test_a_noted_removal_spares_a_document_that_came_back(
    store: Store, add_document: AddDocument, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = add_document("a.txt", ["agreement"])
    with monkeypatch.context() as patched:
        patched.setattr(Remover, "finish", lambda self: None)
        store.documents.delete(first)
    add_document("a.txt", ["agreement"])
    with Store.open(home) as again:
        assert again.documents.original(first).read_text() == "agreement"


def test_deleting_a_collection_spares_what_others_hold(
    store: Store, add_document: AddDocument, tmp_path: Path
) -> None:
    store.collections.add("other", "general")
    shared, alone = add_document("shared.txt", ["one"]), add_document("alone.txt", ["two"])
    second = add_document("second.txt", ["three"])
    remember(store, shared, alone, second)
    store.documents.add(tmp_path / "shared.txt", "other")
    receipts = store.collections.delete("law")
    assert {receipt.document_id for receipt in receipts} == {alone, second}
    assert sorted(receipt.files for receipt in receipts) == [1, 2]  # two originals and the shard they shared
    assert store.documents.get(shared).collections == ("other",)
    assert [row.name for row in store.collections.list()] == ["other"]
    with pytest.raises(CollectionNotFound):
        store.collections.delete("law")
    assert isinstance(receipts[0], Receipt)


def test_a_memory_of_a_document_deleted_meanwhile_is_not_kept(
    store: Store, add_document: AddDocument, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, doomed = add_document("kept.txt", ["one"]), add_document("b.txt", ["two"])
    bank = store.banks.open("print", {})
    draft = bank._shards.draft
    (left,), (gone,) = store.references.of_document(kept), store.references.of_document(doomed)

    @contextmanager
    def slow(entries: Entries) -> Iterator[Draft]:
        with draft(entries) as written:
            monkeypatch.undo()
            store.documents.delete(doomed)
            yield written

    monkeypatch.setattr(bank._shards, "draft", slow)
    assert bank.write([(left, memory(1)), (gone, memory(2))]) == 1
    assert list(bank.read([left, gone])) == [left]
    assert where(home, memory(2)["keys"].tobytes()) == []


def test_an_index_that_has_not_heard_of_a_delete_is_not_saved(
    store: Store, add_document: AddDocument, home: Path
) -> None:
    document_id = add_document("a.txt", ["agreement"])
    with Store.open(home) as other:
        search_all(other)  # holds the vector in RAM, unsaved
        store.documents.delete(document_id)
    assert where(home, vector_of("agreement").tobytes()) == []


def test_files_that_nothing_names_are_swept(store: Store, add_document: AddDocument, home: Path) -> None:
    document_id = add_document("a.txt", ["agreement"])
    remember(store, document_id)
    strays = [
        home / "originals" / "ab" / ("ab" * 32),
        home / "originals" / "left.partial",
        home / "bank" / "print" / "left.safetensors",
        home / "vectors" / "left.partial",
        home / "pages" / "0123456789abcdef-1.png",
    ]
    (home / "pages" / f"{document_id}-1.png").write_bytes(b"image")
    for path in strays:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"stray")
    for path in home.rglob("*"):
        os.utime(path, (0, 0))
    before = {path for path in home.rglob("*") if path.is_file()}
    assert store.sweep() == len(strays)
    assert before - {path for path in home.rglob("*") if path.is_file()} == set(strays)
    assert store.banks.verify("print") == []
