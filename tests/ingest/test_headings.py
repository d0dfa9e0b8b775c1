# ruff: noqa: E501 - a line of a document is a line here
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.document import Heading
from ingest.heading_lines import Form, Kind, line_form
from ingest.headings import HeadingDetector, HeadingPath, extent, has_title, place


@pytest.mark.parametrize(
    ("line", "kind", "number"),
    [
        ("ARTICLE IV", Kind.ARTICLE, (4,)),
        ("ARTICLE IV - REPRESENTATIONS AND WARRANTIES", Kind.ARTICLE, (4,)),
        ("Article 5. Term and Termination", Kind.ARTICLE, (5,)),
        ("EXHIBIT A", Kind.EXHIBIT, (1,)),
        ("Schedule 2 Fees", Kind.EXHIBIT, (2,)),
        ("Section 2.1 Payment of Rent", Kind.SECTION, (2, 1)),
        ("§ 12 Definitions", Kind.SECTION, (12,)),
        ("Clause 7. Notices", Kind.SECTION, (7,)),
        ("1. DEFINITIONS", Kind.NUMBER, (1,)),
        ("2.3 Governing Law", Kind.NUMBER, (2, 3)),
        ("8.1.2 Study Population", Kind.NUMBER, (8, 1, 2)),
        ("CONFIDENTIAL INFORMATION", Kind.CAPITALS, ()),
        ("INDICATIONS AND USAGE", Kind.CLINICAL, ()),
        ("5.1 Warnings and Precautions", Kind.NUMBER, (5, 1)),
        ("4 CONTRAINDICATIONS", Kind.NUMBER, (4,)),
        ("Methods", Kind.CLINICAL, ()),
        ("Results:", Kind.CLINICAL, ()),
        ("Eligibility Criteria", Kind.CLINICAL, ()),
        ("II. BACKGROUND", Kind.ROMAN, (2,)),
        ("RECITALS", Kind.RECITALS, ()),
    ],
)
def test_lines_that_are_headings(line: str, kind: Kind, number: tuple[int, ...]) -> None:
    assert line_form(line) == Form(kind, number, line, line not in ("ARTICLE IV", "EXHIBIT A"), True)


@pytest.mark.parametrize(
    ("line", "following", "words"),
    [
        ("1. Affiliate Status. The undersigned agrees", "", "1. Affiliate Status"),
        ("Section 4. Representations of the", "Sellers. The sellers represent", "Section 4. Representations of the Sellers"),
        ("(b) Notices: All notices are sent", "", "(b) Notices"),
        ("2. Agent; Compensation. Subject to", "", "2. Agent; Compensation"),
        ("1.4 “Affiliate” means any person", "", "1.4 “Affiliate”"),
        ("A. Term. This Agreement", "", "A. Term"),
    ],
)  # fmt: skip
def test_a_paragraph_may_begin_with_its_heading(line: str, following: str, words: str) -> None:
    form = line_form(line, following)
    assert form is not None
    assert (form.words, form.titled, form.whole) == (words, True, False)


@pytest.mark.parametrize(
    "line",
    [
        "Section 2.1 of this Agreement shall survive termination.",
        "1. The tenant shall pay the rent on the first day of each month;",
        "1. See Smith v. Jones. The court held",
        "1. Oxman AD, Cook DJ, Guyatt GH. Users' guides to the literature",
        "Exhibit 10.26",
        "ACME CREDIT CORPORATION",
        "WILLIAM S. FREEMAN",
        "IN WITNESS WHEREOF",
        "(h) None of the Parties has",
        "1. Party A irrevocably undertakes that it will not compete with Party B",
        "12 patients were randomised",
        "2020 Annual Report",
        "2.5 mg",
        "Article 5 hereof applies.",
        "results were mixed",
        "The results",
        "A",
        "IBM",
        "8.1 Research Questions 4",
        "CHAPTER 3 - ADMINISTRATION ........ 12",
        "PURPOSE\t1-1",
        "(a) the Seller",
        "$1,000,000",
        "THE SELLER MAKES NO WARRANTY, EXPRESS OR IMPLIED, INCLUDING THE WARRANTY OF FITNESS FOR A PURPOSE",
        "",
    ],
)
def test_lines_that_are_not(line: str) -> None:
    form = line_form(line)
    assert form is None or not form.titled


