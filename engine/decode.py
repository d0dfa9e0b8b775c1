"""The decode loop: prefill with each chunk's own memories, then 64 tokens at a time with fresh ones.

Every 64 generated tokens the memories are dropped, the last 64 tokens ask for new ones, and the context's
key-value cache stays as it is (Memory^3, section 3.1). The first generated stretch inherits the memories of
the last prompt chunk. `score` is the same walk over a known answer in one forward pass, slower to start
and obvious to read; the tests hold the two together.
"""

from collections.abc import Callable, Iterator, Sequence

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
    Read,
    Score,
    Token,
    TokenMass,
)
from engine.reader import MemoryBlock, ReadPass, Recorder, load
from engine.sampling import Sampler, log_probabilities
from engine.transformer import Transformer


class Session:
    """One prompt and its answer over a context cache.

    memories_for None is the stock model: no prefix, positions from 0, nothing read.
    """

    def __init__(
        self,
        transformer: Transformer,
        fmt: MemoryFormat,
        prompt: Sequence[int],
        answer_tokens: int,
        memories_for: MemoriesFor | None,
    ) -> None:
        self.transformer, self.format, self.memories_for = transformer, fmt, memories_for
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
        self, ids: Sequence[int], block: MemoryBlock | None, slots: torch.Tensor | None, rows: slice
    ) -> tuple[torch.Tensor, Recorder]:
        """Run `ids` through the model after what the cache holds: hidden states (T, hidden), the record."""
        device = self.transformer.device
        first = self.start + self.cache.length - self.prefix
        positions = torch.arange(first, first + len(ids), device=device)
        recorder = Recorder(rows)
        attest = ReadPass(self.transformer, self.format, positions, block, slots, recorder)
        hidden = self.transformer.hidden(
            torch.tensor([list(ids)], device=device), positions, attest, self.cache
        )
        return hidden[0], recorder

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
        slots = None if bool(table.all()) else table[list(chunk_of)].to(self.transformer.device)
        return Plan(memories, block, slots, [torch.nonzero(row).flatten().tolist() for row in table])


class Plan:
    """What `Session.plan` found: `memories` by slot, their block, who sees what, and each chunk's slots."""

    def __init__(
        self,
        memories: list[KeyedMemory],
        block: MemoryBlock | None,
        slots: torch.Tensor | None,
        slots_of_chunk: list[list[int]],
    ) -> None:
        self.memories, self.block, self.slots, self.slots_of_chunk = memories, block, slots, slots_of_chunk


class Stretch:
    """Collects the rows of attention of at most 64 generated tokens into a `Read`."""

    def __init__(self, from_token: int, memories: Sequence[KeyedMemory], prefix: int, prompt: int) -> None:
        self.from_token = from_token
        self.memories = list(memories)
        self.prefix, self.prompt = prefix, prompt
        self.on_tokens = np.zeros((len(self.memories), REFERENCE_TOKENS), dtype=np.float64)
        self.per_token: list[TokenMass] = []

    def add(self, memory: torch.Tensor, context: torch.Tensor) -> None:
        """memory (slots, REFERENCE_TOKENS) of this stretch's memories in order; context (S,)."""
        self.on_tokens += memory.numpy()
        asked = self.prefix + self.prompt
        self.per_token.append(
            TokenMass(
                memories=tuple(memory.sum(dim=1).tolist()),
                question=float(context[self.prefix : asked].sum()),
                answer=float(context[asked:].sum()),
                prefix=float(context[: self.prefix].sum()),
            )
        )

    def read(self) -> Read:
        count = len(self.per_token)
        masses = []
        for i, keyed in enumerate(self.memories):
            tokens = (self.on_tokens[i] / count)[: keyed.memory.length].astype(np.float32)
            masses.append(MemoryMass(keyed.key, float(self.on_tokens[i].sum() / count), tokens))
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
    last = slice(len(session.prompt) - 1, None)
    hidden, recorder = session.forward(session.prompt, plan.block, plan.slots, last)
    own = plan.slots_of_chunk[-1]
    memory, context = recorder.result()
    memory = memory[:, own]
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
        stretch.add(memory[0], context[0])
        yield Token(token, text_of(token))
        if len(generated) >= options.max_tokens:
            break
        if len(generated) % CHUNK_TOKENS == 0:
            yield stretch.read()
            index = len(sets) + len(generated) // CHUNK_TOKENS - 1
            chosen = session.ask(Chunk(index, "answer", decode(generated[-CHUNK_TOKENS:])))
            block = session.plan([chosen], [0]).block
            stretch = Stretch(len(generated), chosen, session.prefix, len(session.prompt))
        hidden, recorder = session.forward([token], block, None, slice(0, 1))
        memory, context = recorder.result()
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
    sets, chunk_of = prompt_sets(session, decode)
    prompt, stretches = len(session.prompt), -(-len(answer) // CHUNK_TOKENS)
    first = len(sets) - 1  # the first stretch reads what the last prompt chunk read
    for i in range(1, stretches):
        text = decode(answer[(i - 1) * CHUNK_TOKENS : i * CHUNK_TOKENS])
        sets.append(session.ask(Chunk(first + i, "answer", text)))
    # token t of the answer is predicted at row prompt - 1 + t, which belongs to the stretch of t
    chunk_of += [first + (t + 1) // CHUNK_TOKENS for t in range(len(answer) - 1)]
    plan = session.plan(sets, chunk_of)
    ids = [*session.prompt, *answer[:-1]]
    hidden, recorder = session.forward(ids, plan.block, plan.slots, slice(prompt - 1, None))
    logits: npt.NDArray[np.float32] = session.transformer.logits(hidden[prompt - 1 :]).cpu().numpy()
    memory, context = recorder.result()
    reads = []
    for i in range(stretches):
        own = plan.slots_of_chunk[first + i]
        stretch = Stretch(i * CHUNK_TOKENS, [plan.memories[j] for j in own], session.prefix, prompt)
        for t in range(i * CHUNK_TOKENS, min((i + 1) * CHUNK_TOKENS, len(answer))):
            stretch.add(memory[t, own], context[t])
        reads.append(stretch.read())
    return logits, tuple(reads)
