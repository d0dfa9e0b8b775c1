import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from safetensors import safe_open

from storage.database import Database
from storage.errors import FingerprintConflict, MemoryCorrupt, StorageError, UnsupportedArray
from storage.shard import Shard, ShardDamaged, checksum, write_shard
from storage.shards import Draft
from storage.store import Store
from tests.storage.conftest import AddDocument, memory

PRINT = {"weights": "abc", "format": {"layers": [0, 1]}}
DTYPES = ["<f2", "<f4", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "|b1", ">f4"]


def shards(home: Path) -> list[Path]:
    return sorted((home / "bank").rglob("*.safetensors"))


@given(
    st.dictionaries(
        st.text("abcdef", min_size=1, max_size=4),
        st.sampled_from(DTYPES).flatmap(
            lambda code: arrays_of.arrays(code, arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0))
        ),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=60, deadline=None)
def test_a_shard_gives_back_what_it_was_given(tmp_path_factory: pytest.TempPathFactory, arrays: dict) -> None:  # type: ignore[type-arg]
    path = tmp_path_factory.mktemp("shard") / "s.safetensors"
    with path.open("wb") as file:
        written = write_shard(file, [("1", arrays), ("22", arrays)], {"fingerprint": "f"})
    shard = Shard(path)
    assert [entry.key for entry in written] == ["1", "22"]
    for entry in written:
        read = shard.arrays(entry.key)
        assert read.keys() == arrays.keys()
        assert checksum(read) == entry.checksum
        assert sum(array.nbytes for array in read.values()) == entry.bytes
        for name, array in read.items():
            assert array.shape == arrays[name].shape
            assert array.tobytes() == arrays[name].astype(array.dtype).tobytes()
            assert array.flags.aligned
            assert not array.flags.writeable


def test_the_safetensors_library_reads_our_shards(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    with path.open("wb") as file:
        write_shard(file, [("7", memory(1)), ("8", memory(2))], {"fingerprint": "f"})
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"fingerprint": "f"}
        for key, seed in (("7", 1), ("8", 2)):
            for name, array in memory(seed).items():
                np.testing.assert_array_equal(file.get_tensor(f"{key}/{name}"), array)


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_a_cut_off_shard_is_recognised(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "s.safetensors"
    with path.open("wb") as file:
        write_shard(file, [("7", memory(1))], {})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ShardDamaged):
        Shard(path)


@pytest.mark.parametrize("header", [b"[]", b"{", b'{"1/a": 3}', b'{"1/a": {"dtype": "F99"}}'])
def test_a_nonsense_header_is_recognised(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "s.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ShardDamaged):
        Shard(path)


def test_what_a_shard_cannot_hold_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "s").open("wb") as file:
        with pytest.raises(UnsupportedArray, match="complex"):
            write_shard(file, [("1", {"a": np.zeros(2, np.complex128)})], {})
        with pytest.raises(UnsupportedArray):
            write_shard(file, [("1", {"a/b": np.zeros(2)})], {})
        with pytest.raises(UnsupportedArray):
            write_shard(file, [("1", {})], {})


def test_memories_come_back(store: Store, add_document: AddDocument, home: Path) -> None:
    document_id = add_document("a.txt", ["one", "two", "three"])
    ids = store.references.of_document(document_id)
    bank = store.banks.open("print", PRINT)
    assert store.references.count_without_memory(document_id, "print") == 3
    assert bank.write([(ids[0], memory(1)), (ids[1], memory(2))]) == 2
    read = bank.read([ids[1], ids[2], ids[0]])
    assert list(read) == [ids[1], ids[0]]
    for key, seed in ((ids[0], 1), (ids[1], 2)):
        for name, array in memory(seed).items():
            np.testing.assert_array_equal(read[key][name], array)
    assert [row.text for row in store.references.without_memory(document_id, "print")] == ["three"]
    assert store.documents.get(document_id, "print").memory_count == 2
    assert store.documents.get(document_id, "other").memory_count == 0
    assert store.collections.get("law").memories == 2
    (status,) = store.banks.status()
    assert (status.memories, status.shards, status.missing, status.fingerprint) == (2, 1, 0, PRINT)
    assert status.bytes == 2 * sum(array.nbytes for array in memory(1).values())
    assert store.banks.verify("print") == []


def test_the_first_memory_of_a_reference_stays(store: Store, add_document: AddDocument, home: Path) -> None:
    ids = store.references.of_document(add_document("a.txt", ["one", "two"]))
    bank = store.banks.open("print", PRINT)
    bank.write([(ids[0], memory(1))])
    assert bank.write([(ids[0], memory(2)), (ids[1], memory(3)), (999, memory(4))]) == 1
    assert int(bank.read(ids)[ids[0]]["length"][0]) == 1
    assert [Shard(path).keys for path in shards(home)] in ([{"1"}, {"2"}], [{"2"}, {"1"}])
    assert bank.write([(999, memory(4))]) == 0
    assert bank.has([*ids, 999]) == set(ids)


