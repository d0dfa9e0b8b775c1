"""From recorded reads to citations: which passages the answer was read from, and where they stand.

Everything here is counted from the engine's own softmax; nothing is taken from the text that the model
wrote. Attention says what was read, not that it supports the answer.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

from app.answering.answer import Citation, MemoryRead, Other, Rect, SentenceMark, StretchRead, TokenAttention
from engine.protocol import Read
from ingest.geometry import rectangles
from ingest.sentences import Cut, cuts
from storage.records import Hit, ReferenceRow
from storage.store import Store

# A reference's rank among citations is its head-weighted attention times what the retriever thought of it:
# exp(sharpness x cosine to the question), and its fused score, which knows its words too. Attention alone
# leans on sink-like tokens in a model that never learnt to read memories, the cosine alone knows nothing of
# the answer. tests/bench/citation_order.py prints how they compare. Both are shown as what they are.
COSINE_SHARPNESS = 8.0
# a citation's rank weight is at least this share of the first one's
CITED_SHARE = 0.25
# a sentence is marked with the citations that draw nearly as much as its most attended one
MARKED_SHARE = 0.9


class Retrieved(Protocol):
    """A reference with the retriever's verdict on it."""

    @property
    def row(self) -> ReferenceRow: ...
    @property
    def hit(self) -> Hit: ...


def stretch_read(read: Read, found: Mapping[int, Retrieved], pieces: Sequence[str] = ()) -> StretchRead:
    """The engine's read in the words of documents: pages, passages, characters. pieces: the text of each
    token of the answer up to the read's last one, at least.
    """
    memories = []
    for mass in read.memories:
        row = found[mass.key].row
        plain, weighted = mass.tokens[row.header_tokens :], mass.weighted_tokens[row.header_tokens :]
        tokens = [
            TokenAttention(int(start), int(end), float(attention), float(read))
            for (start, end), attention, read in zip(row.token_offsets, plain, weighted, strict=True)
        ]
        memories.append(
            MemoryRead(
                reference_id=row.id,
                document_id=row.document_id,
                page=row.page,
                start=row.start,
                end=row.end,
                text=row.text,
                retrieval_score=found[mass.key].hit.score,
                attention=mass.attention,
                tokens=tokens,
                read=mass.weighted,
            )
        )
    memories.sort(key=lambda memory: -memory.attention)
    text = "".join(pieces[: read.to_token])
    lead = len(text) - len(text.lstrip())
    start = max(0, sum(map(len, pieces[: read.from_token])) - lead)
    end = max(start, len(text.strip()))
    other = Other(read.question, read.answer, read.prefix)
    return StretchRead(read.from_token, read.to_token, memories, other, start, end)


def citations(store: Store, reads: Sequence[StretchRead], found: Mapping[int, Retrieved]) -> list[Citation]:
    """The references that the answer leaned on, numbered from 1; see `COSINE_SHARPNESS` for the order."""
    total = sum(read.to_token - read.from_token for read in reads)
    if not total:  # stopped before the first token
        return []
    mass: defaultdict[int, float] = defaultdict(float)
    weighted: defaultdict[int, float] = defaultdict(float)
    for read in reads:
        for memory in read.memories:
            share = (read.to_token - read.from_token) / total
            mass[memory.reference_id] += memory.attention * share
            weighted[memory.reference_id] += memory.read * share
    weight = {
        key: value * found[key].hit.score * math.exp(COSINE_SHARPNESS * (found[key].hit.cosine or 0.0))
        for key, value in weighted.items()
    }
    ranked = sorted(weight, key=lambda key: -weight[key])
    kept = [key for key in ranked if weight[key] >= CITED_SHARE * weight[ranked[0]]]
    rows = store.references.get(kept)
    return [citation(store, n, row, mass[row.id], weighted[row.id]) for n, row in enumerate(rows, 1)]


def nearest_passages(store: Store, rows: Sequence[ReferenceRow]) -> list[Citation]:
    """Retrieved passages in their order, without any attention: nothing of them was read as memories."""
    return [citation(store, n, row) for n, row in enumerate(rows, 1)]


def citation(store: Store, n: int, row: ReferenceRow, attention: float = 0.0, read: float = 0.0) -> Citation:
    return Citation(
        n=n,
        document_id=row.document_id,
        document_name=row.document_name,
        page=row.page,
        page_label=row.page_label,
        start=row.start,
        end=row.end,
        text=row.text,
        rects=passage_rectangles(store, row.document_id, row.page, [(row.start, row.end)])[0],
        attention=attention,
        read=read,
    )


def passage_rectangles(
    store: Store, document_id: str, page: int, spans: Sequence[tuple[int, int]]
) -> list[list[Rect] | None]:
    """Rectangles of each span in PDF points, origin top left; None where the page has no boxes."""
    boxes = store.documents.page(document_id, page).boxes
    return [None if boxes is None else rectangles(boxes, start, end) for start, end in spans]


def sentence_marks(
    text: str,
    pieces: Sequence[str],
    reads: Sequence[Read],
    found: Mapping[int, Retrieved],
    cited: Sequence[Citation],
) -> list[SentenceMark]:
    """Each sentence of the answer with the citations that it read most (`TokenMass.weighted`).

    text is the concatenation of `pieces`, one per generated token; offsets are those of the stripped text.
    """
    numbers = {(c.document_id, c.page, c.start): c.n for c in cited}
    of_token: list[dict[int, float]] = []
    for read in reads:
        keys = [mass.key for mass in read.memories]
        of_token += [dict(zip(keys, token.weighted, strict=True)) for token in read.per_token]
    lead = len(text) - len(text.lstrip())
    marks = []
    stripped = text.strip()
    ends = [*sorted(at for at, cut in cuts(stripped).items() if cut >= Cut.SENTENCE), len(stripped)]
    for start, end in zip([0, *ends], ends, strict=False):
        if start == end:
            continue
        mass: defaultdict[int, float] = defaultdict(float)
        position = tokens = 0
        for piece, shares in zip(pieces, of_token, strict=False):
            if lead + start < position + len(piece) and position < lead + end:
                tokens += 1
                for key, share in shares.items():
                    mass[key] += share
            position += len(piece)
        best = max(mass.values(), default=0.0)
        of_citation = dict.fromkeys(numbers.values(), 0.0)
        chosen = []
        for key in sorted(mass, key=lambda key: -mass[key]):
            row = found[key].row
            n = numbers.get((row.document_id, row.page, row.start))
            if n is not None:
                of_citation[n] += mass[key] / tokens
                if mass[key] >= MARKED_SHARE * best:
                    chosen.append(n)
        marks.append(SentenceMark(start, end, chosen, read=of_citation))
    return marks
