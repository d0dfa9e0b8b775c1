"""A tiny engine and embedder with the real interfaces, for tests of everything around the model.

Words are tokens; a memory keeps the words themselves; the answer repeats the memory that shares most words
with the question, and attention is that share. Deterministic, milliseconds, and no claim to intelligence.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from engine.format import CHUNK_TOKENS, Fingerprint, MemoryFormat
from engine.memory import ExplicitMemory
from engine.protocol import (
    Chunk,
    EngineInfo,
    GenerateOptions,
    KeyedMemory,
    MemoriesFor,
    MemoryMass,
    Message,
    Read,
    Score,
    Token,
    TokenMass,
    Tokens,
)

_WORDS = re.compile(r"\w+|[^\w\s]")
_DOCUMENTS_SHARE = 0.5  # attention that falls on memories in all; the rest is question, answer and prefix


class FakeEngine:
    """`Engine` whose token ids index the words it has seen."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._words: list[str] = []

    @property
    def info(self) -> EngineInfo:
        return EngineInfo("fake", "fake", None, "none", "cpu", "made for tests", 1, 4096)

    @property
    def format(self) -> MemoryFormat:
        return MemoryFormat(layers=(0,), codec="fp32")

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint("fake", "", "fake", "none", (0,), "{}", self.format)

    def tokenize(self, text: str) -> Tokens:
        found = list(_WORDS.finditer(text))
        return Tokens([self._id(m.group()) for m in found], [(m.start(), m.end()) for m in found])

    def write(self, references: Sequence[Sequence[int]]) -> list[ExplicitMemory]:
        return [self._memory(reference) for reference in references]

    def generate(
        self, messages: Sequence[Message], memories_for: MemoriesFor | None, options: GenerateOptions
    ) -> Iterator[Token | Read]:
        question = messages[-1].content
        memories = list(memories_for(Chunk(0, "prompt", question))) if memories_for else []
        best = max(memories, key=lambda keyed: self._overlap(question, keyed), default=None)
        ids = self._of(best) if best else self.tokenize("I do not know.").ids
        ids = ids[: options.max_tokens]
        for first in range(0, len(ids), CHUNK_TOKENS):
            if first and memories_for:
                text = " ".join(self._words[i] for i in ids[first - CHUNK_TOKENS : first])
                memories = list(memories_for(Chunk(first // CHUNK_TOKENS, "answer", text)))
            stretch = ids[first : first + CHUNK_TOKENS]
            for done, token in enumerate(stretch):
                if options.stop.is_set():
                    yield self._read(question, memories, first, first + done)
                    return
                yield Token(token, (" " if first + done else "") + self._words[token])
            yield self._read(question, memories, first, first + len(stretch))

    def score(self, messages: Sequence[Message], answer: str, memories_for: MemoriesFor | None) -> Score:
        question = messages[-1].content
        memories = list(memories_for(Chunk(0, "prompt", question))) if memories_for else []
        known = {token for keyed in memories for token in self._of(keyed)}
        ids = self.tokenize(answer).ids
        values = np.array([-0.1 if token in known else -5.0 for token in ids], dtype=np.float32)
        return Score(values, (self._read(question, memories, 0, len(ids)),))

    def _id(self, word: str) -> int:
        if word not in self._ids:
            self._ids[word] = len(self._words)
            self._words.append(word)
        return self._ids[word]

    def _memory(self, reference: Sequence[int]) -> ExplicitMemory:
        count = len(reference)
        # the word travels in the key as bytes, so that another process's fake engine can read it
        keys = np.zeros((1, 1, count, 32), dtype=np.float32)
        for row, token in enumerate(reference):
            data = self._words[token].encode()[:32]
            keys[0, 0, row, : len(data)] = np.frombuffer(data, dtype=np.uint8)
        indices = np.arange(count, dtype=np.uint8)[None, None]
        return ExplicitMemory(keys, np.zeros_like(keys), indices, count)

    def _of(self, keyed: KeyedMemory) -> list[int]:
        rows = keyed.memory.keys[0, 0].astype(np.uint8)
        return [self._id(bytes(row).rstrip(b"\0").decode(errors="replace")) for row in rows]

    def _overlap(self, question: str, keyed: KeyedMemory) -> float:
        asked = {word.lower() for word in _WORDS.findall(question) if len(word) > 3}
        return sum(self._words[token].lower() in asked for token in set(self._of(keyed))) + 1e-3

    def _read(self, question: str, memories: Sequence[KeyedMemory], first: int, last: int) -> Read:
        overlaps = [self._overlap(question, keyed) for keyed in memories]
        share = _DOCUMENTS_SHARE if memories else 0.0
        masses = []
        for keyed, overlap in zip(memories, overlaps, strict=True):
            mass = share * overlap / sum(overlaps)
            tokens = np.full(keyed.memory.length, mass / keyed.memory.length, dtype=np.float32)
            masses.append(MemoryMass(keyed.key, mass, tokens))
        rest = 1 - share
        each = TokenMass(tuple(m.attention for m in masses), rest / 2, rest / 4, rest / 4)
        return Read(first, last, tuple(masses), rest / 2, rest / 4, rest / 4, (each,) * (last - first))


class FakeEmbedder:
    """`Embedder` that hashes words into `dimension` buckets."""

    name = "fake"
    dimension = 64

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        vectors = np.full((len(texts), self.dimension), 1e-3, dtype=np.float32)
        for row, text in enumerate(texts):
            for word in _WORDS.findall(text.lower()):
                vectors[row, hashlib.sha256(word.encode()).digest()[0] % self.dimension] += 1
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors
