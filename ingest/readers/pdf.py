"""PDF: structure by pypdf (metadata, labels, outline), text, boxes and encryption by PDFium.

PDFium decides whether a file can be read at all; where pypdf fails on a file that PDFium opens, the pages
come without labels and outline, with a warning. A page that fails becomes an empty page with a warning.
Pages without text of their own are recognised (ingest.readers.scan). Two pages ahead are read before a page
is handed on, since running heads and feet show only beside their neighbours (ingest.readers.margins).
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium

from ingest.document import PDF, DocumentInfo, Heading, Page, PageWarning, Read, Start
from ingest.errors import (
    DamagedFile,
    NoPages,
    PasswordRequired,
    TooLarge,
    UnreadableDocument,
    UnsupportedFormat,
    WrongPassword,
)
from ingest.headings import HeadingDetector, place
from ingest.limits import Limits
from ingest.readers.hyphens import Hyphenation
from ingest.readers.layout import unravelled
from ingest.readers.margins import Sheet, margins
from ingest.readers.pdf_picture import page_picture, picture_share
from ingest.readers.pdf_structure import OutlineEntry, Structure, read_structure
from ingest.readers.pdf_text import PageText, open_pdf, page_text, plain_text
from ingest.readers.picture import scan_warnings
from ingest.readers.recognition import DOTS_PER_INCH, LONGEST_SIDE, NotRecognised
from ingest.readers.scan import is_blank, is_garbage, is_scan, is_sparse, read_scan
from ingest.readers.source import Source

_LOOK_AHEAD_PAGES = 100  # pages that are asked how the document hyphenates
_NEIGHBOURS = 2  # pages before and after: running heads of left and right pages differ
_TAIL_BYTES = 2048


def read_pdf(
    path: Source, password: str | None, limits: Limits, start: Start, step: Callable[[], None]
) -> Read:
    """Yield the document's information, then its pages behind `start` with warnings between them.

    step is called while a page is being recognised.

    Raises PasswordRequired, WrongPassword, NoPages, DamagedFile, UnsupportedFormat or TooLarge.
    """
    pdf = open_document(path, password)
    count = len(pdf)
    if count > limits.pages:
        raise TooLarge(
            f"{path.name}: {count} pages are more than the limit of {limits.pages}; split the file"
        )
    encrypted = pdfium.FPDF_GetSecurityHandlerRevision(pdf) >= 0
    structure = read_structure(path, password if encrypted else None, count)
    yield DocumentInfo(PDF, structure.title, count, encrypted, structure.metadata)
    yield from (PageWarning(None, message) for message in structure.warnings)
    if not _has_end_mark(path):
        # said of the last page, so that the document counts as partly read
        yield PageWarning(count, "the file ends early (no end-of-file mark); pages after this may be missing")
    yield from _pages(pdf, structure, count, limits.page_characters, start, step)


def open_document(path: Source, password: str | None) -> Any:
    """A pypdfium2 document with at least one page; PDFium's refusals as our errors."""
    try:
        return open_pdf(path, password)
    except pypdfium2.PdfiumError as error:
        raise _refusal(path, password, error.err_code) from None


def _refusal(path: Source, password: str | None, code: int | None) -> UnreadableDocument:
    match code:
        case pdfium.FPDF_ERR_PASSWORD if password:
            return WrongPassword(f"{path.name}: the password does not open this PDF")
        case pdfium.FPDF_ERR_PASSWORD:
            return PasswordRequired(
                f"{path.name}: this PDF is encrypted; give its password, see `attest ingest`"
            )
        case pdfium.FPDF_ERR_SECURITY:
            return UnsupportedFormat(
                f"{path.name}: this PDF is encrypted in a way that is not supported; save an unencrypted copy"
            )
        case pdfium.FPDF_ERR_SUCCESS:
            return NoPages(f"{path.name}: this PDF has no pages")
    return DamagedFile(
        f"{path.name}: this PDF is damaged or cut off and cannot be opened; get a fresh copy of the file"
    )


def _has_end_mark(path: Source) -> bool:
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _TAIL_BYTES))
        return b"%%EOF" in file.read()


@dataclass(frozen=True, eq=False)
class _Raw:
    """A page before its neighbours are known. found: None where the page is damaged."""

    number: int
    found: PageText | None
    warnings: list[PageWarning]
    confidence: float | None
    sheet: Sheet


