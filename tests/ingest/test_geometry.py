import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.geometry import rectangles

NAN = float("nan")


def grid(lines: int, columns: int, width: float = 6, height: float = 10, pitch: float = 14) -> np.ndarray:
    """Characters of a page of text: after each line a row without a box, as for a line break."""
    rows = []
    for line in range(lines):
        y = 20 + line * pitch
        rows += [(50 + i * width, y, 50 + (i + 1) * width, y + height) for i in range(columns)]
        rows.append((NAN,) * 4)
    return np.array(rows, dtype=np.float32)


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(1, 6), st.integers(2, 20), st.data())
def test_rectangles_hold_exactly_the_span(lines: int, columns: int, data: st.DataObject) -> None:
    boxes = grid(lines, columns)
    start = data.draw(st.integers(0, len(boxes)))
    end = data.draw(st.integers(start, len(boxes)))
    found = rectangles(boxes, start, end)
    centres = np.stack([boxes[:, [0, 2]].mean(axis=1), boxes[:, [1, 3]].mean(axis=1)], axis=1)
    inside = [any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in found) for x, y in centres]
    wanted = [start <= i < end and not np.isnan(boxes[i, 0]) for i in range(len(boxes))]
    assert inside == wanted


def test_one_rectangle_a_line() -> None:
    assert rectangles(grid(3, 5), 2, 16) == [(62, 20, 80, 30), (50, 34, 80, 44), (50, 48, 74, 58)]


def test_columns_are_not_joined() -> None:
    boxes = np.array([(0, 0, 5, 10), (5, 0, 10, 10), (200, 0, 205, 10)], dtype=np.float32)
    assert rectangles(boxes, 0, 3) == [(0, 0, 10, 10), (200, 0, 205, 10)]


def test_four_directions_and_accents() -> None:
    right = [(i * 5.0, 0.0, i * 5 + 5.0, 10.0) for i in range(6)]
    down = [(0.0, i * 5.0, 10.0, i * 5 + 5.0) for i in range(6)]
    for row in (right, right[::-1], down, down[::-1]):
        assert len(rectangles(np.array(row, dtype=np.float32), 0, 6)) == 1
    accent = [*right, (26.0, -2.0, 29.0, 8.0)]
    assert rectangles(np.array(accent, dtype=np.float32), 0, 7) == [(0, -2, 30, 10)]


def test_a_bullet_of_several_lines_takes_in_none_of_them() -> None:
    bullet = (18.0, 20.0, 36.0, 42.0)
    boxes = np.array([bullet, (38, 20, 44, 28), (44, 20, 50, 28), (38, 28, 44, 36)], dtype=np.float32)
    assert rectangles(boxes, 0, 4) == [bullet, (38, 20, 50, 28), (38, 28, 44, 36)]


def test_nothing_gives_nothing() -> None:
    assert rectangles(np.empty((0, 4), dtype=np.float32), 0, 0) == []
    assert rectangles(np.full((3, 4), np.nan, dtype=np.float32), 0, 3) == []
