"""Plain text: form feeds are page breaks; a file without them becomes sections."""

import re
from collections.abc import Iterator

from ingest.document import TEXT, DocumentInfo, Page, Read
from ingest.headings import HeadingDetector
from ingest.readers.clean import clean
from ingest.readers.decoding import decode
from ingest.readers.flow import Block, read_flow
from ingest.readers.source import Source

_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")


def read_text(path: Source) -> Read:
    """Yield the information and pages (form feeds) or sections of a text file."""
    text = decode(path.read_bytes())
    pages = text.split("\f")
    while len(pages) > 1 and not pages[-1].strip():
        pages.pop()  # a form feed after the last page
    if len(pages) == 1:
        yield from read_flow(TEXT, None, {}, paragraphs(clean(text)))
        return
    yield DocumentInfo(TEXT, None, len(pages), False)
    detector = HeadingDetector()
    for number, raw in enumerate(pages, 1):
        page = clean(raw).strip("\n")
        yield Page(number, str(number), page, headings=detector.merge(page))


def paragraphs(text: str) -> Iterator[Block]:
    """Blocks of cleaned text: what blank lines keep apart."""
    for paragraph in _PARAGRAPH.split(text):
        body = paragraph.strip("\n").rstrip()
        if body.strip():
            yield Block(body)
