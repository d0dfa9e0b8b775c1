"""A highlight lies on exactly the words that it stands for, and a page is named as it is printed.

What lies under the rectangles is read independently of our boxes: PDFium's own tight box of each glyph, moved
to the page as displayed by PDFium. White space aside, and hyphens, which the text of a page may have joined.
Symbol fonts give codes of private use, for which the text has what is drawn: any one character. What stands
for no character at all (U+FFFD in our text) is left out.
"""

import ctypes
import random
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pypdfium2
import pypdfium2.raw as pdfium
import pytest
from pypdf import PdfWriter
from pypdf.constants import PageLabelStyle

from app.evidence.attribution import passage_rectangles
from engine.fake import FakeEmbedder, FakeEngine
from ingest.document import Page
from ingest.geometry import Rect, rectangles
from ingest.limits import Limits
from ingest.pipeline import Pipeline
from storage.store import Store
from tests.ingest.conftest import Reading
from tests.ingest.make_pdf import Sheet, make_pdf, rewritten, text_sheet

SEED = 6
UNITS = 100  # a point, for PDFium, which counts in whole pixels
UNSEEN = ("Cc", "Cf", "Cn", "Cs", "Pd")
LONGEST = 400  # characters of a span
FILLED_IN = "court_cafc_3.pdf"  # a form: answers are drawn over the blanks, which are text as well
ROMAN = ("nasty_pdfs", "pdfjs", "bug793632.pdf")
FROM_ZERO = ("nasty_pdfs", "pdfplumber", "issue-316-example.pdf")
MIXED = ("nasty_pdfs", "qpdf", "lin2.pdf")


@dataclass(frozen=True)
class Glyph:
    """A character and the middle of its ink, in points from the top left of the page as displayed."""

    text: str
    x: float
    y: float

    def within(self, rect: Rect) -> bool:
        return rect[0] <= self.x <= rect[2] and rect[1] <= self.y <= rect[3]


def glyphs(pdf: pypdfium2.PdfDocument, number: int) -> list[Glyph]:
    """In PDFium's order."""
    found = []
    page = pdf[number - 1]
    with closing(page), closing(page.get_textpage()) as text:
        width, height = (round(side * UNITS) for side in page.get_size())
        for index in range(text.count_chars()):
            left, bottom, right, top = text.get_charbox(index)
            x, y = ctypes.c_int(), ctypes.c_int()
            middle = (left + right) / 2, (bottom + top) / 2
            assert pdfium.FPDF_PageToDevice(page, 0, 0, width, height, 0, *middle, x, y)
            found.append(
                Glyph(chr(pdfium.FPDFText_GetUnicode(text, index)), x.value / UNITS, y.value / UNITS)
            )
    return found


def under(rects: Sequence[Rect], drawn: Sequence[Glyph]) -> str:
    """The text under the rectangles, one after the other."""
    return "".join(glyph.text for rect in rects for glyph in drawn if glyph.within(rect))


def ink(text: str) -> str:
    """What is seen of it, hyphens aside."""
    kept = (c for c in text if not c.isspace() and c != "\ufffd" and unicodedata.category(c) not in UNSEEN)
    return unicodedata.normalize("NFC", "".join(kept))


def same(found: str, wanted: str) -> bool:
    return len(found) == len(wanted) and all(
        one == other or unicodedata.category(one) == "Co" for one, other in zip(found, wanted, strict=True)
    )


def spans(pages: Sequence[Page], count: int, generator: random.Random) -> Iterator[tuple[Page, int, int]]:
    """Random stretches of the text of random pages that have text of their own."""
    written = [
        page for page in pages if page.boxes is not None and page.confidence is None and ink(page.text)
    ]
    for page in generator.choices(written, k=count) if written else []:
        start = generator.randrange(len(page.text))
        end = min(len(page.text), start + generator.randint(1, LONGEST))
        yield page, _glyph_border(page, start), _glyph_border(page, end)


def _glyph_border(page: Page, at: int) -> int:
    """The nearest place behind that does not divide a ligature, whose letters have one box."""
    assert page.boxes is not None
    while 0 < at < len(page.text) and (page.boxes[at] == page.boxes[at - 1]).all():
        at += 1
    return at


def wrong(path: Path, count: int, generator: random.Random) -> tuple[int, list[str]]:
    """How many spans of a document were looked at, and those whose highlight is on other words."""
    looked_at, found = 0, []
    pages = Reading(path, limits=Limits(seconds=120)).pages
    drawn: dict[int, list[Glyph]] = {}
    with closing(pypdfium2.PdfDocument(path)) as pdf:
        for page, start, end in spans(pages, count, generator):
            if page.number not in drawn:
                drawn[page.number] = glyphs(pdf, page.number)
            assert page.boxes is not None
            seen = ink(under(rectangles(page.boxes, start, end), drawn[page.number]))
            looked_at += 1
            if not same(seen, ink(page.text[start:end])):
                found.append(f"{path.name}, page {page.number}, {start}-{end}: {seen!r}")
    return looked_at, found


