"""CSV and TSV: rows of one table; encoding and separator are found out.

A first row without figures names the columns, else they are called as spreadsheets call them: A, B, C.
"""

import csv
import sys
from collections.abc import Iterator

from ingest.document import CSV, TSV, Read
from ingest.errors import DamagedFile
from ingest.readers.clean import one_line
from ingest.readers.decoding import decode
from ingest.readers.flow import Block, read_flow
from ingest.readers.sheets import sheet
from ingest.readers.source import Source

_SEPARATORS = ",;\t|"
_SAMPLE = 64 * 1024


def read_csv(path: Source) -> Read:
    """Yield the information and sections of a file of separated values. Raises DamagedFile."""
    text = decode(path.read_bytes())
    yield from read_flow(CSV, None, {}, _blocks(path, text, _separator(text)))


def read_tsv(path: Source) -> Read:
    """The same for tabulators. Raises DamagedFile."""
    yield from read_flow(TSV, None, {}, _blocks(path, decode(path.read_bytes()), "\t"))


def _separator(text: str) -> str:
    """The separator that cuts the first rows into the same number of columns, the more the better."""
    best = (0.0, ",")
    for separator in _SEPARATORS:
        rows = csv.reader(text[:_SAMPLE].splitlines()[:50], delimiter=separator)
        try:
            widths = [len(row) for row in rows if row]
        except csv.Error:
            continue
        common = max(set(widths), key=widths.count) if widths else 1
        if common > 1:
            best = max(best, (widths.count(common) / len(widths) + common / 10_000, separator))
    return best[1]


def _blocks(path: Source, text: str, separator: str) -> Iterator[Block]:
    csv.field_size_limit(sys.maxsize)
    try:
        rows = csv.reader(text.splitlines(keepends=True), delimiter=separator)
        yield from sheet([one_line(cell, len(cell)) for cell in row] for row in rows)
    except csv.Error:
        raise DamagedFile(
            f"{path.name}: its quotes do not match, so its columns cannot be told apart; export it again"
        ) from None
