"""The file that a bank's memories were coded with."""

from pathlib import Path

import numpy as np
import pytest

from storage.codebooks import Codebooks
from storage.errors import CodebookDamaged, MemoryCorrupt, StorageError
from storage.store import Store
from tests.storage.conftest import AddDocument, memory

ARRAYS = {
    "keys": np.arange(24, dtype=np.float16).reshape(2, 3, 4),
    "values": np.arange(5, dtype=np.float32),
}


def test_the_first_one_stays(tmp_path: Path) -> None:
    books = Codebooks(tmp_path)
    assert books.read("print") is None
    assert books.keep("print", ARRAYS)
    assert not Codebooks(tmp_path).keep("print", {"keys": np.zeros(3)})
    read = Codebooks(tmp_path).read("print")
    assert read is not None
    assert read.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read[name], array)
    assert [file.name for file in tmp_path.iterdir()] == ["print.safetensors"]
    assert books.read("other") is None
    assert books.discard("print")
    assert books.read("print") is None
    assert not books.discard("print")
    with pytest.raises(StorageError, match="cannot name a bank"):
        books.read("../print")


def test_a_damaged_or_foreign_one_is_refused(tmp_path: Path) -> None:
    books = Codebooks(tmp_path)
    books.keep("print", ARRAYS)
    path = books.path("print")
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-70] ^= 1
    for broken in (bytes(flipped), whole[:-80], whole[:20], b""):
        path.write_bytes(broken)
        with pytest.raises(CodebookDamaged, match=r"codebooks|print\.safetensors is damaged"):
            books.read("print")
    books.path("other").write_bytes(whole)
    with pytest.raises(CodebookDamaged, match="another bank"):
        books.read("other")


def test_memories_are_recoded_where_they_are(store: Store, add_document: AddDocument) -> None:
    ids = store.references.of_document(add_document("a.txt", ["one", "two", "three"]))
    bank = store.banks.open("print", {})
    bank.write([(key, memory(key)) for key in ids])
    before = store.banks.status()[0]
    smaller = {key: {"codes": np.full(4, key % 256, np.uint8)} for key in ids[:2]}

    def code(arrays: object) -> dict[str, np.ndarray] | None:
        of = next(key for key in ids if _same(arrays, memory(key)))  # type: ignore[arg-type]
        return smaller.get(of)

    assert bank.recode(ids, code) == 2
    read = bank.read(ids)
    assert [set(read[key]) == {"codes"} for key in ids] == [True, True, False]
    assert _same(read[ids[2]], memory(ids[2]))
    after = store.banks.status()[0]
    assert (after.memories, after.missing) == (3, 0)
    assert after.bytes < before.bytes
    named = {row.name for row in (store.home / "bank" / "print").iterdir()}
    assert len(named) == 2  # the old shard is rewritten without what moved
    assert not bank.verify()


def test_a_recoding_leaves_alone_what_was_written_anew_meanwhile(
    store: Store, add_document: AddDocument
) -> None:
    ids = store.references.of_document(add_document("a.txt", ["one"]))
    bank = store.banks.open("print", {})
    bank.write([(ids[0], memory(1))])

    def code(arrays: object) -> dict[str, np.ndarray]:
        bank.discard(ids)
        bank.write([(ids[0], memory(2))])
        return {"codes": np.zeros(4, np.uint8)}

    assert bank.recode(ids, code) == 0
    assert _same(bank.read(ids)[ids[0]], memory(2))
    assert not bank.verify()


def test_nothing_is_recoded_from_damage(store: Store, add_document: AddDocument) -> None:
    ids = store.references.of_document(add_document("a.txt", ["one"]))
    bank = store.banks.open("print", {})
    bank.write([(ids[0], memory(1))])
    next((store.home / "bank" / "print").iterdir()).write_bytes(b"gone")
    bank.release()
    with pytest.raises(MemoryCorrupt):
        bank.recode(ids, lambda arrays: {"codes": np.zeros(4, np.uint8)})


def _same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
