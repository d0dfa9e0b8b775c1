"""PDF: structure by pypdf (metadata, labels, outline), text, boxes and encryption by PDFium.

PDFium decides whether a file can be read at all; where pypdf fails on a file that PDFium opens, the pages
come without labels and outline, with a warning. A page that fails becomes an empty page with a warning.
"""

from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium

from ingest.document import BEGINNING, PDF, DocumentInfo, Heading, Page, PageWarning, Read, Start
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
from ingest.readers.pdf_structure import OutlineEntry, Structure, read_structure
from ingest.readers.pdf_text import open_pdf, page_text, plain_text
from ingest.readers.source import Source

_LOOK_AHEAD_PAGES = 100  # pages that are asked how the document hyphenates
_TAIL_BYTES = 2048


def read_pdf(path: Source, password: str | None, limits: Limits, start: Start = BEGINNING) -> Read:
    """Yield the document's information, then its pages behind `start` with warnings between them.

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
    yield from _pages(pdf, structure, count, limits.page_characters, start)


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


def _pages(pdf: Any, structure: Structure, count: int, most_characters: int, start: Start) -> Read:
    by_page = {
        page: list(entries) for page, entries in groupby(structure.outline, key=lambda entry: entry.page)
    }
    detector = HeadingDetector(below=max((entry.level for entry in structure.outline), default=0))
    for number, text in enumerate(start.texts, 1):
        detector.merge(text, _declared(text, by_page.get(number - 1, [])))

    @lru_cache(maxsize=1)
    def hyphenation() -> Hyphenation:
        return Hyphenation(_look_ahead(pdf, min(count, _LOOK_AHEAD_PAGES)))

    for number in range(start.after + 1, count + 1):
        label = structure.labels[number - 1]
        try:
            page = pdf[number - 1]
            try:
                found = page_text(page, most_characters, hyphenation)
            finally:
                page.close()
        except (pypdfium2.PdfiumError, ValueError, OverflowError, KeyError) as error:
            yield PageWarning(number, f"page {number} is damaged and was left out ({type(error).__name__})")
            yield Page(number, label, "", boxes=np.empty((0, 4), dtype=np.float32))
            continue
        if found.cut:
            yield PageWarning(number, f"page {number}: text after {most_characters} characters was left out")
        if not found.text.strip() and not found.blank:
            yield PageWarning(
                number, f"page {number} has no text layer; text recognition is not available yet"
            )
        declared = _declared(found.text, by_page.get(number - 1, []))
        headings = detector.merge(found.text, declared)
        yield Page(number, label, found.text, found.width, found.height, found.boxes, headings)


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
