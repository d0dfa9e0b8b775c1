"""Which reader reads which media type; a parser is imported when the first file needs it.

A new format is a line here, a name in ingest.document and a way to recognise it in ingest.media.
"""

from collections.abc import Callable
from importlib import import_module
from typing import cast

from ingest.document import (
    BEGINNING,
    CSV,
    DOC,
    DOCX,
    EML,
    EPUB,
    HTML,
    MARKDOWN,
    ODP,
    ODS,
    ODT,
    PDF,
    PICTURES,
    PPTX,
    RTF,
    TEXT,
    TSV,
    XLSX,
    XML,
    Read,
    Start,
)
from ingest.limits import Limits
from ingest.readers.source import Source

# Each takes the file; those of `_LIMITED` take the password, the limits and `step` too, as PDF's does.
_READERS: dict[str, tuple[str, str]] = {
    PDF: ("ingest.readers.pdf", "read_pdf"),
    DOCX: ("ingest.readers.docx", "read_docx"),
    HTML: ("ingest.readers.html", "read_html"),
    MARKDOWN: ("ingest.readers.markdown", "read_markdown"),
    TEXT: ("ingest.readers.text", "read_text"),
    RTF: ("ingest.readers.rtf", "read_rtf"),
    DOC: ("ingest.readers.doc", "read_doc"),
    ODT: ("ingest.readers.odf", "read_odt"),
    ODS: ("ingest.readers.odf", "read_ods"),
    ODP: ("ingest.readers.odf", "read_odp"),
    XLSX: ("ingest.readers.xlsx", "read_xlsx"),
    PPTX: ("ingest.readers.pptx", "read_pptx"),
    EPUB: ("ingest.readers.epub", "read_epub"),
    EML: ("ingest.readers.eml", "read_eml"),
    CSV: ("ingest.readers.csv", "read_csv"),
    TSV: ("ingest.readers.csv", "read_tsv"),
    XML: ("ingest.readers.xml_document", "read_xml"),
    **dict.fromkeys(PICTURES, ("ingest.readers.picture", "read_picture")),
}
_LIMITED = frozenset({EML})


def read_as(
    source: Source,
    media_type: str,
    password: str | None,
    limits: Limits,
    start: Start = BEGINNING,
    step: Callable[[], None] = lambda: None,
) -> Read:
    """What the reader of `media_type` yields: pages behind `start` of what may have to be recognised (PDFs
    and pictures), everything of other files.

    step: called while a page is being recognised, again and again.
    """
    module, name = _READERS[media_type]
    reader = getattr(import_module(module), name)
    if media_type in (PDF, *PICTURES):
        return cast(Read, reader(source, password, limits, start, step))
    return cast(Read, reader(source, password, limits, step) if media_type in _LIMITED else reader(source))
