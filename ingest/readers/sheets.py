"""The grid of a spreadsheet as tables: a run of rows between empty rows is one table.

The first row of a run names the columns if it holds no figures; else columns are called A, B, C as the
spreadsheet does, so that every value says where it stands. Knows strings, no file format.
"""

from collections.abc import Iterable, Iterator, Sequence

from ingest.readers.flow import Block
from ingest.readers.tables import beside, cells, is_value, labelled


def sheet(rows: Iterable[Sequence[str]]) -> Iterator[Block]:
    """Blocks of one sheet, row by row: nothing but the header is held."""
    labels: list[str] | None = None
    for row in rows:
        filled = [at for at, text in enumerate(row) if text]
        if not filled:
            labels = None
        elif len(filled) == 1 and labels is None:
            yield Block(row[filled[0]])  # a title above the table
        elif labels is None:
            names = [row[at] for at in filled]
            if any(map(is_value, names)) or len({name.casefold() for name in names}) < len(names):
                labels = []
                yield from _row(row, labels)
            else:
                labels = list(row)
                yield Block(beside(cells(row)))
        else:
            yield from _row(row, labels)


def column_name(at: int) -> str:
    """A, B, ... Z, AA for columns 0, 1, ... 25, 26."""
    name = ""
    at += 1
    while at:
        at, letter = divmod(at - 1, 26)
        name = chr(65 + letter) + name
    return name


def _row(row: Sequence[str], labels: Sequence[str]) -> Iterator[Block]:
    names = [
        labels[at] if at < len(labels) and labels[at] else column_name(at) if text else ""
        for at, text in enumerate(row)
    ]
    for line in labelled(cells(row), names):
        yield Block(line)
