"""Text for pages that have none, or none that can be used: decides which, and puts recognised lines in order.

Decided page by page, and never for a page whose own text can be read: measured on the 1,345 readable pages of
the real and the broken PDFs at hand, the text of a good page of any language has at most 16 % of characters
without meaning, and 70 % or more of its words in Latin letters have a vowel.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ingest.readers.hyphens import MARK, Hyphenation
from ingest.readers.layout import columns, order, pieces, rows
from ingest.readers.recognition import Line, Picture, hull, recognise

Boxes = npt.NDArray[np.float32]

_MOST_MEANINGLESS = 0.3  # share of the characters that stand for nothing
_FEWEST_VOWELS = 0.4  # share of the words that have one
_ENOUGH_WORDS = 40
_STAMP = 300  # characters; a court's stamp has 120
_ONLY_A_STAMP = 100  # characters beside which any picture may hold the text
_SMALL_PICTURE = 0.003  # share of the page; less holds no line of text
_FULL_PAGE = 0.7  # share of the page that a scan's picture covers
_SAME_PLACE = 0.5  # share of a recognised line that covers the page's own text
_PARAGRAPH = 0.9  # gap in line heights
_WIDE = 2.0  # gap within a row, in line heights
_BLANK = 2.0  # standard deviation of a picture's brightness, of 255
LOW_CONFIDENCE = 0.8

_LATIN_WORD = re.compile(r"[A-Za-z]{2,}")
_VOWEL = re.compile(r"[aeiouy]", re.I)


@dataclass(frozen=True, eq=False)
class Scan:
    """confidence: mean of the recognised characters, 0..1. late: time ran out before the last line."""

    text: str
    boxes: Boxes
    confidence: float
    late: bool


def is_garbage(text: str) -> bool:
    """Whether a text layer spells nothing: a font without a map to Unicode, or with a wrong one."""
    solid = [character for character in text if not character.isspace()]
    if not solid:
        return False
    meaningless = sum(c == "\ufffd" or "\ue000" <= c <= "\uf8ff" or c >= "\U000f0000" for c in solid)
    if meaningless > _MOST_MEANINGLESS * len(solid):
        return True
    words = _LATIN_WORD.findall(text)
    if len(words) < _ENOUGH_WORDS or sum(map(len, words)) < len(solid) / 2:
        return False
    return sum(_VOWEL.search(word) is not None for word in words) < _FEWEST_VOWELS * len(words)


def is_sparse(text: str) -> bool:
    """Whether a page's own text may be no more than a stamp on a scan."""
    return sum(not character.isspace() for character in text) < _STAMP


def is_scan(text: str, picture_share: float) -> bool:
    """Whether a page with sparse text is a scan, by the share of it that its largest picture covers."""
    return picture_share >= (_SMALL_PICTURE if len(text) < _ONLY_A_STAMP else _FULL_PAGE)


def is_blank(picture: Picture) -> bool:
    """Whether nothing is to be seen: the back of a sheet."""
    return float(picture.std()) < _BLANK


def read_scan(
    picture: Picture,
    size: tuple[float, float],
    step: Callable[[], None],
    own: tuple[str, Boxes] | None = None,
) -> Scan | None:
    """Recognise a picture of a page of `size` (points); None if it shows no more text than `own`.

    own: the page's own text and boxes, which are kept where they are. Raises NotRecognised.
    """
    found, late = recognise(picture, step)
    scale = np.array([size[0] / picture.shape[1], size[1] / picture.shape[0]] * 2, dtype=np.float32)
    new = [
        replace(line, boxes=line.boxes * scale, hull=tuple((np.array(line.hull) * scale).tolist()))
        for line in found
    ]
    kept = _own_lines(*own) if own else []
    taken = np.array([line.hull for line in kept], dtype=np.float64).reshape(-1, 4)
    new = [line for line in new if not _covers(np.array(hull(line.boxes)), taken)]
    if not new:
        return None
    weights = [len(line.text) for line in new]
    confidence = float(np.average([line.score for line in new], weights=weights))
    text, boxes = _in_order([*kept, *new])
    return Scan(text, boxes, min(max(confidence, 0.0), 1.0), late)


def _own_lines(text: str, boxes: Boxes) -> list[Line]:
    return [
        Line(text[piece.start : piece.end], boxes[piece.start : piece.end], 1.0, piece.hull)
        for piece in pieces(text, boxes)
    ]


def _covers(hull: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> bool:
    if not len(others):
        return False
    across = np.minimum(hull[2], others[:, 2]) - np.maximum(hull[0], others[:, 0])
    down = np.minimum(hull[3], others[:, 3]) - np.maximum(hull[1], others[:, 1])
    covered = float((np.clip(across, 0, None) * np.clip(down, 0, None)).sum())
    return covered > _SAME_PLACE * float((hull[2] - hull[0]) * (hull[3] - hull[1]))


def _in_order(lines: Sequence[Line]) -> tuple[str, Boxes]:
    """One text of all lines, column by column or row by row, with their boxes."""
    hulls = np.array([line.hull for line in lines], dtype=np.float64)
    two = columns(hulls)
    in_rows = rows(hulls) if two is None else [[index] for index in order(hulls, two)]
    height = float(np.median(hulls[:, 3] - hulls[:, 1]))
    text: list[str] = []
    boxes: list[Boxes] = []
    for number, row in enumerate(in_rows):
        if number:
            gap = hulls[row, 1].min() - hulls[in_rows[number - 1], 3].max()
            _separate(text, boxes, "\n\n" if gap > _PARAGRAPH * height else "\n")
        for place, index in enumerate(row):
            if place:
                gap = hulls[index, 0] - hulls[row[place - 1], 2]
                _separate(text, boxes, "\t" if gap > _WIDE * height else " ")
            text.append(lines[index].text)
            boxes.append(lines[index].boxes)
    return _unhyphenated("".join(text), np.concatenate(boxes))


def _separate(text: list[str], boxes: list[Boxes], separator: str) -> None:
    text.append(separator)
    boxes.append(np.full((len(separator), 4), np.nan, dtype=np.float32))


def _unhyphenated(text: str, boxes: Boxes) -> tuple[str, Boxes]:
    """Words broken at the end of a line whole again, as in a PDF's own text: the break follows the word."""
    marked = re.sub(r"(?<=[^\W\d_])-\n(?=[^\W\d_])", MARK, text)
    known = Hyphenation([marked])
    keep = np.ones(len(text), dtype=np.bool_)
    for shift, mark in enumerate(match.start() for match in re.finditer(MARK, marked)):
        if known.is_soft(marked, mark):
            keep[mark + shift : mark + shift + 2] = False
    if keep.all():
        return text, boxes
    return "".join(text[index] for index in np.flatnonzero(keep)), boxes[keep]
