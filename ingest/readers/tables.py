"""Rows of tables as text that still says, wherever it is cut, which column a value belongs to.

A table with a header becomes the header's own line, then one paragraph a row: "Drug: Humira; Dose: 40 mg". A
row too long for one reference becomes several, each beginning with the row's first cell, and a cell too long
is cut at sentences and labelled again. A table without a header, or whose first row is a value as likely as a
header, keeps its cells side by side: "May | € 5". All formats write their tables through here.

Knows cells, not where they came from.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ingest.readers.flow import Block

_LONGEST_LABEL = 60
_LONGEST_ROW = 60  # tokens as `_cost` guesses them: under the share of a reference that a cut must fill
_MOST_HEADS = 4
MOST_COLUMNS = 1024
_FIGURE = re.compile(r"[^\w]*(?:[A-Z]{3}\s*)?\d[\d\s.,/:%€$£()±–-]*\s?[\w%€$£°/]{0,6}[)*]*")
_SENTENCE_END = re.compile(r"(?<=[.!?;。！？])\s+|\n")


@dataclass(frozen=True)
class Cell:
    """text: on one line. span: columns it stretches over, at most `MOST_COLUMNS`."""

    text: str
    span: int = 1


Row = Sequence[Cell]


class Rows:
    """Collects the cells of one table row by row; repeats those that stretch over several rows."""

    def __init__(self) -> None:
        self.rows: list[list[Cell]] = []
        self._row: list[Cell] = []
        self._column = 0
        self._falling: dict[int, tuple[Cell, int]] = {}  # by column: a cell, and the rows it still covers

    def add(self, text: str, span: int = 1, down: int = 1) -> None:
        """The next cell of the open row. down: rows it stretches over."""
        self._fill()
        cell = Cell(text, max(1, min(span, MOST_COLUMNS)))
        if down > 1:
            self._falling[self._column] = cell, down
        self._put(cell)

    def end_row(self) -> None:
        """The open row is complete."""
        self._fill()
        if any(cell.text for cell in self._row):
            self.rows.append(self._row)
        self._falling = {at: (cell, left - 1) for at, (cell, left) in self._falling.items() if left > 1}
        self._row, self._column = [], 0

    def _fill(self) -> None:
        while self._column in self._falling and self._column < MOST_COLUMNS:
            self._put(self._falling[self._column][0])

    def _put(self, cell: Cell) -> None:
        self._row.append(cell)
        self._column += cell.span


def cells(texts: Iterable[str]) -> list[Cell]:
    """A row of cells of one column each."""
    return [Cell(text) for text in texts]


def table(rows: Sequence[Row], heads: int | None = None) -> Iterator[Block]:
    """Blocks of one table. heads: how many first rows are its header, None where the format does not say.

    A cell that stretches over several rows is to be repeated in each of them.
    """
    rows = [row for row in rows if any(cell.text for cell in row)]
    if heads is None:
        heads = 1 if is_header(rows) else 0
    heads = min(heads, _MOST_HEADS)
    if not 0 < heads < len(rows) or _width(rows[0]) < 2:
        for at, row in enumerate(rows):
            yield Block(beside(row), tight=at > 0)
        return
    labels = _labels(rows[:heads])
    for at, row in enumerate(rows[:heads]):
        yield Block(beside(row), tight=at > 0)
    for row in rows[heads:]:
        for text in labelled(row, labels):
            yield Block(text)


def beside(row: Row) -> str:
    """A row without labels; empty cells are left out."""
    return " | ".join(cell.text for cell in row if cell.text)


def labelled(row: Row, labels: Sequence[str]) -> Iterator[str]:
    """A row as one line, or as several that each begin with its first cell."""
    parts: list[tuple[str, str]] = []
    column = 0
    for cell in row:
        over = list(dict.fromkeys(label for label in labels[column : column + cell.span] if label))
        if cell.text:
            if len(over) > 1 and column == 0 and cell.span >= len(labels):
                over = []  # a title inside the table
            parts.append((", ".join(over), cell.text))
        column += cell.span
    first = _part(*parts[0])
    if _cost(first) > _LONGEST_ROW / 2:
        first = ""
    line, used = "", 0.0
    for at, (label, value) in enumerate(parts):
        for text in _short(label, value, _LONGEST_ROW - (_cost(first) if at else 0)):
            cost = _cost(text)
            if line and used + cost > _LONGEST_ROW:
                yield line
                line, used = (first, _cost(first)) if at else ("", 0.0)
            line = f"{line}; {text}" if line else text
            used += cost
    yield line


def is_header(rows: Sequence[Row]) -> bool:
    """Whether the first row names the columns, by its form: a wrong label misleads more than none.

    There must be figures below words, an empty corner, or short names above long texts; in two columns, which
    may as well be names and values ("Name | Ann"), figures in the second alone.
    """
    if len(rows) < 3 or any(cell.span != 1 for cell in rows[0]):
        return False
    first, below = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    names = [cell.text for cell in first]
    if len(names) < 2 or len(below) < 2 or not all(names[1:]):
        return False
    if len({name.casefold() for name in names}) < len(names) or any(map(is_value, names)):
        return False
    figures = [
        all(_is_figure(row[column].text) for row in below if row[column].text)
        and any(row[column].text for row in below)
        for column in range(len(names))
    ]
    if len(names) == 2:
        return figures[1] and not figures[0]
    texts = [cell.text for row in below for cell in row if cell.text]
    is_short = 3 * sum(map(len, names)) * len(texts) < sum(map(len, texts)) * len(names)
    return any(figures) or not names[0] or is_short


def is_value(name: str) -> bool:
    """Whether a cell is more likely a value than the name of a column."""
    if re.fullmatch(r"(?:19|20)\d\d", name):
        return False  # years head columns
    return len(name) > _LONGEST_LABEL or name.endswith((".", ":", ";")) or _is_figure(name)


def _is_figure(text: str) -> bool:
    return len(text) <= 40 and bool(_FIGURE.fullmatch(text))


def _width(row: Row) -> int:
    return sum(cell.span for cell in row)


def _labels(heads: Sequence[Row]) -> list[str]:
    """One label a column: the header's cells above it, outermost first."""
    width = min(max(map(_width, heads)), MOST_COLUMNS)
    columns: list[list[str]] = [[] for _ in range(width)]
    for head in heads:
        column = 0
        for cell in head:
            for over in columns[column : column + cell.span]:
                if cell.text and cell.text not in over:
                    over.append(cell.text)
            column += cell.span
    return [_label(" ".join(over)) for over in columns]


