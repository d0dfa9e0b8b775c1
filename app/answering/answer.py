"""What `attest ask --json` prints and the page shows: an answer, its citations, its reads.

Field names and units are those of the documented JSON (docs/interface.md): pages are 1-based, offsets
are half-open code points of the page's extracted text, attention is a share of one softmax (0..1), times
are milliseconds, rectangles are PDF points with the origin at the top left.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Mode = Literal["memory", "text", "none"]
Rect = tuple[float, float, float, float]


@dataclass(frozen=True)
class Citation:
    """A passage that the answer was read from. `rects` is None where the format has no pages.

    attention: mass on the passage's memory, averaged over all generated tokens. read: the same, averaged over
    the heads that tell what an answer depends on. needed: nats of log-probability that the answer loses when
    it is written without the memory; None until measured.
    """

    n: int
    document_id: str
    document_name: str
    page: int
    page_label: str
    start: int
    end: int
    text: str
    rects: list[Rect] | None
    attention: float
    needed: float | None = None
    read: float = 0.0


@dataclass(frozen=True)
class TokenAttention:
    """Attention on one stretch of characters of the page; `read` is the head-weighted one."""

    start: int
    end: int
    attention: float
    read: float = 0.0


@dataclass(frozen=True)
class MemoryRead:
    """One memory that was available while a stretch was generated."""

    reference_id: int
    document_id: str
    page: int
    start: int
    end: int
    text: str
    retrieval_score: float
    attention: float
    tokens: list[TokenAttention]
    read: float = 0.0


@dataclass(frozen=True)
class Other:
    """Mass that did not fall on memories."""

    question: float
    answer: float
    prefix: float


@dataclass(frozen=True)
class StretchRead:
    """What tokens [from_token, to_token) of the answer attended to. Memories and other sum to 1.

    start, end: where they stand in the answer's text; both 0 in what was kept before it was recorded.
    """

    from_token: int
    to_token: int
    memories: list[MemoryRead]
    other: Other
    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class Timings:
    """Milliseconds: finding the references, loading or writing their memories, question to first token."""

    retrieve: float
    load: float
    first_token: float
    decode_tokens_per_second: float
    tokens: int


@dataclass(frozen=True)
class EngineDescription:
    """heads: id of the weights behind `read`; None where it is the plain mean, as `attention` is."""

    backend: str
    model: str
    adapter: str | None
    quantisation: str
    fingerprint: str
    mode: Mode
    format: dict[str, Any]
    heads: str | None = None


@dataclass(frozen=True)
class SentenceMark:
    """Sentence [start, end) of the answer and the numbers of the citations it leaned on most.

    needed: by number of the citation, nats that the sentence loses without it; None until measured. read: by
    number, as `Citation.read` over the tokens of the sentence; None of an answer kept before it was recorded.
    """

    start: int
    end: int
    citations: list[int]
    needed: dict[int, float] | None = None
    read: dict[int, float] | None = None


ClaimKind = Literal["quotation", "date", "amount", "percentage", "measure", "number", "name"]


@dataclass(frozen=True)
class Claim:
    """[start, end) of the answer: something that can be looked up, and the citations in which it stands.

    None of them: it is not in what was cited.
    """

    start: int
    end: int
    kind: ClaimKind
    citations: list[int]


@dataclass(frozen=True)
class Answer:
    """claims: of an answer that cites; none where nothing is cited.

    documents: those that alone were asked; None for the whole collection. unwritten: ids of the candidates
    that had no memory yet, so that the search alone placed them; asked again without them, the order is the
    same.
    """

    answer: str
    abstained: bool
    citations: list[Citation]
    reads: list[StretchRead]
    timings: Timings
    engine: EngineDescription
    sentences: list[SentenceMark]
    claims: list[Claim] = field(default_factory=list)
    documents: list[str] | None = None
    unwritten: list[int] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class TokenEvent:
    """Text that the answer grew by."""

    text: str


@dataclass(frozen=True)
class ReadEvent:
    """What the stretch that just ended attended to."""

    read: StretchRead


@dataclass(frozen=True)
class DoneEvent:
    """The whole answer; the last event of a stream."""

    answer: Answer


@dataclass(frozen=True)
class QueuedEvent:
    """The question waits for its turn; it may come before the first token. ahead: questions before it."""

    ahead: int

    @property
    def sentence(self) -> str:
        """For people."""
        if not self.ahead:
            return "Yours is the next question."
        return f"{self.ahead} question{'s' if self.ahead > 1 else ''} ahead of yours."


@dataclass(frozen=True)
class TrimmedEvent:
    """The conversation was too long; it comes before the first token. messages: the oldest, left out."""

    messages: int

    @property
    def sentence(self) -> str:
        """For people."""
        left_out = "oldest message was" if self.messages == 1 else f"{self.messages} oldest messages were"
        return f"The conversation is longer than the model can take in; its {left_out} left out."


AnswerEvent = QueuedEvent | TrimmedEvent | TokenEvent | ReadEvent | DoneEvent
