"""Reads of an answer, summed up for the eye: which passages, how much attention, out of what whole.

Arithmetic only. Attention is a share of one softmax, so passages, question, answer so far and prefix sum
to 1; the whole answer is the mean over its stretches, weighted by their tokens. Knows nothing of HTML.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.answering.answer import Citation, MemoryRead, StretchRead, TokenAttention

STRENGTHS = (0.75, 0.5, 0.25, 0.1)  # share of the passage's strongest word, strength 4 down to 1


@dataclass(frozen=True)
class Spot:
    """Characters [start, end) of one page of one document."""

    document_id: str
    page: int
    start: int
    end: int

    def meets(self, other: "Spot") -> bool:
        """Whether the two share at least one character."""
        same_page = (self.document_id, self.page) == (other.document_id, other.page)
        return same_page and self.start < other.end and other.start < self.end


@dataclass(frozen=True)
class Passage:
    """One reference that was available, with its attention (0..1) and that of its words.

    read: attention of the heads that tell what an answer depends on; attention itself where none are known.
    number: of the citation that quotes it, or None where the answer does not cite it.
    """

    spot: Spot
    text: str
    attention: float
    retrieval_score: float
    number: int | None
    tokens: tuple[TokenAttention, ...]
    read: float = 0.0


@dataclass(frozen=True)
class Reading:
    """Attention over generated tokens [from_token, to_token). passages: most read first."""

    from_token: int
    to_token: int
    passages: tuple[Passage, ...]
    question: float
    answer: float
    prefix: float


@dataclass
class _Sum:
    text: str
    retrieval_score: float
    attention: float = 0.0
    read: float = 0.0
    tokens: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)


def spot_of(item: MemoryRead | Citation) -> Spot:
    """Where a memory or a citation lies."""
    return Spot(item.document_id, item.page, item.start, item.end)


def read_over(
    reads: Sequence[StretchRead], citations: Sequence[Citation], stretch: int | None = None
) -> Reading | None:
    """The reading of one stretch (0-based), or of the whole answer; None where nothing was read."""
    chosen = list(reads) if stretch is None else list(reads[stretch : stretch + 1])
    weight = sum(max(read.to_token - read.from_token, 0) for read in chosen)
    if not weight:
        return None
    sums: dict[Spot, _Sum] = {}
    question = answer = prefix = 0.0
    for read in chosen:
        share = max(read.to_token - read.from_token, 0) / weight
        question += share * read.other.question
        answer += share * read.other.answer
        prefix += share * read.other.prefix
        for memory in read.memories:
            entry = sums.setdefault(spot_of(memory), _Sum(memory.text, memory.retrieval_score))
            entry.retrieval_score = max(entry.retrieval_score, memory.retrieval_score)
            entry.attention += share * memory.attention
            entry.read += share * memory.read
            for token in memory.tokens:
                mass, weighted = entry.tokens.get((token.start, token.end), (0.0, 0.0))
                both = (mass + share * token.attention, weighted + share * token.read)
                entry.tokens[token.start, token.end] = both
    passages = [
        Passage(
            spot,
            entry.text,
            entry.attention,
            entry.retrieval_score,
            _number(spot, citations),
            tuple(TokenAttention(*span, *masses) for span, masses in sorted(entry.tokens.items())),
            entry.read,
        )
        for spot, entry in sums.items()
    ]
    passages.sort(
        key=lambda passage: (-passage.read, -passage.attention, passage.spot.document_id, passage.spot.start)
    )
    return Reading(chosen[0].from_token, chosen[-1].to_token, tuple(passages), question, answer, prefix)


def nearest(reads: Sequence[StretchRead], most: int = 5) -> list[Passage]:
    """Passages by retrieval score, best first: what came closest when nothing was good enough."""
    reading = read_over(reads, ())
    found = list(reading.passages) if reading else []
    return sorted(found, key=lambda passage: -passage.retrieval_score)[:most]


def _number(spot: Spot, citations: Sequence[Citation]) -> int | None:
    exact = [citation.n for citation in citations if spot_of(citation) == spot]
    meeting = [citation.n for citation in citations if spot_of(citation).meets(spot)]
    return next(iter(exact or meeting), None)


def strength(attention: float, peak: float) -> int:
    """0 (unmarked) to 4, by the share of the passage's strongest word."""
    if peak <= 0:
        return 0
    for index, share in enumerate(STRENGTHS):
        if attention >= share * peak:
            return len(STRENGTHS) - index
    return 0


def tenths(shares: Sequence[float]) -> list[int]:
    """Shares as tenths of a per cent that sum to exactly 1000 (largest remainders), or all 0."""
    total = sum(shares)
    if total <= 0:
        return [0] * len(shares)
    exact = [1000 * share / total for share in shares]
    whole = [int(value) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda index: whole[index] - exact[index])
    for index in by_remainder[: 1000 - sum(whole)]:
        whole[index] += 1
    return whole


def per_cent(value: float) -> str:
    """A share for reading: "12.3 %"."""
    return f"{100 * value:.1f} %"
