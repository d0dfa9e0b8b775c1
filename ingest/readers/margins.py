"""Running heads and feet, page and line numbers: part of a page, not of its argument.

A line at the edge of a page is running if a neighbouring page has the same line, numbers aside, at the same
place, and everything between it and the edge is running too. Numbers are line numbers if they count from 1
down the left side in even steps over most of the page.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.readers.layout import Piece, pieces

Span = tuple[int, int]
Boxes = npt.NDArray[np.float32]

_EDGE = 0.12  # share of the height at top and bottom where running lines stand
_SAME_PLACE = 0.012  # of the height
_NUMBER = re.compile(r"\d+|\b[ivxlc]{1,7}\b")
_LINE_NUMBER = re.compile(r"(?<!\S)\d{1,2}(?!\S)[ \t]?\n?")
_LEFT = 0.25  # share of the width in which line numbers end
_ALIGNED = 10.0  # points from one number to the next; two digits begin further left
_MOST_MISSING = 2  # numbers in a row that recognition may have lost
_LEAST_NUMBERS = 12
_LEAST_LAST, _MOST_LAST = 20, 40  # pleadings count to 28, transcripts to 25
_PRESENT = 0.8  # share of the numbers up to the last that must be there
_LEAST_HEIGHT = 0.5  # share of the page that they run down


_Number = tuple[int, int, int, float, float, float, float]  # start, end, value, box


@dataclass(frozen=True)
class _EdgeLine:
    start: int
    end: int
    key: str
    middle: float
    top: bool


class Sheet:
    """What comparing neighbouring pages needs of one page."""

    def __init__(self, text: str, boxes: Boxes | None, width: float | None, height: float | None) -> None:
        self.text, self.boxes = text, boxes
        self.width, self.height = width or 0.0, height or 0.0
        lines = pieces(text, boxes, split=False) if boxes is not None and self.height > 0 else []
        self.lines = sorted(lines, key=lambda line: line.hull[1] + line.hull[3])
        self.edges = [edge for line in self.lines if (edge := self._edge(line)) is not None]

    def _edge(self, line: Piece) -> _EdgeLine | None:
        _, y0, _, y1 = line.hull
        top, foot = y1 <= _EDGE * self.height, y0 >= (1 - _EDGE) * self.height
        if not top and not foot:
            return None
        return _EdgeLine(
            line.start, line.end, _key(self.text[line.start : line.end]), (y0 + y1) / 2 / self.height, top
        )

    def repeats(self, edge: _EdgeLine) -> bool:
        """Whether this page has a neighbour's edge line too."""
        return any(
            own.key == edge.key and own.top == edge.top and abs(own.middle - edge.middle) <= _SAME_PLACE
            for own in self.edges
        )


def margins(sheet: Sheet, neighbours: Iterable[Sheet]) -> tuple[Span, ...]:
    """Stretches of the sheet's text that are no part of its argument, ascending, apart from each other."""
    # A page that was scanned twice repeats everything; that makes none of it a running head.
    others = [other for other in neighbours if other.text != sheet.text]
    numbers = _line_numbers(sheet)
    found = _merged([*_running(sheet, others, numbers), *numbers], sheet.text)
    # A page that is nothing but such lines is about them: "Exhibit 7" alone on a sheet.
    return found if _leaves_text(sheet.text, found) else ()


def _leaves_text(text: str, spans: Sequence[Span]) -> bool:
    after = 0
    for start, end in spans:
        if text[after:start].strip():
            return True
        after = end
    return bool(text[after:].strip())


def _running(sheet: Sheet, others: Sequence[Sheet], numbers: Sequence[Span]) -> list[Span]:
    found: list[Span] = []
    for top in (True, False):
        edges = [edge for edge in sheet.edges if edge.top == top]
        for edge in edges if top else reversed(edges):
            if any(start <= edge.start and edge.end <= end for start, end in numbers):
                continue
            if not any(other.repeats(edge) for other in others):
                break
            found.append((edge.start, edge.end))
    return found


def _line_numbers(sheet: Sheet) -> list[Span]:
    if sheet.boxes is None or sheet.width <= 0:
        return []
    words = [
        (m.start(), m.end(), int(m.group()), *sheet.boxes[m.start()].tolist())
        for m in _LINE_NUMBER.finditer(sheet.text)
        if not np.isnan(sheet.boxes[m.start(), 0])
    ]
    words = [word for word in words if word[5] <= _LEFT * sheet.width]
    chains = [_chain(word, words) for word in words if word[2] == 1]
    return max((_counted(chain, sheet.height) for chain in chains), key=len, default=[])


def _chain(first: _Number, words: Sequence[_Number]) -> list[_Number]:
    """Numbers that count on from `first`, each below the one before and near its left; scans lean."""
    chain = [first]
    for value in range(2, _MOST_LAST + 1):
        last = chain[-1]
        below = [w for w in words if w[2] == value and w[4] > last[4] and abs(w[3] - last[3]) <= _ALIGNED]
        if below:
            chain.append(min(below, key=lambda word: word[4]))
        elif value - last[2] > _MOST_MISSING:
            break
    return chain


def _counted(chain: Sequence[_Number], height: float) -> list[Span]:
    """The chain's places, if it is one of line numbers."""
    values = np.array([word[2] for word in chain], dtype=np.float64)
    if len(values) < _LEAST_NUMBERS or values[-1] < _LEAST_LAST:
        return []
    middles = np.array([(word[4] + word[6]) / 2 for word in chain])
    step, first = np.polyfit(values, middles, 1)
    fits = np.abs(first + step * values - middles) <= 0.5 * abs(step)
    if step <= 0 or fits.sum() < _PRESENT * values[-1] or np.ptp(middles[fits]) < _LEAST_HEIGHT * height:
        return []
    return [(word[0], word[1]) for word, fit in zip(chain, fits, strict=True) if fit]


def _merged(spans: Iterable[Span], text: str) -> tuple[Span, ...]:
    """Ordered, each with the white space behind it, joined where they touch."""
    found: list[Span] = []
    for start, end in sorted(spans):
        while end < len(text) and text[end].isspace():
            end += 1
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return tuple(found)


def _key(line: str) -> str:
    return _NUMBER.sub("#", " ".join(line.split()).casefold())
