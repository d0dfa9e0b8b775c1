"""Text recognition: a picture of a page becomes lines of text with a box for every character.

RapidOCR (PaddleOCR's models, which its wheel brings along, on onnxruntime) finds lines and reads them; this
decides how large the picture is, which way up it stands and where each character is. Nothing is downloaded,
and nothing here knows a PDF. A box lies where the recogniser saw its character, as wide as half the way to
its neighbours. Runs only inside the reading process, on one thread.
"""

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.readers.clean import clean_codes, to_codes, to_text

Picture = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float32]

LONGEST_SIDE = 1760  # pixels; 160 dots per inch of a letter page
DOTS_PER_INCH = 200  # at most, so that small pages are not blown up
_LINES_AT_ONCE = 4  # read together, padded to the longest of them; memory grows with it
_LEAST_SCORE = 0.5  # lines read with less are ruled lines, signatures and specks
_TALLEST = 100  # pixels that a line of one or two characters may be high
_SECONDS_A_PAGE = 180  # of processor time; a page of nothing but specks would take longer
_TALL = 1.5  # height over width of a line that runs up or down
_ASKED_FOR_DIRECTION = 12  # lines


@dataclass(frozen=True, eq=False)
class Line:
    """text: cleaned, not empty. boxes: (len(text), 4), x0 y0 x1 y1 in pixels of the picture. score: 0..1.

    hull: x0, y0, x1, y1 around the line once the picture stands upright; reading order goes by it.
    """

    text: str
    boxes: Boxes
    score: float
    hull: tuple[float, float, float, float]


class NotRecognised(Exception):
    """The recogniser failed on this picture."""


def recognise(picture: Picture, step: Callable[[], None]) -> tuple[list[Line], bool]:
    """The lines of a picture (H, W, 3; blue, green, red), in no order, and whether it ran out of time.

    step is called between the pieces of the work, each of which takes a second or two. Raises NotRecognised.
    """
    step()
    reader = _reader()
    step()
    started = time.process_time()
    try:
        turns, upright, corners, crops = _upright(reader, picture, step)
        lines: list[Line] = []
        order = np.argsort([crop.shape[1] / crop.shape[0] for crop in crops], kind="stable").tolist()
        late = False
        for first in range(0, len(order), _LINES_AT_ONCE):
            late = time.process_time() - started > _SECONDS_A_PAGE
            if late:
                break
            batch = order[first : first + _LINES_AT_ONCE]
            step()
            lines += _read(reader, [(corners[index], crops[index]) for index in batch])
    except Exception as error:  # noqa: BLE001 - the library and its runtime raise anything; the page is lost, not the file
        raise NotRecognised(type(error).__name__) from None
    return [replace(line, boxes=_turned_back(line.boxes, upright.shape, turns)) for line in lines], late


@cache
def _reader() -> Any:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    import cv2
    from rapidocr import RapidOCR

    cv2.setNumThreads(1)
    runtime = "EngineConfig.onnxruntime"
    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.return_word_box": True,
            "Rec.rec_batch_num": _LINES_AT_ONCE,
            f"{runtime}.intra_op_num_threads": 1,
            f"{runtime}.inter_op_num_threads": 1,
        }
    )


def _upright(
    reader: Any, picture: Picture, step: Callable[[], None]
) -> tuple[int, Picture, Sequence[Any], Sequence[Any]]:
    """Quarter turns counter-clockwise that set the picture upright, that picture, and its lines.

    Lines: four corners each, and a cut-out each.
    """
    turns, upright = 0, picture
    corners, crops = _lines(reader, upright)
    step()
    if corners and sum(map(_length, filter(_is_tall, corners))) > sum(map(_length, corners)) / 2:
        step()
        turns, upright = 1, np.ascontiguousarray(np.rot90(picture))
        corners, crops = _lines(reader, upright)
    longest = sorted(crops, key=lambda crop: -float(crop.shape[1]))[:_ASKED_FOR_DIRECTION]
    if longest and _upside_down(reader, longest):
        step()
        turns, upright = turns + 2, np.ascontiguousarray(np.rot90(upright, 2))
        corners, crops = _lines(reader, upright)
    return turns, upright, corners, crops


