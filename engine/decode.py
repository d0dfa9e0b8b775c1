"""The decode loop: prefill with each chunk's own memories, then 64 tokens at a time with fresh ones.

Every 64 generated tokens the memories are dropped, the last 64 tokens ask for new ones, and the context's
key-value cache stays as it is (Memory^3, section 3.1). The first generated stretch inherits the memories of
the last prompt chunk. `score` is the same walk over a known answer in one forward pass, slower to start
and obvious to read; the tests hold the two together.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from engine.cache import ContextCache
from engine.format import CHUNK_TOKENS, REFERENCE_TOKENS, MemoryFormat
from engine.protocol import (
    Chunk,
    GenerateOptions,
    KeyedMemory,
    MemoriesFor,
    MemoryMass,
    Needed,
    Read,
    Score,
    Token,
    TokenMass,
)
from engine.reader import Attended, MemoryBlock, ReadPass, Recorder, load
from engine.sampling import Sampler, log_probabilities
from engine.transformer import Transformer


class Session:
    """One prompt and its answer over a context cache.

    memories_for None is the stock model: no prefix, positions from 0, nothing read. heads: weights of
    `engine.heads`, (memory layers, query heads).
    """

    def __init__(
        self,
        transformer: Transformer,
        fmt: MemoryFormat,
        prompt: Sequence[int],
        answer_tokens: int,
        memories_for: MemoriesFor | None,
        heads: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self.transformer, self.format, self.memories_for = transformer, fmt, memories_for
        self.heads = heads
        self.prompt = list(prompt)
        self.prefix = len(transformer.prefix) if memories_for is not None else 0
        self.start = transformer.context_start(fmt) if memories_for is not None else 0
        self.cache = ContextCache(transformer.layers, self.prefix + len(prompt) + answer_tokens)
        if self.prefix:
            self.cache.fill(*transformer.prefix_kv)

    def ask(self, chunk: Chunk) -> list[KeyedMemory]:
        """The caller's memories for a chunk, each key once."""
        if self.memories_for is None:
            return []
        return list({keyed.key: keyed for keyed in self.memories_for(chunk)}.values())

    def forward(
        self,
        ids: Sequence[int],
        block: MemoryBlock | None,
        slots: torch.Tensor | None,
        recorder: Recorder | None = None,
    ) -> torch.Tensor:
        """Run `ids` through the model after what the cache holds: hidden states (T, hidden)."""
        device = self.transformer.device
        first = self.start + self.cache.length - self.prefix
        positions = torch.arange(first, first + len(ids), device=device)
        attest = ReadPass(self.transformer, self.format, positions, block, slots, recorder)
        hidden = self.transformer.hidden(
            torch.tensor([list(ids)], device=device), positions, attest, self.cache
        )
        return hidden[0]

    def plan(self, sets: Sequence[Sequence[KeyedMemory]], chunk_of: Sequence[int]) -> "Plan":
        """Load the union of the chunks' memories once, and say which token sees which."""
        slot_of: dict[tuple[int, int], int] = {}
        memories: list[KeyedMemory] = []
        order: list[int] = []
        for chosen in sets:
            for place, keyed in enumerate(chosen):
                name = (keyed.key, place if self.format.positions == "serial" else 0)
                if name not in slot_of:
                    slot_of[name] = len(memories)
                    memories.append(keyed)
                    order.append(place)
        block = load(self.transformer, self.format, [keyed.memory for keyed in memories], order)
        table = torch.zeros(len(sets), len(memories), dtype=torch.bool)
        for row, chosen in enumerate(sets):
            for place, keyed in enumerate(chosen):
                table[row, slot_of[keyed.key, place if self.format.positions == "serial" else 0]] = True
        return Plan(memories, block, table[list(chunk_of)].to(self.transformer.device), table)


class Plan:
    """What `Session.plan` found: `memories` by slot, their block, and who sees what.

    seen: (T, slots) bool, by token. slots: the same, or None where everybody sees all. of_chunk: (chunks,
    slots).
    """

    def __init__(
        self,
        memories: list[KeyedMemory],
        block: MemoryBlock | None,
        seen: torch.Tensor,
        of_chunk: torch.Tensor,
    ) -> None:
        self.memories, self.block, self.seen = memories, block, seen
        self.slots = None if bool(of_chunk.all()) else seen
        self.slots_of_chunk: list[list[int]] = [torch.nonzero(row).flatten().tolist() for row in of_chunk]


