"""The engine as everyone else sees it: arrays and plain dataclasses in, a stream of tokens and reads out.

Nothing here knows a database, a path of the store or a page of the interface. `memories_for` is how the
outside hands memories in: the engine says which 64-token chunk it is about to process, and gets up to
five memories with a key for each, which comes back in the reads.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from engine.format import Fingerprint, MemoryFormat
from engine.memory import ExplicitMemory


@dataclass(frozen=True)
class EngineInfo:
    """What is loaded, on which device, and why there.

    context_tokens: most tokens that the prefix, the memories' positions, the prompt and the answer may
        take together. parallel: answers that it can generate at once. refusal: why this model cannot
        read or write memories, in words; it then answers without them. heads: id of the head weights behind
        `MemoryMass.weighted` (engine.heads); None where it is the plain mean. recall: (layer, query head) of
        the heads that find memories (`engine.recall`); none if that is not known.
    """

    backend: str
    model: str
    adapter: str | None
    quantisation: str
    device: str
    device_reason: str
    layers: int
    context_tokens: int
    parallel: int = 1
    refusal: str | None = None
    heads: str | None = None
    recall: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Tokens:
    """ids: token ids. offsets: (start, end) of each in the text, in code points, half-open."""

    ids: list[int]
    offsets: list[tuple[int, int]]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Chunk:
    """64 tokens (or fewer) of context that are about to be processed.

    index: 0-based over prompt and answer. part: "prompt" for chunks of the prompt, "answer" for the
    stretch that is about to be generated, whose `text` is then the last 64 tokens before it.
    """

    index: int
    part: Literal["prompt", "answer"]
    text: str


@dataclass(frozen=True)
class KeyedMemory:
    """A memory made available; `key` is the caller's name for it (a reference id)."""

    key: int
    memory: ExplicitMemory


MemoriesFor = Callable[[Chunk], Sequence[KeyedMemory]]


@dataclass(frozen=True)
class Token:
    """One generated token. `text` is what it adds to the answer (may be "" inside a character)."""

    id: int
    text: str


@dataclass(frozen=True)
class Queued:
    """The answer waits for its turn. ahead: requests that will be served before it."""

    ahead: int


@dataclass(frozen=True)
class Trimmed:
    """The conversation was too long for the model. messages: how many of its oldest were left out."""

    messages: int


@dataclass(frozen=True)
class MemoryMass:
    """Attention mass on one memory.

    attention: mean over memory layers, query heads and the tokens of the stretch, 0..1.
    tokens: (length,) float32, the same mass spread over the reference's tokens; its sum is `attention`.
    heads: (memory layers, query heads) float32, mean over the tokens of the stretch; its mean is `attention`.
    weighted: mean of `heads` by the weights of `engine.heads`, 0..1; `attention` itself where there are none.
    weighted_tokens: as `tokens`, of `weighted`.
    """

    key: int
    attention: float
    tokens: npt.NDArray[np.float32]
    heads: npt.NDArray[np.float32]
    weighted: float
    weighted_tokens: npt.NDArray[np.float32]


@dataclass(frozen=True)
class TokenMass:
    """Attention of one generated token: memories (in the order of `Read.memories`), question, answer, prefix.

    The four parts sum to 1: they are one softmax, averaged over memory layers and query heads. weighted: on
    the memories, by the weights of `engine.heads`.
    """

    memories: tuple[float, ...]
    question: float
    answer: float
    prefix: float
    weighted: tuple[float, ...]


@dataclass(frozen=True)
class Read:
    """A stretch of at most 64 generated tokens and what was attended to while it was generated.

    from_token, to_token: half-open range of generated tokens. question, answer, prefix: mean mass on the
    prompt, on the answer so far and on the shared prefix. per_token: one `TokenMass` per generated token.
    """

    from_token: int
    to_token: int
    memories: tuple[MemoryMass, ...]
    question: float
    answer: float
    prefix: float
    per_token: tuple[TokenMass, ...] = ()


