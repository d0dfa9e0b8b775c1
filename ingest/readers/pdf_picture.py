"""An open PDF page as pixels for text recognition, and how much of it pictures cover."""

from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pypdfium2.raw as pdfium

_MOST_OBJECTS = 2000  # looked at for pictures; a scan has a handful


def page_picture(page: Any, longest: int, dots_per_inch: int) -> npt.NDArray[np.uint8]:
    """(H, W, 3) blue, green, red, as displayed, at most `longest` pixels long.

    Raises ValueError for a page without extent, pypdfium2.PdfiumError if it cannot be drawn.
    """
    width, height = page.get_size()
    if width <= 0 or height <= 0:
        raise ValueError("a page without extent")
    scale = min(dots_per_inch / 72, longest / max(width, height))
    drawn = page.render(scale=scale).to_numpy()
    if drawn.ndim == 2 or drawn.shape[2] == 1:
        drawn = np.repeat(drawn.reshape(*drawn.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(drawn[:, :, :3])


def picture_share(page: Any) -> float:
    """Share of the page that its largest picture covers, 0..1."""
    left, bottom, right, top = page.get_bbox()
    area = (right - left) * (top - bottom)
    most = 0.0
    for picture in islice(page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=3), _MOST_OBJECTS):
        x0, y0, x1, y1 = picture.get_bounds()
        across, down = min(x1, right) - max(x0, left), min(y1, top) - max(y0, bottom)
        most = max(most, max(across, 0.0) * max(down, 0.0))
    return most / area if area > 0 else 0.0