def _pages(
    pdf: Any,
    structure: Structure,
    count: int,
    most_characters: int,
    start: Start,
    step: Callable[[], None],
) -> Read:
    by_page = {
        page: list(entries) for page, entries in groupby(structure.outline, key=lambda entry: entry.page)
    }
    detector = HeadingDetector(below=max((entry.level for entry in structure.outline), default=0))
    for number, text in enumerate(start.texts, 1):
        detector.merge(text, _declared(text, by_page.get(number - 1, [])))
    first = max(start.after + 1 - _NEIGHBOURS, 1)  # read again, for what they share with those behind them
    raws = _raw_pages(pdf, range(first, count + 1), most_characters, step)
    for raw, neighbours in _with_neighbours(raws):
        if raw.number <= start.after:
            continue
        number, label, found = raw.number, structure.labels[raw.number - 1], raw.found
        yield from raw.warnings
        if found is None:
            yield Page(number, label, "", boxes=np.empty((0, 4), dtype=np.float32))
            continue
        declared = _declared(found.text, by_page.get(number - 1, []))
        apart = margins(raw.sheet, neighbours)
        headings = tuple(
            heading
            for heading in detector.merge(found.text, declared)
            if heading in declared or not any(left <= heading.start < right for left, right in apart)
        )
        yield Page(
            number,
            label,
            found.text,
            found.width,
            found.height,
            found.boxes,
            headings,
            raw.confidence,
            apart,
        )


def _with_neighbours(pages: Iterator[_Raw]) -> Iterator[tuple[_Raw, list[Sheet]]]:
    """Each page with the sheets of the pages around it; holds no more pages than that."""
    window: deque[_Raw] = deque()
    before: deque[Sheet] = deque(maxlen=_NEIGHBOURS)
    for page in itertools.chain(pages, [None] * _NEIGHBOURS):
        if page is not None:
            window.append(page)
        if len(window) > _NEIGHBOURS or (page is None and window):
            raw = window.popleft()
            yield raw, [*before, *(other.sheet for other in window)]
            before.append(raw.sheet)


def _raw_pages(pdf: Any, numbers: range, most_characters: int, step: Callable[[], None]) -> Iterator[_Raw]:
    @lru_cache(maxsize=1)
    def hyphenation() -> Hyphenation:
        return Hyphenation(_look_ahead(pdf, min(len(pdf), _LOOK_AHEAD_PAGES)))

    for number in numbers:
        warnings: list[PageWarning] = []
        confidence = None
        try:
            page = pdf[number - 1]
            try:
                found = page_text(page, most_characters, hyphenation)
                if _wants_recognition(page, found):
                    found, confidence = _recognised(page, found, number, warnings, step)
                elif (better := unravelled(found.text, found.boxes)) is not None:
                    found = replace(found, text=better[0], boxes=better[1])
            finally:
                page.close()
        except (pypdfium2.PdfiumError, ValueError, OverflowError, KeyError) as error:
            warnings = [
                PageWarning(number, f"page {number} is damaged and was left out ({type(error).__name__})")
            ]
            yield _Raw(number, None, warnings, None, Sheet("", None, None, None))
            continue
        if found.cut:
            text = f"page {number}: text after {most_characters} characters was left out"
            warnings.append(PageWarning(number, text))
        sheet = Sheet(found.text, found.boxes, found.width, found.height)
        yield _Raw(number, found, warnings, confidence, sheet)


def _wants_recognition(page: Any, found: PageText) -> bool:
    if not found.text.strip():
        return not found.blank
    if is_garbage(found.text):
        return True
    return is_sparse(found.text) and is_scan(found.text, picture_share(page))


def _recognised(
    page: Any, found: PageText, number: int, warnings: list[PageWarning], step: Callable[[], None]
) -> tuple[PageText, float | None]:
    """The page with what recognition finds beside its own text, or in its place where that is garbage."""
    own = found.text.strip() and not is_garbage(found.text)
    scan = None
    try:
        picture = page_picture(page, LONGEST_SIDE, DOTS_PER_INCH)
        blank = is_blank(picture)
        if not blank:
            size = found.width, found.height
            scan = read_scan(picture, size, step, (found.text, found.boxes) if own else None)
    except (NotRecognised, MemoryError, pypdfium2.PdfiumError) as error:
        warnings.append(
            PageWarning(
                number, f"page {number} has no text layer and cannot be recognised ({type(error).__name__})"
            )
        )
        return found, None
    if scan is None:
        if not blank and not found.text.strip():
            text = f"page {number} has no text layer, and no text was recognised on it"
            warnings.append(PageWarning(number, text))
        return found, None
    warnings += scan_warnings(number, scan.confidence, scan.late)
    return replace(found, text=scan.text, boxes=scan.boxes), scan.confidence


def _declared(text: str, entries: list[OutlineEntry]) -> list[Heading]:
    headings, after = [], 0
    for entry in entries:
        start = place(text, entry.title, after)
        after = after if start is None else start
        headings.append(Heading(start or 0, entry.level, entry.title))
    return headings


def _look_ahead(pdf: Any, count: int) -> list[str]:
    texts = []
    for index in range(count):
        try:
            page = pdf[index]
        except pypdfium2.PdfiumError:
            continue  # the page is reported when its turn comes
        try:
            texts.append(plain_text(page))
        except pypdfium2.PdfiumError:
            continue
        finally:
            page.close()
    return texts