def all_wrong(paths: Iterable[Path], count: int) -> tuple[int, list[str]]:
    generator = random.Random(SEED)
    results = [wrong(path, count, generator) for path in paths]
    return sum(looked_at for looked_at, _ in results), [each for _, found in results for each in found]


def test_text_under_highlights(shared_data: Path) -> None:
    folder = shared_data / "documents"
    paths = (
        folder / "legal" / "contract_TUNIUCORP_03_06_2014-EX-10-COOPERATION_AGREEMENT.pdf",
        folder / "medical" / "fda_CMC_Stability_Testing_Drug_Products.pdf",
    )
    assert all_wrong(paths, 30) == (60, [])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_text_under_300_highlights(shared_data: Path) -> None:
    paths = sorted((shared_data / "documents").glob("*/*.pdf"))
    paths = [path for path in paths if path.name != FILLED_IN and not path.name.startswith("scanned_")]
    looked_at, found = all_wrong(paths, 6)
    print(f"{looked_at} spans of {len(paths)} documents")
    assert looked_at >= 300
    assert found == []


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_turned_and_cropped_pages(keep: Callable[[str, bytes], Path], rotate: int) -> None:
    lines = [(72, 700 - 16 * n, 11, f"Line {n} of a page that is turned and cropped.") for n in range(9)]
    sheet = Sheet(lines, crop=(50, 100, 562, 742), rotate=rotate)
    path = keep("turned.pdf", make_pdf(sheet))
    assert all_wrong([path], 30) == (30, [])


def test_a_highlight_beside_its_words_is_noticed(keep: Callable[[str, bytes], Path]) -> None:
    """The check itself can fail."""
    path = keep("page.pdf", make_pdf(text_sheet("One line of words.", "Another line of words.")))
    page = Reading(path).pages[0]
    with closing(pypdfium2.PdfDocument(path)) as pdf:
        drawn = glyphs(pdf, 1)
    assert page.boxes is not None
    assert ink(under(rectangles(page.boxes, 4, 8), drawn)) == "line"
    for moved in ((6, 0, 6, 0), (0, 16, 0, 16), (0, 0, 12, 0)):
        assert ink(under(rectangles(page.boxes + moved, 4, 8), drawn)) != "line"


def labels(path: Path) -> list[str]:
    """As PDFium has them."""
    with closing(pypdfium2.PdfDocument(path)) as pdf:
        return [pdf.get_page_label(index) for index in range(len(pdf))]


def cited(store: Store, path: Path) -> list[tuple[int, str, str]]:
    """Page, label and text of every reference of a document, once it is stored."""
    row, _ = store.documents.add(path, "law", memories=False)
    while job := store.jobs.claim("w"):
        Pipeline(store, FakeEngine(), FakeEmbedder(), "w").run(job)
    references = store.references.get(store.references.of_document(row.id))
    return [(each.page, each.page_label, each.text) for each in references]


def test_roman_and_offset_labels(store: Store, keep: Callable[[str, bytes], Path]) -> None:
    """Two pages of a preface, two that are counted from 41, one of an appendix."""

    def label(writer: PdfWriter) -> None:
        writer.set_page_label(0, 1, style=PageLabelStyle.LOWERCASE_ROMAN, start=3)
        writer.set_page_label(2, 3, style=PageLabelStyle.DECIMAL, start=41)
        writer.set_page_label(4, 4, style=PageLabelStyle.UPPERCASE_LETTER, prefix="App. ")

    printed = ["iii", "iv", "41", "42", "App. A"]
    pages = [
        text_sheet(f"This is sheet {n}, on which {label} is printed.") for n, label in enumerate(printed, 1)
    ]
    path = keep("labels.pdf", rewritten(make_pdf(*pages), label))
    assert labels(path) == printed
    found = cited(store, path)
    assert found == [
        (n, label, f"This is sheet {n}, on which {label} is printed.") for n, label in enumerate(printed, 1)
    ]
    document = store.documents.list()[0].id
    with closing(pypdfium2.PdfDocument(path)) as pdf:
        for number, _, text in found:
            rects = passage_rectangles(store, document, number, [(0, len(text))])[0]
            assert rects is not None
            assert ink(under(rects, glyphs(pdf, number))) == ink(text)


@pytest.mark.parametrize(
    ("place", "first"),
    [
        (ROMAN, ["i", "ii", "iii", "1"]),
        (FROM_ZERO, ["0", "1", "2", "3", "4"]),
        (MIXED, ["", "", "i", "ii", "iii", "iv", "v"]),
    ],
)
def test_labels_of_real_documents(
    store: Store, shared_data: Path, place: tuple[str, ...], first: list[str]
) -> None:
    path = shared_data.joinpath(*place)
    known = labels(path)
    assert known[: len(first)] == first
    pages = Reading(path).pages
    assert [page.number for page in pages] == list(range(1, len(known) + 1))
    print([p.label for p in pages])
    assert [page.label for page in pages] == [label or str(n) for n, label in enumerate(known, 1)]
    for number, label, text in cited(store, path):
        assert label == (known[number - 1] or str(number))
        assert text in pages[number - 1].text
