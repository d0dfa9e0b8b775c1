"""What Word stores of each paragraph of a DOC beside its text: heading level, table cell, end of a table row.

[MS-DOC] 2.4.6.1: a list of 512-byte pages (PapxFkp), each mapping ranges of file offsets to a style number
and a list of property changes (sprms, 2.6.2). If they are broken all paragraphs are ordinary ones; nothing
fails.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

_PAGE = 512
_IN_TABLE, _ENDS_ROW, _OUTLINE, _HEADER_ROW = 0x2416, 0x2417, 0x2640, 0x3404
_TABLE_DEFINITION, _TABS = 0xD608, 0xC615
_OPERAND_BYTES = {0: 1, 1: 1, 2: 2, 3: 4, 4: 2, 5: 2, 7: 3}
_HEADINGS = range(1, 10)  # styles of these numbers are "heading 1" to "heading 9" in every document


@dataclass(frozen=True)
class Properties:
    """level: of a heading, 1..9. ends_row: the mark ends a row, not a cell. is_header: of that row."""

    level: int | None = None
    in_table: bool = False
    ends_row: bool = False
    is_header: bool = False


class Paragraphs:
    """Properties of the paragraph at a file offset. pages: PlcBtePapx, from the table stream."""

    def __init__(self, main: bytes, pages: bytes) -> None:
        self._starts: list[int] = []
        self._properties: list[Properties] = []
        try:
            for start, properties in sorted(_all(main, pages), key=lambda item: item[0]):
                self._starts.append(start)
                self._properties.append(properties)
        except (struct.error, IndexError):
            self._starts, self._properties = [], []

    def __bool__(self) -> bool:
        return bool(self._starts)

    def at(self, offset: int) -> Properties:
        """Properties of the paragraph that the character at `offset` of the main stream belongs to."""
        found = bisect_right(self._starts, offset) - 1
        return self._properties[found] if found >= 0 else Properties()


def _all(main: bytes, pages: bytes) -> Iterator[tuple[int, Properties]]:
    count = max((len(pages) - 4) // 8, 0)
    for number in struct.unpack_from(f"<{count}I", pages, 4 * (count + 1)):
        page = main[_PAGE * (number & 0x3FFFFF) :][:_PAGE]
        if len(page) < _PAGE:
            continue
        runs = page[_PAGE - 1]
        starts = struct.unpack_from(f"<{runs}I", page, 0)
        for at, start in enumerate(starts):
            place = 2 * page[4 * (runs + 1) + 13 * at]
            yield start, _properties(page, place) if place else Properties()


def _properties(page: bytes, place: int) -> Properties:
    size = 2 * page[place] - 1
    begin = place + 1
    if size < 0:
        size, begin = 2 * page[place + 1], place + 2
    (style,) = struct.unpack_from("<H", page, begin)
    level = style if style in _HEADINGS else None
    flags = dict.fromkeys((_IN_TABLE, _ENDS_ROW, _HEADER_ROW), False)
    for change, operand in _changes(page[begin + 2 : begin + size]):
        if change in flags:
            flags[change] = bool(operand[0])
        elif change == _OUTLINE:
            level = operand[0] + 1 if operand[0] < 9 else None
    return Properties(level, flags[_IN_TABLE], flags[_ENDS_ROW], flags[_HEADER_ROW])


def _changes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 2 < len(data):
        (change,) = struct.unpack_from("<H", data, at)
        at += 2
        size = _OPERAND_BYTES.get(change >> 13)
        if size is None and change == _TABLE_DEFINITION:
            size = struct.unpack_from("<H", data, at)[0] + 1 if at + 2 <= len(data) else len(data)
        elif size is None:
            if change == _TABS and data[at] == 255:
                return  # its length follows rules of its own; what comes behind it is rarely of use
            size = data[at] + 1
        if at + size > len(data):
            return
        yield change, data[at : at + size]
        at += size
