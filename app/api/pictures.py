"""A page's picture with passages marked on it. Knows rectangles in points, not documents."""

import io
from collections.abc import Sequence

from PIL import Image, ImageChops, ImageDraw

from app.answering.answer import Rect

MARKER = (255, 226, 122)  # as a highlighter: what is dark stays dark


def marked(png: bytes, rectangles: Sequence[Rect], page_width: float) -> bytes:
    """The picture multiplied with the marker's colour inside `rectangles`: points from the top left."""
    with Image.open(io.BytesIO(png)) as opened:
        picture = opened.convert("RGB")
    scale = picture.width / page_width
    marker = Image.new("RGB", picture.size, "white")
    draw = ImageDraw.Draw(marker)
    for rectangle in rectangles:
        draw.rectangle([round(edge * scale) for edge in rectangle], fill=MARKER)
    out = io.BytesIO()
    ImageChops.multiply(picture, marker).save(out, "PNG")
    return out.getvalue()
