"""The order in which stretches of a page's lines are read: columns one after the other.

Knows rectangles only. Text that lies in two columns of prose is taken out of its row-by-row order; tables,
whose cells do not fill their columns, and pages of one column stay as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Hulls = npt.NDArray[np.float64]

_LEAST_LINES = 6  # in each of two columns
_FILLED = 0.6  # share of its column that the median line of prose takes
_LEAST_WIDTH = 0.25  # of the page's text width that the median line of a column takes
_MOST_ACROSS = 0.3  # share of lines that may run across both columns (titles, abstracts, feet)
_GUTTER_WITHIN = (0.3, 0.7)  # share of the page's text width
_GAP = 1.2  # gap within a line, in line heights, that may be a gutter
_SAME_ROW = 0.5  # share of the smaller height that two pieces of one row overlap


@dataclass(frozen=True)
class Columns:
    """side: -1 left, 1 right, 0 across, one for each line."""

    side: npt.NDArray[np.int8]
    bands: int


def columns(hulls: Hulls) -> Columns | None:
    """Two columns of prose among lines (n, 4: x0 y0 x1 y1), None if there are not."""
    if len(hulls) < 2 * _LEAST_LINES:
        return None
    left, right = float(hulls[:, 0].min()), float(hulls[:, 2].max())
    low, high = (left + share * (right - left) for share in _GUTTER_WITHIN)
    places = np.linspace(low, high, 81)
    across = ((hulls[:, 0, None] < places) & (hulls[:, 2, None] > places)).sum(axis=0)  # (81,)
    best = np.flatnonzero(across == across.min())
    gutter = float(places[best[len(best) // 2]])
    side = np.where(hulls[:, 2] <= gutter, -1, np.where(hulls[:, 0] >= gutter, 1, 0)).astype(np.int8)
    if (side == 0).sum() > _MOST_ACROSS * len(hulls):
        return None
    for which in (-1, 1):
        column = hulls[side == which]
        if len(column) < _LEAST_LINES:
            return None
        extent = float(np.percentile(column[:, 2], 90) - np.percentile(column[:, 0], 10))
        typical = float(np.median(column[:, 2] - column[:, 0]))
        if typical < _FILLED * extent or typical < _LEAST_WIDTH * (right - left):
            return None
    return Columns(side, _bands(hulls, side).max() + 1)


def order(hulls: Hulls, found: Columns) -> list[int]:
    """Band by band, the left column before the right one; what runs across stands between the bands."""
    middle = (hulls[:, 1] + hulls[:, 3]) / 2
    band = _bands(hulls, found.side)
    rank = np.where(found.side == 0, 2, found.side)
    return [int(i) for i in np.lexsort((hulls[:, 0], middle, rank, band))]


def _bands(hulls: Hulls, side: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """Which stretch of the page's height each line belongs to: one ends with every line across."""
    middle = (hulls[:, 1] + hulls[:, 3]) / 2
    borders = np.sort(middle[side == 0])
    return np.searchsorted(borders, middle, side="left").astype(np.int64)


def is_interleaved(found: Columns) -> bool:
    """Whether lines in their present order jump between the columns more than reading them needs."""
    beside = found.side[found.side != 0]
    jumps = int((beside[1:] != beside[:-1]).sum())
    return jumps > max(4, 2 * found.bands)


def rows(hulls: Hulls) -> list[list[int]]:
    """Lines that stand beside each other, left to right, and these rows from top to bottom."""
    found: list[list[int]] = []
    bottom = height = 0.0
    for index in np.argsort((hulls[:, 1] + hulls[:, 3]) / 2, kind="stable").tolist():
        _, y0, _, y1 = hulls[index].tolist()
        if found and bottom - y0 >= _SAME_ROW * min(height, y1 - y0):
            found[-1].append(index)
            continue
        found.append([index])
        bottom, height = y1, y1 - y0
    return [sorted(row, key=lambda i: float(hulls[i, 0])) for row in found]


@dataclass(frozen=True)
class Piece:
    """Characters [start, end) of a page's text that stand on one line without a wide gap."""

    start: int
    end: int
    hull: tuple[float, float, float, float]


def pieces(text: str, boxes: npt.NDArray[np.float32], split: bool = True) -> list[Piece]:
    """The lines of a page's text that have boxes; cut at wide gaps if `split`."""
    found: list[Piece] = []
    start = 0
    for line in text.split("\n"):
        end = start + len(line)
        found += _line_pieces(boxes, start, end, split)
        start = end + 1
    return found


def _line_pieces(boxes: npt.NDArray[np.float32], start: int, end: int, split: bool) -> list[Piece]:
    inside = start + np.flatnonzero(~np.isnan(boxes[start:end, 0]))
    if not inside.size:
        return []
    hulls = boxes[inside].astype(np.float64)
    cuts: list[int] = []
    if split and len(inside) > 1:
        height = float(np.median(hulls[:, 3] - hulls[:, 1]))
        gap = np.maximum(hulls[1:, 0] - hulls[:-1, 2], hulls[:-1, 0] - hulls[1:, 2])
        cuts = (1 + np.flatnonzero(gap > _GAP * height)).tolist()
    found = []
    for first, last in zip([0, *cuts], [*cuts, len(inside)], strict=True):
        part = hulls[first:last]
        hull = (*part[:, :2].min(axis=0).tolist(), *part[:, 2:].max(axis=0).tolist())
        found.append(Piece(int(inside[first]), int(inside[last - 1]) + 1, hull))
    return found


def hulls_of(found: Sequence[Piece]) -> Hulls:
    return np.array([piece.hull for piece in found], dtype=np.float64).reshape(-1, 4)


def unravelled(text: str, boxes: npt.NDArray[np.float32]) -> tuple[str, npt.NDArray[np.float32]] | None:
    """Text and boxes with two interleaved columns set one after the other; None where nothing is to do."""
    found = pieces(text, boxes)
    hulls = hulls_of(found)
    two = columns(hulls)
    if two is None or not is_interleaved(two):
        return None
    parts: list[str] = []
    rows_: list[npt.NDArray[np.float32]] = []
    for index in order(hulls, two):
        piece = found[index]
        parts.append(text[piece.start : piece.end] + "\n")
        rows_ += [boxes[piece.start : piece.end], np.full((1, 4), np.nan, dtype=np.float32)]
    return "".join(parts)[:-1], np.concatenate(rows_)[:-1]