@dataclass(frozen=True)
class Score:
    """Teacher-forced answer: log_probabilities (tokens,) float32 in nats, and the reads that went with it."""

    log_probabilities: npt.NDArray[np.float32]
    reads: tuple[Read, ...]


@dataclass(frozen=True)
class Needed:
    """What an answer loses without some of its memories; a group's need is the difference of the two, summed.

    log_probabilities: (tokens,) float32 in nats, with all memories. without: (groups, tokens), with each
    group left out. Tokens are those of `Engine.tokenize` of the answer.
    """

    log_probabilities: npt.NDArray[np.float32]
    without: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Attention:
    """Mass that a question puts on memories which it sees all at once, by layer and head.

    question: mean over the tokens of the last message. last: of the prompt's last token, from which the
    answer begins. Both (memories, memory layers, query heads) float32.
    """

    question: npt.NDArray[np.float32]
    last: npt.NDArray[np.float32]


@dataclass(frozen=True)
class GenerateOptions:
    """max_tokens: most tokens to generate; min_tokens: the answer does not end before. repetition_penalty:
        1.0 is off.

    temperature: 0 is greedy; above, tokens are drawn from the smallest set that holds `top_p` of the
        probability, by a generator seeded with `seed`. stop: set it to end the answer before its next token.
    client: who asks; requests of several clients take turns.
    """

    max_tokens: int = 256
    repetition_penalty: float = 1.0
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    client: str = ""
    min_tokens: int = 0


class Engine(Protocol):
    """A language model that writes and reads explicit memories."""

    @property
    def info(self) -> EngineInfo: ...

    @property
    def format(self) -> MemoryFormat: ...

    @property
    def fingerprint(self) -> Fingerprint: ...

    def tokenize(self, text: str) -> Tokens:
        """Token ids of plain text, without special tokens, with code-point offsets."""
        ...

    def write(self, references: Sequence[Sequence[int]]) -> list[ExplicitMemory]:
        """Encode references (token ids, at most `REFERENCE_TOKENS` each) into memories, each alone."""
        ...

    def generate(
        self, messages: Sequence[Message], memories_for: MemoriesFor | None, options: GenerateOptions
    ) -> Iterator[Token | Read | Queued | Trimmed]:
        """Answer. A `Read` for each stretch of at most 64 tokens, in order, some time after its last token:
        a backend may attend to the answer once more when it is complete. The last read ends the stream.

        `Queued` and `Trimmed` may come before the first token.

        memories_for None is the stock model: no prefix, nothing read, and a backend may leave reads out.

        Raises ContextOverflow if the prompt does not fit.
        """
        ...

    def score(self, messages: Sequence[Message], answer: str, memories_for: MemoriesFor | None) -> Score:
        """Log-probability of `answer` and what reading it attends to, without generating."""
        ...

    def needed(
        self,
        messages: Sequence[Message],
        answer: str,
        memories_for: MemoriesFor,
        groups: Sequence[Collection[int]],
    ) -> Needed:
        """What `answer` loses when a group of memories (their keys) is not there while it is written.

        The question has read everything in any case, as when memories are swapped while decoding: only the
        prompt's last token, which predicts the answer's first, and the answer are computed without the group.
        `memories_for` is asked once for each chunk.
        """
        ...

    def attend(self, messages: Sequence[Message], memories: Sequence[ExplicitMemory]) -> Attention:
        """What the last message attends to among `memories`, at least one, seen all at once."""
        ...

    def queries(self, messages: Sequence[Message]) -> npt.NDArray[np.float32]:
        """(memory layers, query heads, tokens, D): what the last message looks for, before rotation.

        Of its own tokens, and last of the prompt's last token; no memory is seen.
        """
        ...


class Embedder(Protocol):
    """Texts to vectors for retrieval."""

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """(texts, dimension), L2-normalised, so that the inner product is the cosine."""
        ...
