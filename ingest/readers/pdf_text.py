"""The text of one PDF page with a box for every character, through PDFium's C interface.

The two calls per character run inside C loops (`map` over bound function pointers that write straight into
one array), about a million characters a second; text and boxes are then cleaned together as arrays.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pypdfium2
import pypdfium2.raw as pdfium

from ingest.readers.clean import Codes, clean_codes, join_surrogates, to_text
from ingest.readers.hyphens import MARK, Hyphenation
from ingest.readers.source import Source
from ingest.readers.symbols import is_private, symbol

Boxes = npt.NDArray[np.float32]

_HYPHEN_MARKS = (0x02, 0xFFFE)  # what PDFium reports for a hyphen that ends a line
_BOX_BYTES = 16  # FS_RECTF: left, top, right, bottom as 32-bit floats
_SOFT_HYPHEN = 0xAD  # in a PDF it stands for a drawn hyphen


@dataclass(frozen=True, eq=False)
class PageText:
    """text; boxes (len(text), 4) in points from the top left as displayed; size in points as displayed.

    cut: whether text beyond the limit was left out. blank: whether nothing at all is drawn on the page.
    """

    text: str
    boxes: Boxes
    width: float
    height: float
    cut: bool
    blank: bool


def page_text(page: Any, limit: int, hyphenation: Callable[[], Hyphenation]) -> PageText:
    """Read an open pypdfium2 page; `hyphenation` is asked only if a line ends in a hyphen.

    Raises pypdfium2.PdfiumError if the page's text cannot be loaded.
    """
    text_page = page.get_textpage()
    try:
        count = max(text_page.count_chars(), 0)
        codes, boxes = _characters(text_page, min(count, limit))
        _replace_symbols(text_page, codes)
    finally:
        text_page.close()
    width, height = page.get_size()
    boxes = _displayed(boxes, page.get_bbox(), page.get_rotation())
    text, boxes = _cleaned(codes, boxes, hyphenation)
    blank = not text and pdfium.FPDFPage_CountObjects(page) == 0
    return PageText(text, boxes, width, height, count > limit, blank)


def _bound(function: Any, result: Any, *arguments: Any) -> Any:
    # PYFUNCTYPE keeps the interpreter lock: releasing it for every character costs more than the call.
    address = ctypes.cast(function, ctypes.c_void_p).value or 0
    return ctypes.PYFUNCTYPE(result, *arguments)(address)


_get_unicode = _bound(pdfium.FPDFText_GetUnicode, ctypes.c_uint, ctypes.c_void_p, ctypes.c_int)
_get_loose_box = _bound(
    pdfium.FPDFText_GetLooseCharBox, ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p
)


def _characters(text_page: Any, count: int) -> tuple[Codes, Boxes]:
    """Code points (n,) and boxes (n, 4) as left, top, right, bottom in the page's own coordinates."""
    handle = ctypes.cast(text_page.raw, ctypes.c_void_p).value
    codes = np.fromiter(map(_get_unicode, repeat(handle), range(count)), dtype=np.uint32, count=count)
    boxes = np.full((count, 4), np.nan, dtype=np.float32)  # a row that PDFium refuses stays NaN
    start = boxes.ctypes.data
    rows = range(start, start + _BOX_BYTES * count, _BOX_BYTES)
    found = np.fromiter(map(_get_loose_box, repeat(handle), range(count), rows), dtype=np.int32, count=count)
    boxes[found == 0] = np.nan
    return codes, boxes


def _replace_symbols(text_page: Any, codes: Codes) -> None:
    for index in np.flatnonzero((codes >= 0xF020) & (codes <= 0xF0FF)).tolist():
        code = int(codes[index])
        found = symbol(code, _font_name(text_page, index)) if is_private(code) else None
        if found is not None:
            codes[index] = ord(found)


def _font_name(text_page: Any, index: int) -> str:
    buffer = ctypes.create_string_buffer(128)
    flags = ctypes.c_int()
    length = pdfium.FPDFText_GetFontInfo(text_page, index, buffer, len(buffer), flags)
    return buffer.raw[: max(0, min(length, len(buffer)) - 1)].decode("utf-8", "replace")


def _displayed(boxes: Boxes, bbox: tuple[float, float, float, float], rotation: int) -> Boxes:
    """From the page's own coordinates (origin bottom left) to points from the top left as displayed."""
    left, bottom, right, top = bbox
    x = boxes[:, (0, 2)]
    y = boxes[:, (1, 3)]
    match rotation:  # clockwise
        case 90:
            across, down = y - bottom, x - left
        case 180:
            across, down = right - x, y - bottom
        case 270:
            across, down = top - y, right - x
        case _:
            across, down = x - left, top - y
    shown = np.stack(
        [across.min(axis=1), down.min(axis=1), across.max(axis=1), down.max(axis=1)], axis=1
    )  # (n, 4)
    shown[~np.isfinite(shown).all(axis=1)] = np.nan
    return np.ascontiguousarray(shown, dtype=np.float32)


def _cleaned(codes: Codes, boxes: Boxes, hyphenation: Callable[[], Hyphenation]) -> tuple[str, Boxes]:
    codes, keep = join_surrogates(codes)
    codes, boxes = codes[keep], boxes[keep]
    codes[codes == _SOFT_HYPHEN] = ord("-")
    codes, keep = _hyphens(codes, hyphenation)
    codes, boxes = codes[keep], boxes[keep]
    codes, keep = clean_codes(codes)
    codes, boxes = codes[keep], boxes[keep]
    shapeless = (boxes[:, 0] >= boxes[:, 2]) | (boxes[:, 1] >= boxes[:, 3])
    boxes[(codes == 0x0A) | (shapeless & (codes <= 0x20))] = np.nan
    return to_text(codes), boxes


def _hyphens(codes: Codes, hyphenation: Callable[[], Hyphenation]) -> tuple[Codes, npt.NDArray[np.bool_]]:
    keep = np.ones(len(codes), dtype=np.bool_)
    marks = np.flatnonzero(np.isin(codes, _HYPHEN_MARKS))
    if marks.size:
        known = hyphenation()
        codes[marks] = ord(MARK)
        text = to_text(np.where(codes > 0x10FFFF, 0xFFFD, codes).astype(np.uint32))
        for mark in marks.tolist():
            keep[mark] = not known.is_soft(text, mark)
        codes[marks] = ord("-")
    return codes, keep


def plain_text(page: Any) -> str:
    """Text only, line-end hyphens as `hyphens.MARK`; quick, for looking ahead."""
    text_page = page.get_textpage()
    try:
        if text_page.count_chars() <= 0:
            return ""
        return str(text_page.get_text_range()).replace("\x02", MARK)
    finally:
        text_page.close()


def open_pdf(path: Source, password: str | None) -> Any:
    """A pypdfium2 document. Raises pypdfium2.PdfiumError with PDFium's `err_code`."""
    return pypdfium2.PdfDocument(path if isinstance(path, Path) else path.read_bytes(), password=password)