def test_banks_of_other_engines_are_apart(store: Store, add_document: AddDocument) -> None:
    (key,) = store.references.of_document(add_document("a.txt", ["one"]))
    store.banks.open("print", PRINT).write([(key, memory(1))])
    other = store.banks.open("second", {"weights": "def"})
    assert other.read([key]) == {}
    with pytest.raises(FingerprintConflict, match="print"):
        store.banks.open("print", {"weights": "other"})
    with pytest.raises(StorageError, match="cannot name a bank"):
        store.banks.open("../outside", PRINT)


def test_damage_is_found_named_and_repaired(store: Store, add_document: AddDocument, home: Path) -> None:
    ids = store.references.of_document(add_document("a.txt", ["one", "two"]))
    bank = store.banks.open("print", PRINT)
    bank.write([(ids[0], memory(1)), (ids[1], memory(2))])
    (path,) = shards(home)
    with path.open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(b"\xff" * 8)
    bank.release()
    with pytest.raises(MemoryCorrupt, match=f"reference {ids[1]}") as caught:
        bank.read(ids)
    assert caught.value.reference_ids == (ids[1],)
    assert list(bank.read([ids[0]])) == [ids[0]]
    assert [problem.reference_id for problem in store.banks.verify("print")] == [ids[1]]
    assert bank.discard([ids[1]]) == 1
    assert bank.read(ids).keys() == {ids[0]}
    assert bank.write([(ids[1], memory(2))]) == 1
    assert bank.read(ids).keys() == set(ids)


def test_a_lost_shard_is_named(store: Store, add_document: AddDocument, home: Path) -> None:
    (key,) = store.references.of_document(add_document("a.txt", ["one"]))
    bank = store.banks.open("print", PRINT)
    bank.write([(key, memory(1))])
    shards(home)[0].unlink()
    with pytest.raises(MemoryCorrupt, match="is gone"):
        bank.read([key])
    assert store.banks.status()[0].missing == 1
    assert [problem.message for problem in store.banks.verify("print")] == ["the shard is gone"]


def test_arrays_outlive_the_bank(store: Store, add_document: AddDocument) -> None:
    document_id = add_document("a.txt", ["one"])
    (key,) = store.references.of_document(document_id)
    bank = store.banks.open("print", PRINT)
    bank.write([(key, memory(1))])
    read = bank.read([key])[key]
    store.documents.delete(document_id)
    np.testing.assert_array_equal(read["keys"], memory(1)["keys"])
    assert bank.read([key]) == {}


def test_what_is_interrupted_after_its_commit_is_kept(
    store: Store, add_document: AddDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = store.references.of_document(add_document("a.txt", ["one"]))
    bank = store.banks.open("print", PRINT)
    write = Database.write

    @contextmanager
    def interrupted(self: Database) -> Iterator[sa.Connection]:
        monkeypatch.setattr(Database, "write", write)
        with self.write() as connection:
            yield connection
        raise KeyboardInterrupt

    monkeypatch.setattr(Database, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bank.write([(key, memory(1))])
    np.testing.assert_array_equal(bank.read([key])[key]["keys"], memory(1)["keys"])


def test_a_failed_commit_leaves_no_shard(
    store: Store, add_document: AddDocument, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = store.references.of_document(add_document("a.txt", ["one"]))
    bank = store.banks.open("print", PRINT)
    monkeypatch.setattr("storage.bank.register", lambda *_: (_ for _ in ()).throw(RuntimeError("no")))
    with pytest.raises(RuntimeError):
        bank.write([(key, memory(1))])
    assert shards(home) == []


def write_and_die(home: Path, key: int) -> None:
    with Store.open(home) as store:
        bank = store.banks.open("print", PRINT)
        settle = Draft.settle

        def killed(self: Draft) -> None:
            settle(self)
            os.kill(os.getpid(), signal.SIGKILL)

        Draft.settle = killed  # type: ignore[method-assign]
        bank.write([(key, memory(1))])


def test_a_kill_between_file_and_row_leaves_only_a_file_to_sweep(
    store: Store, add_document: AddDocument, home: Path
) -> None:
    (key,) = store.references.of_document(add_document("a.txt", ["one"]))
    process = get_context("spawn").Process(target=write_and_die, args=(home, key))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert len(shards(home)) == 1
    bank = store.banks.open("print", PRINT)
    assert bank.read([key]) == {}
    assert store.sweep() == 1
    assert shards(home) == []
    assert bank.write([(key, memory(1))]) == 1


def write_all(home: Path, ids: list[int], seed: int) -> None:
    with Store.open(home) as store:
        bank = store.banks.open("print", PRINT)
        for key in ids:
            bank.write([(key, memory(seed))])


def test_two_processes_write_one_bank(store: Store, add_document: AddDocument, home: Path) -> None:
    ids = store.references.of_document(add_document("a.txt", [f"passage {n}" for n in range(25)]))
    spawn = get_context("spawn")
    processes = [spawn.Process(target=write_all, args=(home, ids, seed)) for seed in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    read = store.banks.open("print", PRINT).read(ids)
    assert list(read) == ids
    assert {int(arrays["length"][0]) for arrays in read.values()} <= {1, 2}
    assert len(shards(home)) == len(ids)  # nothing written twice stays
    assert store.banks.verify("print") == []
