"""What reading a document yields: what it is, its pages one by one, and what went wrong on the way.

Plain values; nothing here knows a file format, a process or a tokenizer.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML = "text/html"
MARKDOWN = "text/markdown"
TEXT = "text/plain"
RTF = "application/rtf"
DOC = "application/msword"
ODT = "application/vnd.oasis.opendocument.text"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
ODP = "application/vnd.oasis.opendocument.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
EPUB = "application/epub+zip"
EML = "message/rfc822"
CSV = "text/csv"
TSV = "text/tab-separated-values"
XML = "application/xml"
PICTURES = ("image/png", "image/jpeg", "image/tiff", "image/gif", "image/bmp", "image/webp")
MEDIA_TYPES = (
    PDF, DOCX, HTML, MARKDOWN, TEXT,
    RTF, DOC, ODT, ODS, ODP, XLSX, PPTX, EPUB, EML, CSV, TSV, XML, *PICTURES,
)  # fmt: skip
DRAWN = (PDF, *PICTURES)  # pages of these can be drawn: see ingest.render


@dataclass(frozen=True)
class Heading:
    """start: code-point offset in the page's text. level: 1 is the outermost. text: on one line."""

    start: int
    level: int
    text: str


@dataclass(frozen=True, eq=False)
class Page:
    """One page, or one section of at most about 6000 characters where the format has no pages.

    number: 1-based. label: as printed ("iv", "A-3"). width, height: PDF points as displayed, None without
    pages. boxes: (len(text), 4) float32, x0 y0 x1 y1 in PDF points from the top left of the page as it is
    displayed (rotation and crop applied), NaN rows for characters without a box; None without pages.
    headings: ascending by start. confidence: how sure text recognition was of the page's text (0..1), None
    where the text is the document's own. margins: stretches [start, end) of the text, ascending and apart,
    that stand on the page but in no reference: running heads and feet, page and line numbers.
    """

    number: int
    label: str
    text: str
    width: float | None = None
    height: float | None = None
    boxes: npt.NDArray[np.float32] | None = None
    headings: tuple[Heading, ...] = ()
    confidence: float | None = None
    margins: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class DocumentInfo:
    """Known before the first page. metadata: lower-case names ("author", "creationdate") to plain text."""

    media_type: str
    title: str | None
    page_count: int
    encrypted: bool
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PageWarning:
    """Something that could not be read; the rest could. page: 1-based, None for the whole document."""

    page: int | None
    message: str


@dataclass(frozen=True)
class Start:
    """Where a reading that was interrupted goes on, and what a reader has to know of the pages before.

    after: the last page that is not needed again. spoken: whether any page so far had text. damaged: how many
    could not be read. texts: of each page so far, for headings depend on those before.
    """

    after: int = 0
    spoken: bool = False
    damaged: int = 0
    texts: tuple[str, ...] = ()


BEGINNING = Start()

Read = Iterator[DocumentInfo | Page | PageWarning]
