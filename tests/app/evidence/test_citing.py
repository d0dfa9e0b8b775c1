"""Pin cites in each profession's form, and adjacent citations as one."""

from dataclasses import replace

import pytest

from app.answering.answer import Claim
from app.evidence.citing import merge_adjacent, present
from app.evidence.pin_cites import Place, pin_cite, section
from app.service import Service
from tests.app.conftest import add, answer
from tests.app.web.scripted import LEASE, legal_answer
from tests.ingest.make_pdf import make_pdf, text_sheet


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (["ARTICLE IV Term", "Section 4.2 Notice"], "§ 4.2"),
        (["ARTICLE IV TERM", "2. Notice", "(b) Form"], "art. IV, § 2(b)"),
        (["§ 12 Abs.", "(a)"], "§ 12(a)"),
        (["Clause 7.1(a): Fees"], "§ 7.1(a)"),
        (["SCHEDULE A", "Prices"], "sched. A"),
        (["Exhibit B", "3. Scope"], "ex. B, § 3"),
        (["2.1. Definitions"], "§ 2.1"),
        (["Lease", "Rent"], None),
        (["2004 in review"], None),
        (["100mg tablets"], None),
        ([], None),
    ],
)
def test_the_number_of_a_section(path: list[str], expected: str | None) -> None:
    assert section(path) == expected


@pytest.mark.parametrize(
    ("profile", "place", "expected"),
    [
        ("legal", Place("12", ["Lease", "4.2 Notice"], "The tenant"), "p. 12, § 4.2"),
        ("legal", Place("iv", ["Lease", "Rent"], "The tenant"), "p. iv, “Rent”"),
        ("legal", Place("12", [], "The tenant"), "p. 12"),
        ("medical", Place("3", ["2 Dosage", "2.1 Adults"], "Table 2. Doses\nAge"), "p. 3, Table 2"),
        ("medical", Place("3", ["2 Dosage", "Table 4: Doses"], "Age: 3"), "p. 3, Table 4"),
        ("medical", Place("3", ["2 Dosage", "2.1  Adults"], "See Table 2 for"), "p. 3, “2.1 Adults”"),
        ("general", Place("3", ["Intro", "Aims"], "x"), "p. 3, “Aims”"),
        ("legal", Place(None, ["Lease", "Rent"], "x", 1, 2), "Lease › Rent, para. 2"),
        ("general", Place(None, [], "x", 3, 7), "part 3, para. 7"),
    ],
)
def test_the_form_of_each_profession(profile: str, place: Place, expected: str) -> None:
    assert pin_cite(profile, place) == expected


def test_the_paragraph_is_counted_behind_its_heading(service: Service, keep, fake_model: None) -> None:
    """Paragraphs of a length that none shares a reference with another."""
    said = [f"Paragraph {n} says that {'the zebra eats grass and ' * 22}sleeps." for n in range(4)]
    text = f"# Lease\n\n{said[0]}\n\n{said[1]}\n\n## Zebra insurance\n\n{said[2]}\n\n{said[3]}\n"
    (document,) = add(service, keep("zebra.md", text))
    given = answer(service, "What does the zebra eat?")
    rows = service.store.references.get(service.store.references.of_document(document))
    cited = [
        replace(
            given.citations[0],
            n=n,
            document_id=document,
            page=row.page,
            start=row.start,
            end=row.end,
            text=row.text,
        )
        for n, row in enumerate(rows, 1)
    ]
    pins: dict[str, set[int]] = {}
    paragraph = 0
    for each in cited:  # a paragraph that is cut keeps its number
        paragraph = next((n for n in range(4) if f"Paragraph {n}" in each.text), paragraph)
        (pin,) = present(service.store, replace(given, citations=[each]), "legal").pins.values()
        pins.setdefault(pin, set()).add(paragraph)
    assert pins == {
        "Lease, para. 1": {0},
        "Lease, para. 2": {1},
        "Lease › Zebra insurance, para. 1": {2},
        "Lease › Zebra insurance, para. 2": {3},
    }
    gone = replace(given, citations=[replace(cited[0], document_id="x")])
    assert present(service.store, gone, "legal").pins == {}


def test_pages_and_sections_of_a_pdf(service: Service, keep, fake_model: None) -> None:
    sheets = [
        text_sheet("4. Term", "The lease of the windmill ends in May."),
        text_sheet("It may be renewed once."),
    ]
    add(service, keep("mill.pdf", make_pdf(*sheets)))
    given = answer(service, "When does the lease of the windmill end?")
    shown = present(service.store, given, "legal")
    assert shown.answer == given
    assert {pin.split(",")[0] for pin in shown.pins.values()} <= {"p. 1", "p. 2"}
    assert len(shown.pins) == len(given.citations)


def test_adjacent_citations_become_one() -> None:
    answer_ = legal_answer()
    term, notes, rent = answer_.citations  # clause 4 and clause 5 stand next to each other
    merged = merge_adjacent(answer_, lambda document, page: LEASE if document == "lease" else notes.text)
    first, second = merged.citations
    assert (first.n, first.start, first.end) == (1, term.start, rent.end)
    assert first.text == LEASE[term.start : rent.end]
    assert first.attention == pytest.approx(term.attention + rent.attention)
    assert first.read == pytest.approx(term.read + rent.read)
    assert first.needed == term.needed == 0.42
    assert replace(second, n=2) == notes
    assert [mark.citations for mark in merged.sentences] == [[1, 2], [1], [1]]
    by_number = {1: 0.5, 2: 0.25, 3: 0.75}
    lost = [replace(mark, needed=by_number, read=by_number) for mark in answer_.sentences]
    measured = merge_adjacent(replace(answer_, sentences=lost), lambda document, page: LEASE)
    assert [mark.needed for mark in measured.sentences] == [{1: 0.75, 2: 0.25}] * 3
    assert [mark.read for mark in measured.sentences] == [{1: 1.25, 2: 0.25}] * 3
    stated = [Claim(0, 4, "name", [1, 3]), Claim(5, 9, "number", []), Claim(9, 10, "number", [2])]
    claimed = merge_adjacent(replace(answer_, claims=stated), lambda document, page: LEASE).claims
    assert [claim.citations for claim in claimed] == [[1], [], [2]]
    assert merge_adjacent(answer_, lambda document, page: None) == answer_
    apart = replace(answer_, citations=[replace(term, end=term.end - 9), notes, rent])
    assert merge_adjacent(apart, lambda document, page: LEASE) == apart
