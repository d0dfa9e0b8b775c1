"""XLSX through openpyxl, read row by row: the values that the workbook shows, each sheet under its name.

Formulas count as their last computed value. Hidden sheets are read, as a search in the program finds them.
"""

import datetime
import warnings
from collections.abc import Iterator
from typing import Any

import openpyxl
from lxml import etree
from openpyxl.utils.exceptions import InvalidFileException

from ingest.document import XLSX, PageWarning, Read
from ingest.readers.archive import BROKEN, damaged, embedded, open_archive
from ingest.readers.clean import one_line
from ingest.readers.flow import Block, read_flow
from ingest.readers.sheets import sheet
from ingest.readers.source import Source
from ingest.readers.tables import MOST_COLUMNS

_WHAT = "Excel workbook"
_MOST_CELLS = 2_000_000
_FAILED = (InvalidFileException, etree.XMLSyntaxError, SyntaxError, TypeError, AttributeError, *BROKEN)


def read_xlsx(path: Source) -> Read:
    """Yield the information and sections of a workbook.

    Raises what opening an archive raises (ingest.readers.archive), DamagedFile for broken workbooks.
    """
    warnings.simplefilter("ignore")  # openpyxl's complaints quote the document
    archive = open_archive(path, _WHAT)
    try:
        book = openpyxl.load_workbook(path.open("rb"), read_only=True, data_only=True, keep_links=False)
        properties = book.properties
        named = {"title": properties.title, "author": properties.creator, "subject": properties.subject}
        metadata = {name: text for name, value in named.items() if value and (text := one_line(value, 1000))}
        reader = _Reader()
        blocks = list(reader.blocks(book))
    except _FAILED as error:
        raise damaged(path, _WHAT, error) from None
    pages = 0
    for item in read_flow(XLSX, metadata.get("title"), metadata, blocks):
        pages = getattr(item, "number", pages)
        yield item
    if reader.left_out:
        # said of the last section, so that the document counts as partly read
        yield PageWarning(pages, f"rows after {_MOST_CELLS} cells were left out, first in {reader.left_out}")
    yield from embedded(archive)


class _Reader:
    def __init__(self) -> None:
        self.left_out = ""  # name of the first sheet that was not read to its end
        self._cells = 0

    def blocks(self, book: Any) -> Iterator[Block]:
        for worksheet in book.worksheets:
            name = one_line(worksheet.title, 100)
            body = list(sheet(self._rows(worksheet, name)))
            if body:
                yield Block(name, level=1)
                yield from body

    def _rows(self, worksheet: Any, name: str) -> Iterator[list[str]]:
        worksheet.reset_dimensions()  # what the file claims of its size may be anything
        for row in worksheet.iter_rows(values_only=True):
            self._cells += len(row)
            if self._cells > _MOST_CELLS:
                self.left_out = self.left_out or f"“{name}”"
                return
            yield [_shown(value) for value in row[:MOST_COLUMNS]]


def _shown(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "TRUE" if value else "FALSE"
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.12g}"
        case datetime.datetime():
            return value.isoformat(" ").removesuffix(" 00:00:00")
        case _:
            return one_line(str(value), 100_000)
