"""Codes of memories: how near they come, and what is refused."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from engine import codebook as codebook_of
from engine.codebook import Codebook, groups_of, is_coded, train
from engine.errors import MemoryMismatch
from engine.format import MemoryFormat
from engine.memory import ExplicitMemory

LAYERS, HEADS, DIM = 1, 2, 16


def memories(count: int, seed: int = 0, tokens: int = 32) -> list[ExplicitMemory]:
    """Vectors as those of models are: off centre, most of their length in a few directions."""
    generator = np.random.default_rng(seed)
    shape = np.random.default_rng(7)
    turns = [np.linalg.qr(shape.normal(size=(LAYERS, HEADS, DIM, DIM)))[0] for _ in "kv"]
    strength = 0.6 ** np.arange(DIM)

    def vectors(turn: np.ndarray, centre: float) -> np.ndarray:
        drawn = generator.normal(size=(LAYERS, HEADS, tokens, DIM)) * strength
        return (drawn @ turn + centre).astype(np.float32)

    indices = np.broadcast_to(np.arange(tokens, dtype=np.uint8), (LAYERS, HEADS, tokens))
    return [
        ExplicitMemory(vectors(turns[0], 2.0), vectors(turns[1], 0.0), indices, 100) for _ in range(count)
    ]


@pytest.fixture(scope="module")
def book() -> Iterator[Codebook]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codebook_of, "ROUNDS", 6)
        yield train(memories(256))


def spread(vectors: np.ndarray) -> np.ndarray:
    return ((vectors - vectors.mean(axis=2, keepdims=True)) ** 2).sum(axis=(2, 3))


def test_codes_come_near_what_they_stand_for(book: Codebook) -> None:
    """On memories that it was not trained from, every layer and head by itself."""
    for memory in memories(8, seed=1):
        coded = book.code(memory)
        assert is_coded(coded)
        assert not is_coded(memory.to_arrays())
        read = book.decode(coded)
        assert read.length == memory.length
        np.testing.assert_array_equal(read.indices, memory.indices)
        for near, exact in ((read.keys, memory.keys), (read.values, memory.values)):
            assert near.dtype == np.float16
            error = ((near.astype(np.float32) - exact) ** 2).sum(axis=(2, 3))
            assert (error < 0.08 * spread(exact)).all()


def test_each_byte_is_the_nearest_centroid(book: Codebook) -> None:
    memory = memories(1, seed=2)[0]
    coded = book.code(memory)
    for half, name in ((book.keys, "key"), (book.values, "value")):
        vectors = getattr(memory, f"{name}s")
        codes = coded[f"{name}_codes"]
        for layer, head, token in np.ndindex(LAYERS, HEADS, 4):
            turned = (vectors[layer, head, token] - half.means[layer, head]) @ half.turns[layer, head]
            for group, part in enumerate(turned.reshape(-1, codebook_of.GROUP)):
                apart = ((half.centroids[layer, head, group].astype(np.float32) - part) ** 2).sum(axis=1)
                assert apart[codes[layer, head, token, group]] <= apart.min() * (1 + 1e-4) + 1e-6


def test_a_memory_takes_twelve_bytes_for_a_vector_of_64_numbers(book: Codebook) -> None:
    assert [groups_of(dim) for dim in (8, 64, 80, 128)] == [1, 12, 15, 24]
    coded = book.code(memories(1)[0])
    assert coded["key_codes"].shape == (LAYERS, HEADS, 32, groups_of(DIM))
    assert coded["key_codes"].dtype == np.uint8


def test_short_memories_are_coded_too(book: Codebook) -> None:
    read = book.decode(book.code(memories(1, tokens=3)[0]))
    assert read.keys.shape == (LAYERS, HEADS, 3, DIM)


def test_training_is_repeatable_and_the_arrays_are_all_there_is(book: Codebook) -> None:
    again = Codebook.from_arrays(book.to_arrays())
    np.testing.assert_array_equal(again.id, book.id)
    memory = memories(1, seed=3)[0]
    for name, array in book.code(memory).items():
        np.testing.assert_array_equal(again.code(memory)[name], array)


def test_what_another_codebook_coded_is_refused(book: Codebook) -> None:
    other = Codebook(replace(book.keys, means=book.keys.means + 1), book.values)
    with pytest.raises(MemoryMismatch, match="does not belong"):
        other.decode(book.code(memories(1)[0]))


def test_what_is_no_codebook_and_no_memory_of_it_is_refused(book: Codebook) -> None:
    arrays = book.to_arrays()
    with pytest.raises(MemoryMismatch, match="lacks"):
        Codebook.from_arrays({name: array for name, array in arrays.items() if name != "keys.turns"})
    for name, array in arrays.items():
        with pytest.raises(MemoryMismatch, match="disagree"):
            Codebook.from_arrays({**arrays, name: array[:0]})
        with pytest.raises(MemoryMismatch, match="disagree"):
            Codebook.from_arrays({**arrays, name: array.astype(np.float64)})
    coded = book.code(memories(1)[0])
    with pytest.raises(MemoryMismatch, match="lacks"):
        book.decode({name: array for name, array in coded.items() if name != "value_codes"})
    with pytest.raises(MemoryMismatch, match="does not belong"):
        book.decode({**coded, "value_codes": coded["value_codes"][..., :2]})
    with pytest.raises(MemoryMismatch, match="does not belong"):
        book.code(replace(memories(1)[0], keys=np.zeros((2, HEADS, 4, DIM), np.float32)))


def test_too_few_memories_train_nothing() -> None:
    with pytest.raises(ValueError, match="3 memories have 96 vectors per head"):
        train(memories(3))


def test_the_format_knows_it() -> None:
    assert MemoryFormat((0,), codec="pq").stored()["codec"] == "pq"
    with pytest.raises(ValueError, match="known are fp32, fp16, int8, int4, int4-channel, pq"):
        MemoryFormat((0,), codec="zip")  # type: ignore[arg-type]
