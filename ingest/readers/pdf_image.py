"""Draws one PDF page with PDFium, as a PNG. Runs only inside the reading process."""

import io
import math
from pathlib import Path
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from ingest.errors import DamagedFile, NoSuchPage
from ingest.readers.pdf import open_document

_MAX_PIXELS = 40_000_000


def page_image(path: Path, number: int, width_px: int, password: str | None) -> bytes:
    """PNG of page `number` (1-based), `width_px` wide, or narrower where it would exceed 40 megapixels.

    Raises NoSuchPage, DamagedFile and what opening a PDF raises.
    """
    pdf = open_document(path, password)
    if not 1 <= number <= len(pdf):
        raise NoSuchPage(f"{path.name}: there is no page {number}; the document has {len(pdf)}")
    try:
        if pdf.get_formtype() in (pdfium.FORMTYPE_ACRO_FORM, pdfium.FORMTYPE_XFA_FOREGROUND):
            pdf.init_forms()
        page = pdf[number - 1]
        bitmap = page.render(scale=_scale(page, width_px), rev_byteorder=True)
    except (pypdfium2.PdfiumError, ValueError, OverflowError) as error:
        raise DamagedFile(
            f"{path.name}: page {number} cannot be drawn ({type(error).__name__}); re-save the file"
        ) from None
    png = io.BytesIO()
    # A page is drawn while a person waits; higher levels save a tenth of the bytes for twice the time.
    bitmap.to_pil().save(png, format="PNG", compress_level=1)
    return png.getvalue()


def _scale(page: Any, width_px: int) -> float:
    """Pixels per point. PDFium rounds the size up, so aim a hair below the wanted width."""
    width, height = page.get_size()
    if width <= 0 or height <= 0:
        raise ValueError("a page without extent")
    scale = (width_px - 1e-3) / width
    return float(min(scale, math.sqrt(_MAX_PIXELS / (width * height))))
