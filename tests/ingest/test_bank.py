"""Memories of a bank whose format says "pq": numbers first, codes later, the same for every reader."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from app.answering.memories import MemorySource
from app.errors import AttestError
from app.library.compressing import compress
from engine import codebook as codebook_of
from engine.codec import encode
from engine.fake import FakeEmbedder, FakeEngine
from engine.format import Fingerprint, MemoryFormat
from engine.memory import ExplicitMemory
from ingest import bank as bank_of
from ingest.bank import MemoryBank
from ingest.pipeline import Pipeline
from storage.errors import CodebookDamaged
from storage.store import Store

SHAPE = (1, 2, 8, 16)
FORMAT = MemoryFormat((0,), 8, codec="pq")


class CodingEngine(FakeEngine):
    """Writes memories of eight vectors that follow from the reference, in int8."""

    @property
    def format(self) -> MemoryFormat:
        return FORMAT

    @property
    def fingerprint(self) -> Fingerprint:
        return replace(super().fingerprint, format=FORMAT)

    def write(self, references: object) -> list[ExplicitMemory]:
        return [written(sum(reference)) for reference in references]  # type: ignore[attr-defined]


def written(seed: int) -> ExplicitMemory:
    generator = np.random.default_rng(seed)
    drawn = generator.normal(size=(2, *SHAPE)).astype(np.float32) * 0.7 ** np.arange(16, dtype=np.float32)
    (keys, key_scales), (values, value_scales) = (encode(torch.from_numpy(each), "int8") for each in drawn)
    indices = np.broadcast_to(np.arange(8, dtype=np.uint8), SHAPE[:3])
    return ExplicitMemory(keys, values, indices, 60, key_scales, value_scales)


@pytest.fixture(autouse=True)
def small_codebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained from 40 memories, in steps of 16."""
    monkeypatch.setattr(codebook_of, "ROUNDS", 2)
    for name, value in (("MINIMUM", 320), ("ENOUGH", 400)):
        monkeypatch.setattr(codebook_of, name, value)
    monkeypatch.setattr(bank_of, "STEP", 16)


@pytest.fixture
def store(home: Path, tmp_path: Path) -> Iterator[Store]:
    """Sixty references; the first fifty have a memory."""
    text = "\n\n".join(f"# Clause {n}\n\nThe contractor delivers item {n} in week {n}." for n in range(60))
    (tmp_path / "a.md").write_text(text)
    with Store.open(home) as opened:
        opened.collections.add("law", "legal")
        document = opened.documents.add(tmp_path / "a.md", "law", memories=False)[0].id
        line = Pipeline(opened, CodingEngine(), FakeEmbedder(), "w")
        while job := opened.jobs.claim("w"):
            line.run(job)
        ids = opened.references.of_document(document)
        rows = opened.references.get(ids)
        assert len(rows) >= 60
        engine = CodingEngine()
        memories = engine.write([row.token_ids.tolist() for row in rows[:50]])
        bank = MemoryBank(opened, engine.fingerprint)
        bank.write([(row.id, memory) for row, memory in zip(rows, memories, strict=False)])
        yield opened


def same(one: ExplicitMemory, other: ExplicitMemory) -> bool:
    ours, theirs = one.to_arrays(), other.to_arrays()
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[k], theirs[k]) for k in ours)


def test_until_there_is_a_codebook_memories_stay_in_int8(store: Store) -> None:
    bank = MemoryBank(store, CodingEngine().fingerprint)
    ids = bank.stored.references()
    assert bank.codebook() is None
    rows = {row.id: row for row in store.references.get(ids)}
    for key, memory in bank.read(ids).items():
        assert same(memory, written(sum(rows[key].token_ids.tolist())))


