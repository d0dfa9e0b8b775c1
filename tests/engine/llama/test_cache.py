"""Residents, refusals, damaged memories, many answers at once, and nothing left behind."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ContextOverflow, EngineError, MemoryMismatch, ModelUnsupported
from engine.format import MemoryFormat
from engine.llama.batching import Batcher
from engine.llama.context import Context, Run
from engine.llama.engine import LlamaEngine, Sizes
from engine.llama.model import LlamaModel
from engine.memory import ExplicitMemory
from engine.protocol import Chunk, GenerateOptions, KeyedMemory, Message, Token, Trimmed
from tests.engine import tiny_gguf
from tests.engine.llama.conftest import MESSAGES, SIZES, Pair, memory_format

References = Callable[..., list[list[int]]]


def answer_of(engine: LlamaEngine, memories: list[KeyedMemory], tokens: int = 20) -> list[int]:
    events = engine.generate(MESSAGES, lambda chunk: memories, GenerateOptions(tokens, min_tokens=tokens))
    return [event.id for event in events if isinstance(event, Token)]


@pytest.fixture
def engine(llama_pair: Pair) -> LlamaEngine:
    return llama_pair.llama(memory_format())


@pytest.fixture
def memories(engine: LlamaEngine, references: References) -> list[KeyedMemory]:
    lengths = (128, 90, 40, 17, 60, 70, 80, 100, 110, 120, 33, 44)
    return [KeyedMemory(i, memory) for i, memory in enumerate(engine.write(references(*lengths)))]


def test_a_repeated_memory_moves_nothing(engine: LlamaEngine, memories: list[KeyedMemory]) -> None:
    first = answer_of(engine, memories[:5])
    moved = engine.bytes_moved
    assert moved > 0
    assert answer_of(engine, memories[:5]) == first
    assert engine.bytes_moved == moved
    answer_of(engine, memories[5:10], 2)  # one answer's memories stay, the others go
    assert len(engine._residents) == 5
    moved = engine.bytes_moved
    assert answer_of(engine, memories[:5]) == first
    assert engine.bytes_moved > moved
    list(engine.generate(MESSAGES, None, GenerateOptions(2)))
    assert len(engine._residents) == 0  # nobody would read them, everybody would look at them


def test_a_new_set_takes_the_place_of_the_old_one(
    engine: LlamaEngine, memories: list[KeyedMemory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the cells behind it: every token looks at all cells up to the last one that is taken."""
    held: list[int] = []
    put = Context.put_bytes

    def watched(self: Context, sequence: int, data: bytes) -> None:
        put(self, sequence, data)
        if self is engine._context:
            held.append(len(engine._residents) + 1)

    monkeypatch.setattr(Context, "put_bytes", watched)
    sets = iter((memories[:5], memories[5:10], [memories[6], memories[0]]))

    def memories_for(chunk: Chunk) -> list[KeyedMemory]:
        return next(sets) if chunk.part == "answer" else memories[:5]

    list(engine.generate(MESSAGES, memories_for, GenerateOptions(200, min_tokens=200)))
    assert len(held) == 5 + 5 + 1
    assert max(held) == 5


def test_a_key_given_again_is_another_memory(engine: LlamaEngine, memories: list[KeyedMemory]) -> None:
    answer_of(engine, [KeyedMemory(7, memories[0].memory)])
    again = answer_of(engine, [KeyedMemory(7, memories[1].memory)])
    engine.forget_residents()
    assert again == answer_of(engine, [KeyedMemory(7, memories[1].memory)])


def test_answers_at_once_are_those_of_one_after_the_other(
    engine: LlamaEngine, memories: list[KeyedMemory]
) -> None:
    alone = [answer_of(engine, memories[i : i + 3], 80) for i in range(4)]
    together: dict[int, list[int]] = {}

    def run(i: int) -> None:
        together[i] = answer_of(engine, memories[i : i + 3], 80)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[i] for i in range(4)] == alone


