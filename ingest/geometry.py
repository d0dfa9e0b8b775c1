"""From character boxes to the rectangles that mark a passage.

Knows boxes, not pages or text: characters of one line become one rectangle; a new line, another column or a
jump backwards starts the next. Lines may run in any of the four directions.
"""

import math

import numpy as np
import numpy.typing as npt

Rect = tuple[float, float, float, float]

_ALIKE = 2.0  # a bullet out of a symbol font may be three lines tall, and would take them in
_SAME_LINE = 0.5  # share of the smaller extent that must overlap across the line
_MAX_GAP = 2.0  # widest gap within a line, in line heights; columns and table cells are further apart
_MAX_BACKSTEP = 0.5  # kerning and accents step back by less, in line heights


def rectangles(boxes: npt.NDArray[np.float32], start: int, end: int) -> list[Rect]:
    """Rectangles (x0, y0, x1, y1) that cover characters [start, end), in reading order.

    boxes: (n, 4) PDF points, NaN rows are skipped. Each rectangle is the exact hull of its characters.
    """
    found: list[Rect] = []
    line: Rect | None = None
    upright: bool | None = None  # None until the line has two characters
    for x0, y0, x1, y1 in boxes[max(start, 0) : end].tolist():
        if math.isnan(x0 + y0 + x1 + y1):
            continue
        box = (x0, y0, x1, y1)
        if line is None:
            line = box
            continue
        if upright is not False and _continues(line, box):
            upright, line = True, _hull(line, box)
        elif upright is not True and _continues(_transposed(line), _transposed(box)):
            upright, line = False, _hull(line, box)
        else:
            found.append(line)
            line, upright = box, None
    if line is not None:
        found.append(line)
    return found


def _continues(line: Rect, box: Rect) -> bool:
    """Whether `box` lies beside or within `line`; either side, since scripts run both ways."""
    heights = (line[3] - line[1], box[3] - box[1])
    overlap = min(line[3], box[3]) - max(line[1], box[1])
    if overlap < _SAME_LINE * min(heights) or max(heights) <= 0 or max(heights) > _ALIKE * min(heights):
        return False
    near, far = -_MAX_BACKSTEP * max(heights), _MAX_GAP * max(heights)
    if near <= box[0] - line[2] <= far or near <= line[0] - box[2] <= far:
        return True
    return line[0] <= box[0] and box[2] <= line[2]  # an accent on a letter that is already covered


def _transposed(rect: Rect) -> Rect:
    return rect[1], rect[0], rect[3], rect[2]


def _hull(a: Rect, b: Rect) -> Rect:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])
