import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from storage import files
from storage.errors import BankNotFound
from storage.removal import Remover
from storage.shard import Shard
from storage.shards import Draft, Entries, Shards
from storage.store import Store
from tests.storage.conftest import AddDocument, memory

PRINT = {"weights": "abc"}


def shards(home: Path, bank: str = "print") -> list[Path]:
    return sorted((home / "bank" / bank).glob("*.safetensors"))


def write_singly(store: Store, ids: list[int]) -> None:
    """As cold memories are written: one shard each."""
    bank = store.banks.open("print", PRINT)
    for key in ids:
        bank.write([(key, memory(key))])


def check(store: Store, ids: list[int]) -> None:
    read = store.banks.open("print", PRINT).read(ids)
    assert list(read) == ids
    for key in ids:
        for name, array in memory(key).items():
            np.testing.assert_array_equal(read[key][name], array)
    assert store.audit().problems == ()


def test_shards_of_one_come_together(store: Store, add_document: AddDocument, home: Path) -> None:
    ids = store.references.of_document(add_document("a.txt", [f"passage {n}" for n in range(70)]))
    write_singly(store, list(reversed(ids)))
    assert len(shards(home)) == 70
    done = store.compact()
    (bank,) = done.banks
    assert (bank.shards_before, bank.shards_after, bank.dropped) == (70, 2, False)
    assert bank.bytes_after == sum(path.stat().st_size for path in shards(home)) < bank.bytes_before
    assert sorted(len(Shard(path).keys) for path in shards(home)) == [6, 64]
    check(store, ids)
    again = store.compact()
    assert (again.bytes_before, again.bytes_after) == (done.bytes_after, done.bytes_after)