class Stretch:
    """Collects the rows of attention of at most 64 generated tokens into a `Read`."""

    def __init__(self, from_token: int, memories: Sequence[KeyedMemory], prefix: int, prompt: int) -> None:
        self.from_token = from_token
        self.memories = list(memories)
        self.prefix, self.prompt = prefix, prompt
        self.on_tokens = np.zeros((len(self.memories), REFERENCE_TOKENS), dtype=np.float64)
        self.weighted = np.zeros_like(self.on_tokens)
        self.heads: npt.NDArray[np.float64] | None = None  # (memories, layers, query heads)
        self.per_token: list[TokenMass] = []

    def add(self, attended: Attended, row: int, slots: Sequence[int]) -> None:
        """The next token's row. slots: of this stretch's memories, in their order."""
        own, context = list(slots), attended.context[row]
        tokens, weighted = attended.tokens[row, own], attended.weighted[row, own]
        self.on_tokens += tokens
        self.weighted += weighted
        heads = attended.heads[row, own].astype(np.float64)
        self.heads = heads if self.heads is None else self.heads + heads
        asked = self.prefix + self.prompt
        self.per_token.append(
            TokenMass(
                memories=tuple(tokens.sum(axis=1).tolist()),
                question=float(context[self.prefix : asked].sum()),
                answer=float(context[asked:].sum()),
                prefix=float(context[: self.prefix].sum()),
                weighted=tuple(weighted.sum(axis=1).tolist()),
            )
        )

    def read(self) -> Read:
        count = len(self.per_token)
        masses = []
        for i, keyed in enumerate(self.memories):
            assert self.heads is not None
            length = keyed.memory.length
            masses.append(
                MemoryMass(
                    keyed.key,
                    float(self.on_tokens[i].sum() / count),
                    (self.on_tokens[i] / count)[:length].astype(np.float32),
                    (self.heads[i] / count).astype(np.float32),
                    float(self.weighted[i].sum() / count),
                    (self.weighted[i] / count)[:length].astype(np.float32),
                )
            )
        return Read(
            self.from_token,
            self.from_token + count,
            tuple(masses),
            question=sum(mass.question for mass in self.per_token) / count,
            answer=sum(mass.answer for mass in self.per_token) / count,
            prefix=sum(mass.prefix for mass in self.per_token) / count,
            per_token=tuple(self.per_token),
        )


Decode = Callable[[Sequence[int]], str]


