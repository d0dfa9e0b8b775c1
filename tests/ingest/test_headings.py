import pytest

from ingest.document import Heading
from ingest.headings import HeadingDetector, HeadingPath, extent, line_level, place


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("ARTICLE IV", 1),
        ("ARTICLE IV - REPRESENTATIONS AND WARRANTIES", 1),
        ("Article 5. Term and Termination", 1),
        ("EXHIBIT A", 1),
        ("Section 2.1 Payment of Rent", 3),
        ("§ 12 Definitions", 2),
        ("1. DEFINITIONS", 2),
        ("2.3 Governing Law", 3),
        ("8.1.2 Study Population", 4),
        ("CONFIDENTIAL INFORMATION", 2),
        ("INDICATIONS AND USAGE", 2),
        ("5.1 Warnings and Precautions", 3),
        ("4 CONTRAINDICATIONS", 2),
        ("Methods", 2),
        ("Results:", 2),
        ("II. BACKGROUND", 1),
    ],
)
def test_lines_that_are_headings(line: str, level: int) -> None:
    assert line_level(line) == level


@pytest.mark.parametrize(
    "line",
    [
        "Section 2.1 of this Agreement shall survive termination.",
        "1. The tenant shall pay the rent on the first day of each month;",
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
    assert line_level(line) is None


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
    assert [(h.level, h.text) for h in merged] == [(1, "1. Definitions"), (3, "2. TERM")]


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