def test_paragraphs_in_capitals_are_not_headings() -> None:
    text = (
        "SOMETHING BEFORE IT\n"
        "THE SELLER MAKES NO WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, AS TO THE GOODS AND THEIR FITNESS\n"
        "FOR ANY PARTICULAR PURPOSE\nNORMAL TEXT FOLLOWS here."
    )
    assert "FOR ANY PARTICULAR PURPOSE" not in [h.text for h in HeadingDetector().merge(text)]


def test_running_heads_are_forgotten_after_two_pages() -> None:
    detector = HeadingDetector()
    found = [
        [h.text for h in detector.merge(f"ACME CREDIT AGREEMENT\nText {i}.\nMore.\nPage {i}")]
        for i in range(4)
    ]
    assert found == [["ACME CREDIT AGREEMENT"], ["ACME CREDIT AGREEMENT"], [], []]


def test_declared_headings_come_first_and_once() -> None:
    text = "intro\n1. DEFINITIONS\nbody\n2. TERM\nbody"
    declared = [Heading(text.index("1."), 1, "1. Definitions")]
    merged = HeadingDetector(below=1).merge(text, declared)
    assert [(h.level, h.text) for h in merged] == [(1, "1. Definitions"), (2, "2. TERM")]


def test_path_closes_what_a_heading_ends() -> None:
    path = HeadingPath()
    for level, text in [(1, "A"), (2, "B"), (3, "C"), (2, "D")]:
        path.enter(Heading(0, level, text))
    assert path.titles == ("A", "D")


def test_place_and_extent() -> None:
    text = "see Second chapter\n2.  SECOND\nCHAPTER\nsecond chapter"
    assert place(text, "Second Chapter") == text.index("SECOND")
    assert place(text, "absent") is None
    assert place(text, "  ") is None
    start = text.index("SECOND")
    assert extent(text, Heading(start, 1, "Second chapter")) == text.index("\nsecond")
    assert extent(text, Heading(0, 1, "elsewhere")) == 0


BODY = "The parties agree that this sentence is long enough to be the body of a section."


def path_of(*pages: str) -> list[tuple[str, ...]]:
    """The path at each line that begins with "The parties", through all pages."""
    detector, path, found = HeadingDetector(), HeadingPath(), []
    for text in pages:
        headings = list(detector.merge(text))
        for match in re.finditer(r"The parties", text):
            while headings and headings[0].start <= match.start():
                path.enter(headings.pop(0))
            found.append(path.titles)
        for heading in headings:
            path.enter(heading)
    return found


def test_numbers_nest_by_what_came_before() -> None:
    letters_first = f"A. SALE\n{BODY}\n1. Price\n{BODY}\n2. Place\n{BODY}\nB. LEASE\n{BODY}"
    assert path_of(letters_first) == [
        ("A. SALE",), ("A. SALE", "1. Price"), ("A. SALE", "2. Place"), ("B. LEASE",)
    ]  # fmt: skip
    numbers_first = f"1. SALE\n{BODY}\nA. Price\n{BODY}\nB. Place\n{BODY}\n2. LEASE\n{BODY}"
    assert path_of(numbers_first) == [
        ("1. SALE",), ("1. SALE", "A. Price"), ("1. SALE", "B. Place"), ("2. LEASE",)
    ]  # fmt: skip


def test_i_after_h_is_a_letter() -> None:
    text = "".join(f"{letter}. Heading {letter}\n{BODY}\n" for letter in "ABCDEFGHIJ")
    assert path_of(text) == [(f"{letter}. Heading {letter}",) for letter in "ABCDEFGHIJ"]
    roman = "".join(f"{number}. Heading {number}\n{BODY}\n" for number in ("I", "II", "III", "IV", "V"))
    assert [path[0].split(".")[0] for path in path_of(roman)] == ["I", "II", "III", "IV", "V"]