def test_every_reader_sees_the_same_numbers_at_every_stage(store: Store) -> None:
    engine = CodingEngine()
    before = MemoryBank(store, engine.fingerprint)
    ids = before.stored.references()
    exact = before.read(ids)
    interrupted = MemoryBank(store, engine.fingerprint)

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted.compress(stop)
    book = before.codebook()
    assert book is not None
    expected = {key: book.decode(book.code(memory)) for key, memory in exact.items()}
    assert not any(same(expected[key], exact[key]) for key in ids)
    half = before.read(ids)  # sixteen lie coded, the rest in int8
    assert all(same(half[key], expected[key]) for key in ids)

    other = MemoryBank(store, engine.fingerprint)
    assert other.compress() == len(ids) - 16
    assert other.compress() == 0
    assert all(same(memory, expected[key]) for key, memory in before.read(ids).items())
    assert not store.banks.verify(engine.fingerprint.id)
    (status,) = store.banks.status()
    assert (status.memories, status.missing) == (len(ids), 0)
    small = sum(array.nbytes for array in book.code(exact[ids[0]]).values())
    assert status.bytes == small * len(ids)


def test_a_cold_memory_is_the_one_that_the_worker_would_have_written(store: Store) -> None:
    engine = CodingEngine()
    bank = MemoryBank(store, engine.fingerprint)
    source = MemorySource(bank, engine)
    document = store.documents.list()[0].id
    rows = store.references.get(store.references.of_document(document))
    early = source.get(rows[50:52])
    MemoryBank(store, engine.fingerprint).compress()
    book = bank.codebook()
    assert book is not None
    for keyed, row in zip(source.get(rows[50:54]), rows[50:54], strict=True):  # two in int8 so far, two new
        assert same(keyed.memory, book.decode(book.code(written(sum(row.token_ids.tolist())))))
    assert not same(early[0].memory, source.get(rows[50:51])[0].memory)


def test_compressing_says_what_it_did(store: Store) -> None:
    lines: list[str] = []
    (row,) = compress(store, lines.append)
    assert (row["memories"], row["coded"]) == (50, 50)
    assert row["bytes"] < row["bytes_before"]
    assert row["codebook_bytes"] == store.codebooks.path(row["fingerprint_id"]).stat().st_size
    assert lines[-1].endswith("50 of 50 memories")


def test_too_few_memories_stay_as_they_are(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codebook_of, "MINIMUM", 401)
    with pytest.raises(AttestError, match=r"stays in int8: 50 memories are too few.* about 51 will do"):
        list(compress(store, lambda line: None))
    assert store.codebooks.read(CodingEngine().fingerprint.id) is None


def test_a_damaged_codebook_is_not_read_past(store: Store) -> None:
    engine = CodingEngine()
    bank = MemoryBank(store, engine.fingerprint)
    bank.compress()
    path = store.codebooks.path(engine.fingerprint.id)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(CodebookDamaged, match="rebuild"):
        MemoryBank(store, engine.fingerprint).read(bank.stored.references())
    found = MemoryBank(store, engine.fingerprint)
    assert found.unreadable() == bank.stored.references()
    assert found.discard_damaged() == 50
    assert found.codebook() is None
    assert found.discard_damaged() == 0


def test_memories_whose_codebook_is_gone_are_found(store: Store) -> None:
    engine = CodingEngine()
    bank = MemoryBank(store, engine.fingerprint)
    coded = bank.stored.references()
    assert bank.unreadable() == []
    bank.compress()
    assert bank.unreadable() == []
    store.codebooks.path(engine.fingerprint.id).unlink()
    bank.stored.discard(coded[:10])
    later = MemoryBank(store, engine.fingerprint)
    later.write([(key, written(key)) for key in coded[:10]])  # in int8, as long as there is no codebook
    assert later.unreadable() == coded[10:]
    assert later.discard_damaged() == len(coded) - 10
    assert (later.stored.references(), later.unreadable()) == (coded[:10], [])


def test_a_fingerprint_comes_back_from_its_row() -> None:
    fingerprint = CodingEngine().fingerprint
    assert Fingerprint.from_json(fingerprint.to_json()).id == fingerprint.id