def test_a_delete_frees_its_share(store: Store, add_document: AddDocument, home: Path) -> None:
    """Three of four equal documents go: a quarter of the bank, and of the database's rows, stays."""
    text = [f"agreement {n} " * 60 for n in range(32)]
    documents = [add_document(f"{d}.txt", [f"{d} {passage}" for passage in text]) for d in range(4)]
    ids = [key for document in documents for key in store.references.of_document(document)]
    bank = store.banks.open("print", PRINT)
    for first in range(0, len(ids), 64):  # every shard is shared by two documents
        mixed = ids[first // 64 :: 2]
        bank.write([(key, memory(key)) for key in mixed])
    before = store.compact()
    for document in documents[:3]:
        store.documents.delete(document)
    after = store.compact()
    assert after.banks[0].bytes_after == pytest.approx(before.banks[0].bytes_after / 4, rel=0.1)
    assert after.database_bytes_after < before.database_bytes_after * 0.5
    check(store, ids[96:])


def test_a_bank_is_dropped_on_request(store: Store, add_document: AddDocument, home: Path) -> None:
    ids = store.references.of_document(add_document("a.txt", ["one", "two"]))
    write_singly(store, ids)
    store.banks.open("old", {"weights": "old"}).write([(ids[0], memory(9))])
    with pytest.raises(BankNotFound, match="there is no bank nothing"):
        store.compact(["old", "nothing"])
    assert {bank.fingerprint_id for bank in store.banks.status()} == {"print", "old"}
    done = store.compact(["old"])
    assert {bank.fingerprint_id: bank.dropped for bank in done.banks} == {"print": False, "old": True}
    assert not (home / "bank" / "old").exists()
    assert [bank.fingerprint_id for bank in store.banks.status()] == ["print"]
    check(store, ids)


def test_a_drop_that_was_interrupted_is_finished_at_the_next_open(
    store: Store, add_document: AddDocument, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = store.references.of_document(add_document("a.txt", ["one"]))
    write_singly(store, [key])
    with monkeypatch.context() as patched:
        patched.setattr(Remover, "finish", lambda self, seconds=None: None)
        store._remover.drop_bank("print")
    assert len(shards(home)) == 1
    with Store.open(home) as again:
        assert not (home / "bank" / "print").exists()
        assert again.banks.status() == []
        assert again.audit().problems == ()


def test_a_damaged_shard_is_left_for_rebuilding(store: Store, add_document: AddDocument, home: Path) -> None:
    ids = store.references.of_document(add_document("a.txt", ["one", "two", "three"]))
    write_singly(store, ids)
    shards(home)[0].write_bytes(b"nonsense")
    store.compact()
    assert len(shards(home)) == 2
    assert [problem.message for problem in store.audit().problems] == ["the shard is not whole"]


def test_what_is_deleted_while_shards_are_joined_does_not_stay(
    store: Store, add_document: AddDocument, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, doomed = add_document("a.txt", ["one", "two"]), add_document("b.txt", ["three"])
    ids = store.references.of_document(kept)
    write_singly(store, [*ids, *store.references.of_document(doomed)])
    draft = Shards.draft

    @contextmanager
    def slow(self: Shards, entries: Entries) -> Iterator[Draft]:
        with draft(self, entries) as written:
            monkeypatch.undo()
            store.documents.delete(doomed)
            yield written

    monkeypatch.setattr(Shards, "draft", slow)
    store.compact()
    assert {key for path in shards(home) for key in Shard(path).keys} == {str(key) for key in ids}
    check(store, ids)


def test_damage_of_every_kind_is_named(store: Store, add_document: AddDocument, home: Path) -> None:
    document = add_document("a.txt", [f"passage {n}" for n in range(6)])
    ids = store.references.of_document(document)
    write_singly(store, ids)
    assert store.audit().problems == ()
    place = {int(next(iter(Shard(path).keys))): path for path in shards(home)}
    place[ids[0]].unlink()
    place[ids[1]].write_bytes(place[ids[1]].read_bytes()[:50])
    damaged = bytearray(place[ids[2]].read_bytes())
    damaged[-200] ^= 0xFF
    place[ids[2]].write_bytes(bytes(damaged))
    stray = place[ids[3]].with_name("stray.safetensors")
    stray.write_bytes(place[ids[3]].read_bytes())
    foreign = place[ids[4]].read_bytes().replace(b'"fingerprint":"print"', b'"fingerprint":"other"')
    place[ids[4]].write_bytes(foreign)
    (home / "bank" / "nobody").mkdir()
    store.documents.original(document).unlink()
    audit = store.audit(lambda fingerprint: "elsewhere")
    found = {(problem.message, problem.shard, problem.reference_id) for problem in audit.problems}
    assert found == {
        ("the original is gone", None, None),
        ("what the bank says it was written by is not what its id stands for", None, None),
        ("the shard is gone", place[ids[0]].name, None),
        ("the shard is not whole", place[ids[1]].name, None),
        ("its checksum is wrong", place[ids[2]].name, ids[2]),
        ("the shard was written for another bank", place[ids[4]].name, None),
        ("a shard that no row names", "stray.safetensors", None),
        ("memories of a bank that is not registered", None, None),
    }
    (bank,) = audit.banks
    assert (bank.memories, bank.whole, bank.shards) == (6, 3, 6)
    assert bank.bytes == sum(path.stat().st_size for path in shards(home))


def test_counts_that_do_not_reconcile_are_named(store: Store, add_document: AddDocument) -> None:
    document = add_document("a.txt", ["one", "two", "three"])
    write_singly(store, store.references.of_document(document))
    first = store.references.of_document(document)[0]
    with store._database.write() as connection:
        connection.execute(sa.text("UPDATE documents SET reference_count = 5"))
        connection.execute(
            sa.text("UPDATE memories SET document_id = 'x' WHERE reference_id = :id"), {"id": first}
        )
        connection.execute(sa.text("DELETE FROM reference_fts WHERE rowid = :id"), {"id": first})
        connection.execute(
            sa.text("INSERT INTO reference_fts (rowid, title, heading, body) VALUES (99, 'a', 'b', 'c')")
        )
    assert [problem.message for problem in store.audit().problems] == [
        "the document says 5 references, 3 are stored",
        "the memory's row names another document than its reference does",
        "1 references are missing in the full-text index",
        "1 entries of the full-text index have no reference",
    ]


def test_only_the_dead_leave_partial_files(store: Store, home: Path) -> None:
    """A file that somebody writes stays, whatever its age; one whose writer died goes at once."""
    with files.partial(home / "originals") as (path, file):
        file.write(b"half of a document")
        os.utime(path, (0, 0))
        dead = path.with_name("dead.partial")
        dead.write_bytes(b"half of another")
        assert store.sweep() == 1
        assert path.exists()
        assert not dead.exists()
    assert not path.exists()