def test_paths_are_carried_over_pages_and_closed_by_their_parents() -> None:
    first = f"ARTICLE II\nPAYMENT\nSection 2.1 Rent. {BODY}\n(a) Cash. {BODY}\nSection 2.2 Interest"
    second = f"{BODY}\nARTICLE III\n{BODY}\nEXHIBIT B\n{BODY}"
    assert path_of(first, second) == [
        ("ARTICLE II PAYMENT", "Section 2.1 Rent"),
        ("ARTICLE II PAYMENT", "Section 2.1 Rent", "(a) Cash"),
        ("ARTICLE II PAYMENT", "Section 2.2 Interest"),
        ("ARTICLE III",),
        ("EXHIBIT B",),
    ]


def test_a_clause_without_a_title_ends_the_one_before() -> None:
    text = f"5. Term\n5.1 Renewal. {BODY}\n5.2 {BODY}\n6. Notices. {BODY}\n7. {BODY}"
    assert path_of(text) == [("5. Term", "5.1 Renewal"), ("5. Term", "5.2"), ("6. Notices",), ("7",)]
    assert [has_title(words) for words in ("5.1 Renewal", "5.2", "(b)", "7")] == [True, False, False, False]


def test_numbers_go_on_after_headings_without_numbers() -> None:
    text = f"1. Sale\n{BODY}\nGENERAL PROVISIONS\n{BODY}\n2. Lease\n{BODY}"
    assert path_of(text) == [("1. Sale",), ("GENERAL PROVISIONS",), ("2. Lease",)]
    below = f"DISCUSSION\n{BODY}\nI. Standard\n{BODY}\nCONCLUSION\n{BODY}"
    assert path_of(below) == [("DISCUSSION",), ("DISCUSSION", "I. Standard"), ("CONCLUSION",)]


def test_a_table_of_contents_opens_nothing() -> None:
    listed = "\n".join(f"ARTICLE {n} Chapter Of Things {page}" for n, page in enumerate((1, 4, 9, 12, 30), 1))
    assert not HeadingDetector().merge(f"Some words\n{listed}\nand others")
    without_pages = "\n".join(f"Section {n}. Things And More" for n in range(1, 6))
    assert not HeadingDetector().merge(f"{without_pages}\n{BODY}")


def test_signatures_and_shouted_paragraphs_open_nothing() -> None:
    text = f"{BODY}\nJOHN SMITH\n12 Main Road\nLondon\n{BODY}\nNO WARRANTY\nIS GIVEN AT ALL\nBY THE SELLER\n{BODY}"
    assert not HeadingDetector().merge(text)


words = st.sampled_from(
    ["Sale", "of", "Goods", "the", "means", "GENERAL", "agree.", "See", "(i)", "“Act”", "12"]
)
marks = st.sampled_from(
    ["", "1. ", "2. ", "3.1 ", "A. ", "I. ", "(a) ", "(i) ", "ARTICLE 1 ", "Section 2.1 ", "EXHIBIT A "]
)
lines = st.builds(lambda mark, rest: mark + " ".join(rest), marks, st.lists(words, max_size=9))


@given(st.lists(st.lists(lines, max_size=12), max_size=4))
def test_headings_of_any_lines_lie_in_their_lines(pages: list[list[str]]) -> None:
    detector = HeadingDetector()
    for page in pages:
        text = "\n".join(page)
        headings = detector.merge(text)
        starts = [heading.start for heading in headings]
        assert starts == sorted(set(starts))
        for heading in headings:
            assert heading.text == " ".join(heading.text.split()) != ""
            assert heading.start == 0 or text[heading.start - 1] in " \n"
            assert 1 <= heading.level <= 6
            assert extent(text, heading) > heading.start