def test_answers_at_once_share_passes(
    engine: LlamaEngine, memories: list[KeyedMemory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both streams advance together, in fewer passes over the weights than tokens."""
    sizes: list[int] = []
    run = Context.run

    def counted(self: Context, runs: list[Run]) -> object:
        sizes.append(len(runs))
        return run(self, runs)

    monkeypatch.setattr(Context, "run", counted)
    monkeypatch.setattr("engine.llama.batching.GATHER_SECONDS", 5.0)  # however slow the machine is
    decoding, together = Batcher.decoding, threading.Barrier(2)

    @contextmanager
    def both(self: Batcher) -> Iterator[None]:
        with decoding(self):
            together.wait(60)  # else one may be done before the other begins
            yield

    monkeypatch.setattr(Batcher, "decoding", both)

    def answer() -> None:
        list(engine.generate(MESSAGES, lambda chunk: memories[:2], GenerateOptions(120, min_tokens=120)))

    threads = [threading.Thread(target=answer) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(sizes) == 2
    assert sum(size == 2 for size in sizes) > 20


def test_fifty_answers_leave_nothing(engine: LlamaEngine, memories: list[KeyedMemory]) -> None:
    for i in range(50):
        stop = threading.Event()
        stream = engine.generate(
            MESSAGES,
            lambda chunk, i=i: memories[i % 8 : i % 8 + 3],
            GenerateOptions(70, min_tokens=70, stop=stop),
        )
        with closing(stream):  # type: ignore[type-var]  # it is a generator
            for count, _ in enumerate(stream):
                if count == i % 12:
                    if i % 3 == 0:
                        stop.set()
                    elif i % 3 == 1:
                        break
    context = engine._context
    for sequence in range(1, 1 + SIZES.parallel):
        assert context.library.llama_memory_seq_pos_max(context._memory, sequence) == -1
    assert sorted(engine._places._free) == [1, 2, 3, 4]
    assert engine._places._tokens == SIZES.context_tokens
    # all cells but the prefix's and the residents' are free again: exactly so many more tokens fit
    held = sum(memories[key].memory.tokens for key, _ in engine._residents._held)
    free = context.cells - len(engine.fingerprint.prefix) - held
    for first in range(0, free - free % 64, 64):
        context.run([Run(1, first, [5] * 64)])
    context.run([Run(1, free - free % 64, [5] * (free % 64))])
    with pytest.raises(ContextOverflow):
        context.run([Run(1, free, [5])])
    context.remove(1)


def test_stop_ends_before_the_next_token(engine: LlamaEngine, memories: list[KeyedMemory]) -> None:
    stop = threading.Event()
    tokens = 0
    for event in engine.generate(
        MESSAGES, lambda chunk: memories[:2], GenerateOptions(100, stop=stop, min_tokens=100)
    ):
        tokens += isinstance(event, Token)
        stop.set()
    assert tokens == 1


def test_oldest_turns_are_dropped_and_said_so(llama_pair: Pair, memories: list[KeyedMemory]) -> None:
    engine = llama_pair.llama(memory_format(), Sizes(2, 4, 512, 1))
    turns = [Message("user", "the town " * 20), Message("assistant", "the state " * 20)] * 6
    messages = [Message("system", "Be brief."), *turns, Message("user", "And the band?")]
    events = list(engine.generate(messages, lambda chunk: memories[:2], GenerateOptions(8)))
    assert isinstance(events[0], Trimmed)
    assert 2 <= events[0].messages <= 12
    assert events[0].messages % 2 == 0
    with pytest.raises(ContextOverflow, match="shorten the question"):
        next(iter(engine.generate([Message("user", "word " * 2000)], None, GenerateOptions(8))))


def test_a_sliding_window_is_refused_and_text_still_works(tmp_path: Path) -> None:
    file = tiny_gguf.write(tmp_path / "window.gguf", "gemma3")
    engine = LlamaEngine(LlamaModel(file), MemoryFormat((0, 1, 2, 3)), "0", sizes=SIZES)
    assert engine.info.refusal is not None
    assert "window" in engine.info.refusal
    with pytest.raises(ModelUnsupported, match="window"):
        engine.write([[5, 6, 7]])
    with pytest.raises(ModelUnsupported, match="text mode"):
        next(iter(engine.generate(MESSAGES, lambda chunk: [], GenerateOptions(4))))
    events = list(engine.generate(MESSAGES, None, GenerateOptions(4, min_tokens=4)))
    assert sum(isinstance(event, Token) for event in events) == 4


def test_a_format_of_some_layers_is_refused(llama_pair: Pair) -> None:
    engine = llama_pair.llama(MemoryFormat((0, 1), 8))
    assert engine.info.refusal is not None
    assert "--backend torch" in engine.info.refusal


def test_mutated_states_never_reach_llama(engine: LlamaEngine, memories: list[KeyedMemory]) -> None:
    """500 mutations of a packed memory: refused, or taken as different numbers; the process lives."""
    placing, context = engine._placing, engine._context
    assert placing is not None
    data = context.layout.pack(placing.memory_state(memories[0].memory))
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        mutated = bytearray(data)
        kind = generator.integers(4)
        if kind == 0:
            mutated = mutated[: generator.integers(len(data))]
        elif kind == 1:
            mutated += generator.bytes(int(generator.integers(1, 64)))
        else:
            area = 400 if kind == 2 else len(data)
            for _ in range(int(generator.integers(1, 9))):
                mutated[generator.integers(area)] ^= 1 << generator.integers(8)
        try:
            context.put_bytes(6, bytes(mutated), check=True)
        except MemoryMismatch:
            refused += 1
    assert refused > 250
    context.remove(6)
    assert len(answer_of(engine, memories[:5])) == 20


def test_damaged_and_foreign_memories_are_refused(
    engine: LlamaEngine, memories: list[KeyedMemory], llama_pair: Pair
) -> None:
    good = memories[0].memory
    foreign = llama_pair.llama(memory_format(16)).write([[5] * 60])[0]
    nan = good.keys.copy()
    nan[0, 0, 0, 0] = np.nan
    bad: list[ExplicitMemory] = [
        foreign,
        replace(good, keys=nan),
        replace(good, keys=good.keys[:3], values=good.values[:3], indices=good.indices[:3]),
        replace(good, indices=good.indices[..., ::-1].copy()),
        replace(good, length=300),
        replace(good, length=0),
        replace(good, values=good.values[..., :5]),
    ]
    before = answer_of(engine, memories[:2])
    for memory in bad:
        with pytest.raises(MemoryMismatch):
            answer_of(engine, [KeyedMemory(99, memory)])
    assert answer_of(engine, memories[:2]) == before


def test_mutated_memories_are_refused_or_read(engine: LlamaEngine, memories: list[KeyedMemory]) -> None:
    """500 mutations of the arrays that a bank holds."""
    generator = np.random.default_rng(1)
    for _ in range(500):
        arrays = {name: array.copy() for name, array in memories[3].memory.to_arrays().items()}
        name = sorted(arrays)[generator.integers(len(arrays))]
        flat = arrays[name].reshape(-1).view(np.uint8)
        flat[generator.integers(flat.size)] ^= np.uint8(1 << generator.integers(8))
        try:
            memory = ExplicitMemory.from_arrays(arrays)
            with engine._answer(4, True) as answer:
                answer.read([KeyedMemory(50, memory)])
        except MemoryMismatch:
            continue
    assert len(answer_of(engine, memories[:2])) == 20


def test_not_a_model(tmp_path: Path) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(EngineError, match=r"broken\.gguf"):
        LlamaModel(file)