def _label(text: str) -> str:
    text = text.rstrip(" :")
    if len(text) <= _LONGEST_LABEL:
        return text
    return (text[:_LONGEST_LABEL].rsplit(" ", 1)[0] or text[:_LONGEST_LABEL]) + "…"


def _part(label: str, value: str) -> str:
    return f"{label}: {value}" if label else value


def _short(label: str, value: str, most: float) -> Iterator[str]:
    """A cell, cut at sentences or else at words where it is too long for one line, labelled each time."""
    if _cost(_part(label, value)) <= most:
        yield _part(label, value)
        return
    room = max(most - _cost(label), _LONGEST_ROW / 3)
    held = ""
    for piece in (word for sentence in _SENTENCE_END.split(value) for word in _words(sentence, room)):
        if held and _cost(held) + _cost(piece) > room:
            yield _part(label, held)
            held = ""
        held = f"{held} {piece}" if held else piece
    if held:
        yield _part(label, held)


def _words(sentence: str, room: float) -> Iterator[str]:
    """A sentence whole, or cut at white space if it has no room."""
    held: list[str] = []
    used = 0.0
    for word in sentence.split(" ") if _cost(sentence) > room else [sentence]:
        if held and used + _cost(word) > room:
            yield " ".join(held)
            held, used = [], 0.0
        held.append(word)
        used += _cost(word)
    if held:
        yield " ".join(held)


def _cost(text: str) -> float:
    """A guess at the tokens of `text`: letters come in fours, figures and signs one by one."""
    letters = sum(c.isascii() and c.isalpha() for c in text)
    spaces = text.count(" ")
    return 0.3 * letters + (len(text) - letters - spaces)