def prompt_sets(session: Session, decode: Decode) -> tuple[list[list[KeyedMemory]], list[int]]:
    """Memories of each 64-token chunk of the prompt, and the chunk of each prompt token."""
    count = len(session.prompt)
    sets = []
    for index in range(-(-count // CHUNK_TOKENS)):
        ids = session.prompt[index * CHUNK_TOKENS : (index + 1) * CHUNK_TOKENS]
        sets.append(session.ask(Chunk(index, "prompt", decode(ids))))
    return sets, [i // CHUNK_TOKENS for i in range(count)]


def generate(
    session: Session,
    options: GenerateOptions,
    end_tokens: frozenset[int],
    text_of: Callable[[int], str],
    decode: Decode,
) -> Iterator[Token | Read]:
    """`text_of` turns the next token id into the text it adds; end tokens end the answer."""
    sampler = Sampler(options, end_tokens)
    sets, chunk_of = prompt_sets(session, decode)
    plan = session.plan(sets, chunk_of)
    recorder = Recorder(slice(len(session.prompt) - 1, None), session.heads)
    hidden = session.forward(session.prompt, plan.block, plan.slots, recorder)
    own = plan.slots_of_chunk[-1]
    attended, slots = recorder.result(), own
    block = plan.block if plan.block is None or len(own) == plan.block.slots else plan.block.select(own)
    if not own:
        block = None
    stretch = Stretch(0, [plan.memories[i] for i in own], session.prefix, len(session.prompt))
    generated: list[int] = []
    while True:
        token = sampler.pick(session.transformer.logits(hidden[-1]).cpu().numpy(), generated)
        if token in end_tokens or options.stop.is_set():
            break
        generated.append(token)
        stretch.add(attended, 0, slots)
        yield Token(token, text_of(token))
        if len(generated) >= options.max_tokens:
            break
        if len(generated) % CHUNK_TOKENS == 0:
            yield stretch.read()
            index = len(sets) + len(generated) // CHUNK_TOKENS - 1
            chosen = session.ask(Chunk(index, "answer", decode(generated[-CHUNK_TOKENS:])))
            block = session.plan([chosen], [0]).block
            stretch = Stretch(len(generated), chosen, session.prefix, len(session.prompt))
        recorder = Recorder(slice(0, 1), session.heads)
        hidden = session.forward([token], block, None, recorder)
        attended, slots = recorder.result(), list(range(len(stretch.memories)))
    if stretch.per_token:
        yield stretch.read()


def score(session: Session, answer: Sequence[int], decode: Decode) -> Score:
    """Teacher-forced log-probabilities of `answer` and its reads."""
    logits, reads = teacher_forced(session, answer, decode)
    return Score(log_probabilities(logits, answer), reads)


def teacher_forced(
    session: Session, answer: Sequence[int], decode: Decode
) -> tuple[npt.NDArray[np.float32], tuple[Read, ...]]:
    """Logits (tokens, vocabulary) of a known answer and its reads, in one forward pass."""
    prompt, ids = len(session.prompt), [*session.prompt, *answer[:-1]]
    plan, first = known_plan(session, answer, decode)
    recorder = Recorder(slice(prompt - 1, None), session.heads)
    hidden = session.forward(ids, plan.block, plan.slots, recorder)
    logits: npt.NDArray[np.float32] = session.transformer.logits(hidden[prompt - 1 :]).cpu().numpy()
    attended = recorder.result()
    reads = []
    for i in range(-(-len(answer) // CHUNK_TOKENS)):
        own = plan.slots_of_chunk[first + i]
        stretch = Stretch(i * CHUNK_TOKENS, [plan.memories[j] for j in own], session.prefix, prompt)
        for t in range(i * CHUNK_TOKENS, min((i + 1) * CHUNK_TOKENS, len(answer))):
            stretch.add(attended, t, own)
        reads.append(stretch.read())
    return logits, tuple(reads)


def known_plan(session: Session, answer: Sequence[int], decode: Decode) -> tuple[Plan, int]:
    """Who reads what in a known answer, and the chunk whose memories its first stretch reads."""
    sets, chunk_of = prompt_sets(session, decode)
    first = len(sets) - 1  # the first stretch reads what the last prompt chunk read
    for i in range(1, -(-len(answer) // CHUNK_TOKENS)):
        text = decode(answer[(i - 1) * CHUNK_TOKENS : i * CHUNK_TOKENS])
        sets.append(session.ask(Chunk(first + i, "answer", text)))
    # token t of the answer is predicted at row prompt - 1 + t, which belongs to the stretch of t
    chunk_of += [first + (t + 1) // CHUNK_TOKENS for t in range(len(answer) - 1)]
    return session.plan(sets, chunk_of), first


def needed(
    session: Session, answer: Sequence[int], decode: Decode, groups: Sequence[Collection[int]], kept: int
) -> Needed:
    """Log-probabilities of a known answer, with each group of memories (their keys) left out, in turn.

    kept: tokens of the prompt that are computed once, with all memories.
    """
    prompt, ids = len(session.prompt), [*session.prompt, *answer[:-1]]
    plan, _ = known_plan(session, answer, decode)
    if kept:
        session.forward(ids[:kept], plan.block, plan.seen[:kept])
    begun, found = session.cache.length, []
    for group in ((), *groups):
        left = torch.tensor([keyed.key not in group for keyed in plan.memories], dtype=torch.bool)
        session.cache.shorten(begun)
        hidden = session.forward(ids[kept:], plan.block, plan.seen[kept:] & left.to(plan.seen.device))
        logits = session.transformer.logits(hidden[prompt - 1 - kept :]).cpu().numpy()
        found.append(log_probabilities(logits, answer))
    return Needed(found[0], np.stack(found[1:]) if groups else np.empty((0, len(answer)), np.float32))
