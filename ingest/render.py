"""One page of a PDF or a picture file as a picture, drawn in a limited process of its own.

Knows how to ask, not how to draw (ingest.readers.pdf_image, ingest.readers.picture). The picture shows the
page as boxes describe it (`ingest.document.Page.boxes`): pixel = points * picture width / page width.
"""

from pathlib import Path

from ingest.errors import ReaderCrashed
from ingest.limits import DEFAULT_LIMITS, Limits
from ingest.sandbox import Child, check_file

_PNG = b"\x89PNG\r\n\x1a\n"
MIN_WIDTH, MAX_WIDTH = 16, 8000


def render_page(
    path: Path, page: int, width_px: int, password: str | None = None, limits: Limits = DEFAULT_LIMITS
) -> bytes:
    """PNG of page `page` (1-based), `width_px` wide, with form fields and annotations drawn.

    Pages so long that the picture would exceed 40 megapixels are drawn narrower, in the same proportions.
    Raises ValueError for a width outside 16..8000 and subclasses of UnreadableDocument otherwise.
    """
    if not MIN_WIDTH <= width_px <= MAX_WIDTH:
        raise ValueError(f"width_px must be {MIN_WIDTH}..{MAX_WIDTH}, got {width_px}")
    check_file(path, limits)
    request = {"task": "render", "page": page, "width_px": width_px, "password": password}
    with Child(path, request, limits) as child:
        for header, payload in child.messages():
            if header.get("kind") == "image" and payload.startswith(_PNG):
                return payload
    raise ReaderCrashed(f"{path.name}: page {page} could not be drawn")
