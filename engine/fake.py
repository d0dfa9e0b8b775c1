"""A tiny engine and embedder with the real interfaces, for tests of everything around the model.

Words are cut into pieces of at most four letters, and a piece's letters *are* its token id: any process
can read what another wrote. A memory keeps the ids; the answer repeats the memory that shares most words with
the question, and attention is that share. Deterministic, milliseconds, and no claim to intelligence.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from engine.format import CHUNK_TOKENS, Fingerprint, MemoryFormat
from engine.memory import ExplicitMemory
from engine.protocol import (
    Attention,
    Chunk,
    EngineInfo,
    GenerateOptions,
    KeyedMemory,
    MemoriesFor,
    MemoryMass,
    Message,
    Needed,
    Read,
    Score,
    Token,
    TokenMass,
    Tokens,
)

_WORDS = re.compile(r"\w+|[^\w\s]")
_PIECES = re.compile(r"[\x01-\x7f]{1,4}|[^\x01-\x7f]")
# a token id: 28 bits of four ASCII letters or of one other character, and two flags
_OTHER, _BEGINS = 1 << 28, 1 << 29
_DOCUMENTS_SHARE = 0.5  # attention that falls on memories in all; the rest is question, answer and prefix


class FakeEngine:
    """`Engine` without a model and without a state."""

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
        tokens = Tokens([], [])
        for word in _WORDS.finditer(text):
            for piece in _PIECES.finditer(word.group()):
                tokens.ids.append(_id(piece.group()) | (0 if piece.start() else _BEGINS))
                tokens.offsets.append((word.start() + piece.start(), word.start() + piece.end()))
        return tokens

    def write(self, references: Sequence[Sequence[int]]) -> list[ExplicitMemory]:
        return [_memory(reference) for reference in references]

    def generate(
        self, messages: Sequence[Message], memories_for: MemoriesFor | None, options: GenerateOptions
    ) -> Iterator[Token | Read]:
        question = messages[-1].content
        memories = list(memories_for(Chunk(0, "prompt", question))) if memories_for else []
        best = max(memories, key=lambda keyed: _overlap(question, keyed), default=None)
        ids = _ids_of(best) if best else self.tokenize("I do not know.").ids
        ids = ids[: options.max_tokens]
        for first in range(0, len(ids), CHUNK_TOKENS):
            if first and memories_for:
                text = text_of(ids[first - CHUNK_TOKENS : first])
                memories = list(memories_for(Chunk(first // CHUNK_TOKENS, "answer", text)))
            stretch = ids[first : first + CHUNK_TOKENS]
            for done, token in enumerate(stretch):
                if options.stop.is_set():
                    yield _read(question, memories, first, first + done)
                    return
                text = text_of([token])
                yield Token(token, text if first + done else text.lstrip())
            yield _read(question, memories, first, first + len(stretch))

    def score(self, messages: Sequence[Message], answer: str, memories_for: MemoriesFor | None) -> Score:
        question = messages[-1].content
        memories = list(memories_for(Chunk(0, "prompt", question))) if memories_for else []
        known = {token for keyed in memories for token in _ids_of(keyed)}
        ids = self.tokenize(answer).ids
        values = np.array([-0.1 if token in known else -5.0 for token in ids], dtype=np.float32)
        return Score(values, (_read(question, memories, 0, len(ids)),))

    def needed(
        self,
        messages: Sequence[Message],
        answer: str,
        memories_for: MemoriesFor,
        groups: Sequence[Collection[int]],
    ) -> Needed:
        keyed = list(memories_for(Chunk(0, "prompt", messages[-1].content)))

        def without(group: Collection[int]) -> npt.NDArray[np.float32]:
            left = [each for each in keyed if each.key not in group]
            return self.score(messages, answer, lambda chunk: left).log_probabilities

        shape = (len(groups), len(self.tokenize(answer).ids))
        each = np.array([without(group) for group in groups], dtype=np.float32)
        return Needed(without(()), each.reshape(shape))

    def attend(self, messages: Sequence[Message], memories: Sequence[ExplicitMemory]) -> Attention:
        overlaps = [_overlap(messages[-1].content, KeyedMemory(0, memory)) for memory in memories]
        mass = _DOCUMENTS_SHARE * np.array(overlaps, dtype=np.float32) / np.float32(sum(overlaps))
        return Attention(mass[:, None, None], mass[:, None, None])

    def queries(self, messages: Sequence[Message]) -> npt.NDArray[np.float32]:
        """As `write` keys them, so that a token of the question finds itself."""
        return _memory(self.tokenize(messages[-1].content).ids).keys


def _id(piece: str) -> int:
    if not piece.isascii():
        return ord(piece) | _OTHER
    return sum(ord(letter) << 7 * place for place, letter in enumerate(piece))


def text_of(ids: Sequence[int]) -> str:
    """Words with a space before each; an id that no text has becomes the replacement character."""
    pieces = []
    for token in ids:
        value = token & (_OTHER - 1)
        if token & _OTHER:
            piece = chr(value) if value < 0x110000 else "\ufffd"
        else:
            piece = "".join(chr(value >> 7 * place & 127) for place in range(4)).rstrip("\0")
        pieces.append((" " if token & _BEGINS else "") + piece)
    return "".join(pieces)


def _memory(reference: Sequence[int]) -> ExplicitMemory:
    count = len(reference)
    keys = np.zeros((1, 1, count, 32), dtype=np.float32)
    # numbers below 256 are exact in any codec
    keys[0, 0, :, :4] = np.array(reference, dtype="<u4").view(np.uint8).reshape(count, 4)
    indices = np.arange(count, dtype=np.uint8)[None, None]
    return ExplicitMemory(keys, np.zeros_like(keys), indices, count)


def _ids_of(keyed: KeyedMemory) -> list[int]:
    rows = np.ascontiguousarray(keyed.memory.keys[0, 0, :, :4].astype(np.uint8))
    return [int(token) for token in rows.view("<u4")[:, 0]]


def _overlap(question: str, keyed: KeyedMemory) -> float:
    asked = {word.lower() for word in _WORDS.findall(question) if len(word) > 3}
    return sum(word.lower() in asked for word in set(text_of(_ids_of(keyed)).split())) + 1e-3


def _read(question: str, memories: Sequence[KeyedMemory], first: int, last: int) -> Read:
    overlaps = [_overlap(question, keyed) for keyed in memories]
    share = _DOCUMENTS_SHARE if memories else 0.0
    masses = []
    for keyed, overlap in zip(memories, overlaps, strict=True):
        mass = share * overlap / sum(overlaps)
        tokens = np.full(keyed.memory.length, mass / keyed.memory.length, dtype=np.float32)
        masses.append(MemoryMass(keyed.key, mass, tokens, np.full((1, 1), mass, np.float32), mass, tokens))
    rest, shares = 1 - share, tuple(mass.attention for mass in masses)
    each = TokenMass(shares, rest / 2, rest / 4, rest / 4, shares)
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
