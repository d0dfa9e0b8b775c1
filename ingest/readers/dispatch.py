"""Which reader reads which media type; a parser is imported when the first file needs it.

A new format is a line here, a name in ingest.document and a way to recognise it in ingest.media.
"""

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

# Each function takes the file; those of `_LIMITED` take the password and the limits too, as PDF's does.
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
}
_LIMITED = frozenset({EML})


def read_as(
    source: Source, media_type: str, password: str | None, limits: Limits, start: Start = BEGINNING
) -> Read:
    """What the reader of `media_type` yields: a PDF's pages behind `start`, everything of other files."""
    module, name = _READERS[media_type]
    reader = getattr(import_module(module), name)
    if media_type == PDF:
        return cast(Read, reader(source, password, limits, start))
    return cast(Read, reader(source, password, limits) if media_type in _LIMITED else reader(source))
