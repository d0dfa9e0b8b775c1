"""Citations and sentence marks as functions of reads, by hand-made numbers."""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.answering.answer import Citation, MemoryRead, Other, StretchRead
from app.evidence.attribution import CITED_SHARE, citations, sentence_marks, stretch_read
from engine.protocol import MemoryMass, Read, TokenMass
from storage.records import Hit, PageRow, ReferenceRow


def row(key: int) -> ReferenceRow:
    return ReferenceRow(
        id=key,
        document_id=f"d{key}",
        document_name=f"{key}.txt",
        title=None,
        page=1,
        page_label="i",
        start=10,
        end=14,
        text="text",
        heading_path=(),
        token_ids=np.arange(4, dtype=np.uint32),
        header_tokens=2,
        token_offsets=np.array([[10, 12], [12, 14]], np.uint32),
    )


@dataclass(frozen=True)
class Found:
    row: ReferenceRow
    hit: Hit


def found(**cosines: float | None) -> dict[int, Found]:
    return {
        int(name[1:]): Found(row(int(name[1:])), Hit(int(name[1:]), 0.5, 1, 1, cosine, 1.0))
        for name, cosine in cosines.items()
    }


def store_of(*keys: int) -> Any:
    """Only what `citations` asks of a store; references not named were deleted."""
    return SimpleNamespace(
        references=SimpleNamespace(get=lambda wanted: [row(key) for key in wanted if key in keys]),
        documents=SimpleNamespace(page=lambda *_: PageRow(1, "i", "x" * 20)),
    )


def stretch(first: int, last: int, **attention: float) -> StretchRead:
    """Head-weighted masses are the plain ones."""
    memories = [
        MemoryRead(int(name[1:]), f"d{name[1:]}", 1, 10, 14, "text", 0.5, mass, [], mass)
        for name, mass in attention.items()
    ]
    rest = 1 - sum(attention.values())
    return StretchRead(first, last, memories, Other(rest, 0.0, 0.0))


def test_attention_is_averaged_over_all_generated_tokens() -> None:
    reads = [stretch(0, 60, m1=0.4, m2=0.2), stretch(60, 80, m2=0.2)]
    cited = citations(store_of(1, 2), reads, found(m1=0.5, m2=0.5))
    assert [(c.n, c.document_id) for c in cited] == [(1, "d1"), (2, "d2")]
    assert [c.attention for c in cited] == pytest.approx([0.4 * 60 / 80, 0.2])
    assert cited[0].rects is None


def test_the_heads_that_tell_decide_and_both_kinds_are_shown() -> None:
    plain = stretch(0, 10, m1=0.4, m2=0.3)
    reads = [replace(plain, memories=[replace(m, read=m.reference_id / 4) for m in plain.memories])]
    cited = citations(store_of(1, 2), reads, found(m1=0.5, m2=0.5))
    assert [(c.document_id, c.attention, c.read) for c in cited] == [("d2", 0.3, 0.5), ("d1", 0.4, 0.25)]


def test_the_cosine_ranks_but_is_not_shown_as_attention() -> None:
    reads = [stretch(0, 10, m1=0.3, m2=0.2)]
    cited = citations(store_of(1, 2), reads, found(m1=0.5, m2=0.7))
    assert [c.document_id for c in cited] == ["d2", "d1"]
    assert [c.attention for c in cited] == pytest.approx([0.2, 0.3])


def test_what_words_and_meaning_both_found_comes_first() -> None:
    reads = [stretch(0, 10, m1=0.3, m2=0.25)]
    by_meaning, by_both = Hit(1, 1 / 61, 1, None, 0.5, None), Hit(2, 2 / 61, 1, 1, 0.5, 3.0)
    retrieved = {1: Found(row(1), by_meaning), 2: Found(row(2), by_both)}
    assert [c.document_id for c in citations(store_of(1, 2), reads, retrieved)] == ["d2", "d1"]


def test_what_was_hardly_read_is_not_cited() -> None:
    reads = [stretch(0, 10, m1=0.4, m2=0.4 * CITED_SHARE * 0.99)]
    assert [c.document_id for c in citations(store_of(1, 2), reads, found(m1=None, m2=None))] == ["d1"]


def test_numbers_stay_without_gaps_when_a_reference_is_gone() -> None:
    reads = [stretch(0, 10, m1=0.4, m2=0.3)]
    cited = citations(store_of(2), reads, found(m1=0.1, m2=0.1))
    assert [(c.n, c.document_id) for c in cited] == [(1, "d2")]