def _lines(reader: Any, picture: Picture) -> tuple[Sequence[Any], Sequence[Any]]:
    from rapidocr.main import RapidOCRError

    try:
        crops, found = reader.detect_and_crop(picture, {})
    except RapidOCRError:  # there are no lines
        return [], []
    kept = [(box, crop) for box, crop in zip(found.boxes, crops, strict=True) if min(crop.shape[:2]) > 0]
    return [box for box, _ in kept], [crop for _, crop in kept]


def _upside_down(reader: Any, crops: Sequence[Any]) -> bool:
    _, found = reader.cls_and_rotate(list(crops))
    votes = [score if label == "180" else -score for label, score in found.cls_res]
    return bool(sum(votes) > 0)


def _is_tall(corners: Any) -> bool:
    across = float(np.linalg.norm(corners[0] - corners[1]))
    return bool(np.linalg.norm(corners[0] - corners[3]) >= _TALL * across)


def _length(corners: Any) -> float:
    return max(float(np.linalg.norm(corners[0] - corners[1])), float(np.linalg.norm(corners[0] - corners[3])))


def _read(reader: Any, found: list[tuple[Any, Any]]) -> list[Line]:
    read = reader.recognize_txt([crop for _, crop in found])
    lines = []
    for (corners, crop), text, score, places in zip(
        found, read.txts, read.scores, read.word_results, strict=True
    ):
        if score < _LEAST_SCORE or not text.strip():
            continue
        if len(text.strip()) < 3 and min(crop.shape[:2]) > _TALLEST:
            continue  # a drawing; a black square is read as "7"
        boxes = _boxes(text, places, np.asarray(corners, dtype=np.float32), crop.shape)
        codes, keep = clean_codes(to_codes(text))
        if keep.any():
            lines.append(Line(to_text(codes[keep]), boxes[keep], float(score), hull(boxes)))
    return lines


def hull(boxes: Boxes) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 around boxes (n, 4), of which at least one is not NaN."""
    x0, y0 = np.nanmin(boxes[:, :2], axis=0).tolist()
    x1, y1 = np.nanmax(boxes[:, 2:], axis=0).tolist()
    return x0, y0, x1, y1


def _boxes(text: str, places: Any, corners: Boxes, shape: Sequence[int]) -> Boxes:
    """Boxes of a line's characters, from the columns in which the recogniser saw them."""
    seen = [column for columns in places.word_cols for column in columns]
    solid = [index for index, character in enumerate(text) if not character.isspace()]
    if len(seen) == len(solid) and seen and places.line_txt_len > 0:
        centres = np.interp(
            np.arange(len(text)), solid, (np.asarray(seen, dtype=np.float64) + 0.5) / places.line_txt_len
        )
    else:
        centres = (np.arange(len(text)) + 0.5) / len(text)
    centres = np.clip(np.maximum.accumulate(centres), 0.0, 1.0)
    borders = np.concatenate(([0.0], (centres[1:] + centres[:-1]) / 2, [1.0]))  # (characters + 1,)
    typical = float(np.median(np.diff(centres))) if len(text) > 2 else 1.0
    borders[0] = max(0.0, centres[0] - typical)
    borders[-1] = min(1.0, centres[-1] + typical)
    if shape[0] > shape[1] and _is_tall(corners):  # a single tall letter is read as it stands
        borders = np.linspace(0.0, 1.0, len(text) + 1)
    top = corners[0] + borders[:, None] * (corners[1] - corners[0])  # (characters + 1, 2)
    bottom = corners[3] + borders[:, None] * (corners[2] - corners[3])
    around = np.stack([top[:-1], top[1:], bottom[:-1], bottom[1:]])  # (4, characters, 2)
    return np.concatenate([around.min(axis=0), around.max(axis=0)], axis=1).astype(np.float32)


def _turned_back(boxes: Boxes, shape: Sequence[int], turns: int) -> Boxes:
    """From the upright picture (of `shape`) to the one that was handed in, `turns` quarters clockwise."""
    height, width = shape[0], shape[1]
    x0, y0, x1, y1 = boxes.T
    match turns % 4:
        case 1:
            back = (height - y1, x0, height - y0, x1)
        case 2:
            back = (width - x1, height - y1, width - x0, height - y0)
        case 3:
            back = (y0, width - x1, y1, width - x0)
        case _:
            return boxes
    return np.stack(back, axis=1).astype(np.float32)