def test_nothing_read_nothing_cited() -> None:
    assert citations(store_of(), [], {}) == []
    assert citations(store_of(1), [stretch(0, 0, m1=0.5)], found(m1=0.5)) == []
    assert citations(store_of(1), [stretch(0, 5)], {}) == []


def test_header_tokens_have_mass_but_no_place_on_the_page() -> None:
    tokens = np.array([0.1, 0.1, 0.05, 0.15], np.float32)
    weaker = mass(2, 0.1, np.full(4, 0.025, np.float32))
    read = Read(0, 3, (weaker, replace(mass(1, 0.4, tokens), weighted=0.6)), 0.3, 0.1, 0.1)
    shown = stretch_read(read, found(m1=0.1, m2=0.1))
    assert [memory.reference_id for memory in shown.memories] == [1, 2]
    assert [(t.start, t.end) for t in shown.memories[0].tokens] == [(10, 12), (12, 14)]
    assert [t.attention for t in shown.memories[0].tokens] == pytest.approx([0.05, 0.15])
    assert [t.read for t in shown.memories[0].tokens] == pytest.approx([0.025, 0.075])
    assert (shown.memories[0].attention, shown.memories[0].read) == (0.4, 0.6)
    assert shown.other == Other(0.3, 0.1, 0.1)


def test_a_stretch_knows_where_its_words_stand_in_the_answer() -> None:
    pieces = [" It", " is", " so.", " Not", " here. "]
    read = Read(2, 5, (mass(1, 0.1, np.zeros(4, np.float32)),), 0.3, 0.3, 0.3)
    shown = stretch_read(read, found(m1=0.1), pieces)
    assert "".join(pieces).strip()[shown.start : shown.end] == " so. Not here."
    first = stretch_read(replace(read, from_token=0, to_token=2), found(m1=0.1), pieces)
    assert "".join(pieces).strip()[first.start : first.end] == "It is"


def mass(key: int, attention: float, tokens: NDArray[np.float32]) -> MemoryMass:
    """Head-weighted masses are half of the plain ones."""
    return MemoryMass(
        key, attention, tokens, np.full((1, 1), attention, np.float32), attention / 2, tokens / 2
    )


def citation(n: int, key: int) -> Citation:
    return Citation(n, f"d{key}", f"{key}.txt", 1, "i", 10, 14, "text", None, 0.1)


def per_token(*shares: tuple[float, float]) -> Read:
    masses = tuple(mass(key, 0.1, np.zeros(4, np.float32)) for key in (1, 2))
    each = tuple(TokenMass(share, 1 - sum(share), 0.0, 0.0, share) for share in shares)
    return Read(0, len(shares), masses, 0.5, 0.1, 0.1, each)


def test_each_sentence_is_marked_with_what_it_leaned_on() -> None:
    pieces = [" It", " is", " so", ".", " Not", " here", "."]
    read = per_token(*[(0.6, 0.1)] * 4, *[(0.1, 0.6)] * 3)
    text = "".join(pieces)
    marks = sentence_marks(text, pieces, [read], found(m1=0.1, m2=0.1), [citation(1, 2), citation(2, 1)])
    assert [text.strip()[mark.start : mark.end].strip() for mark in marks] == ["It is so.", "Not here."]
    assert [mark.citations for mark in marks] == [[2], [1]]


def test_nearly_equal_citations_are_both_marked() -> None:
    pieces = ["Both", "."]
    marks = sentence_marks(
        "Both.",
        pieces,
        [per_token((0.3, 0.29), (0.3, 0.29))],
        found(m1=0.1, m2=0.1),
        [citation(1, 1), citation(2, 2)],
    )
    assert [(mark.start, mark.end, mark.citations) for mark in marks] == [(0, 5, [1, 2])]
    assert marks[0].read == pytest.approx({1: 0.3, 2: 0.29})  # means over the sentence's tokens


def test_a_sentence_that_leaned_on_an_uncited_memory_has_no_mark() -> None:
    marks = sentence_marks("So.", ["So."], [per_token((0.1, 0.6))], found(m1=0.1, m2=0.1), [citation(1, 1)])
    assert [mark.citations for mark in marks] == [[]]


def test_no_text_no_marks() -> None:
    assert sentence_marks("  ", ["  "], [], {}, []) == []
    assert [mark.citations for mark in sentence_marks("So.", ["So."], [], {}, [])] == [[]]
