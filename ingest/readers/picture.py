"""Picture files (PNG, JPEG, TIFF, GIF, BMP, WebP): each frame of a TIFF is a page, of others the first one.

Pillow decodes them, and only after their header has said how large they are. Pages stand as a viewer shows
them (EXIF orientation applied); their size in points comes from the file's dots per inch, where these make
sense. All text on them is recognised.
"""

import io
import math
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

from ingest.document import DocumentInfo, Page, PageWarning, Read, Start
from ingest.errors import DamagedFile, NoSuchPage, TooLarge, UnreadableDocument
from ingest.headings import HeadingDetector
from ingest.limits import Limits
from ingest.readers.recognition import LONGEST_SIDE, NotRecognised, Picture
from ingest.readers.scan import LOW_CONFIDENCE, is_blank, read_scan
from ingest.readers.source import Source

_MOST_PIXELS = 150_000_000  # 450 MB as red, green and blue
_MOST_DRAWN = 40_000_000
_USUAL_DPI = 150.0
_SUBTYPES = {"JPEG": "jpeg", "MPO": "jpeg", "TIFF": "tiff", "GIF": "gif", "BMP": "bmp", "WEBP": "webp"}
_SANE_DPI = (50.0, 1200.0)


def read_picture(
    path: Source, password: str | None, limits: Limits, start: Start, step: Callable[[], None]
) -> Read:
    """Yield the document's information, then a page for each frame behind `start`; none has a password.

    Raises DamagedFile or TooLarge.
    """
    with _opened(path) as file:
        count = _pages(file)
        if count > limits.pages:
            raise TooLarge(
                f"{path.name}: {count} pages are more than the limit of {limits.pages}; split the file"
            )
        yield DocumentInfo(f"image/{_SUBTYPES.get(file.format or '', 'png')}", None, count, False)
        detector = HeadingDetector()
        for text in start.texts:
            detector.merge(text)
        for number in range(start.after + 1, count + 1):
            try:
                picture, (width, height) = _frame(path, file, number, LONGEST_SIDE)
            except UnreadableDocument as error:
                if count == 1:
                    raise
                yield PageWarning(number, str(error))
                yield Page(number, str(number), "")
                continue
            blue_first = np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])
            yield from recognised(blue_first, number, str(number), (width, height), detector, step)


def recognised(
    picture: Picture,
    number: int,
    label: str,
    size: tuple[float, float],
    detector: HeadingDetector,
    step: Callable[[], None],
) -> Read:
    """The page that a picture shows, and what was wrong with it."""
    try:
        scan = None if is_blank(picture) else read_scan(picture, size, step)
    except NotRecognised as error:
        yield PageWarning(number, f"page {number}: text recognition failed ({error})")
        scan = None
    else:
        if scan is None and not is_blank(picture):
            yield PageWarning(number, f"page {number} is a picture in which no text was recognised")
    if scan is None:
        yield Page(number, label, "", *size, np.empty((0, 4), dtype=np.float32))
        return
    yield from scan_warnings(number, scan.confidence, scan.late)
    headings = detector.merge(scan.text)
    yield Page(number, label, scan.text, *size, scan.boxes, headings, scan.confidence)


def scan_warnings(number: int, confidence: float, late: bool) -> list[PageWarning]:
    """What a reader of a recognised page has to know."""
    found = []
    if late:
        found.append(PageWarning(number, f"page {number}: recognition took too long; some text is missing"))
    if confidence < LOW_CONFIDENCE:
        found.append(
            PageWarning(
                number,
                f"page {number}: its text was recognised with a confidence of only {confidence:.0%}; "
                "compare it with the page",
            )
        )
    return found


def picture_image(path: Source, number: int, width_px: int) -> bytes:
    """PNG of page `number` (1-based), `width_px` wide, or narrower where it would exceed 40 megapixels.

    Raises NoSuchPage, DamagedFile or TooLarge.
    """
    with _opened(path) as file:
        if not 1 <= number <= _pages(file):
            raise NoSuchPage(f"{path.name}: there is no page {number}; it has {_pages(file)}")
        picture, (width, height) = _frame(path, file, number, max(width_px, LONGEST_SIDE) * 2)
        scale = min(width_px / width, math.sqrt(_MOST_DRAWN / (width * height)))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        png = io.BytesIO()
        picture.resize(size, Image.Resampling.LANCZOS).save(png, format="PNG", compress_level=1)
        return png.getvalue()


def _opened(path: Source) -> Image.Image:
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None  # `_frame` decides, frame by frame
    try:
        return Image.open(path.open("rb"))
    except (OSError, ValueError, SyntaxError, ArithmeticError) as error:
        raise _damaged(path, error) from None


def _pages(file: Image.Image) -> int:
    return int(getattr(file, "n_frames", 1)) if file.format == "TIFF" else 1


def _frame(
    path: Source, file: Image.Image, number: int, longest: int
) -> tuple[Image.Image, tuple[float, float]]:
    """The frame as red, green and blue, at most `longest` pixels long, and its size in points, as shown."""
    try:
        file.seek(number - 1)
        if file.width * file.height > _MOST_PIXELS:
            raise TooLarge(
                f"{path.name}: page {number} has {file.width} x {file.height} pixels, more than the limit of "
                f"{_MOST_PIXELS // 10**6} million; save it with fewer dots per inch"
            )
        width, height = _points(file)
        file.draft("RGB", (longest, longest))  # JPEG: decoded smaller
        shown = file.copy()
        shown.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=2.0)
        upright = ImageOps.exif_transpose(shown)
        if (upright.width < upright.height) != (shown.width < shown.height):
            width, height = height, width
        return _on_white(upright), (width, height)
    except (OSError, ValueError, SyntaxError, EOFError, ArithmeticError, KeyError, TypeError) as error:
        raise _damaged(path, error, f"page {number} ") from None


def _points(file: Image.Image) -> tuple[float, float]:
    across, down = file.info.get("dpi", (_USUAL_DPI, _USUAL_DPI))[:2]
    if not all(_SANE_DPI[0] <= float(dpi) <= _SANE_DPI[1] for dpi in (across, down)):
        across = down = _USUAL_DPI
    return 72 * file.width / float(across), 72 * file.height / float(down)


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):  # 16 bits and more: stretch what is there over 8
        values = np.asarray(picture, dtype=np.float64)
        low, high = float(values.min()), float(values.max())
        grey = (values - low) / max(high - low, 1e-9) * 255
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    shown = picture.convert("RGBA")
    white = Image.new("RGBA", shown.size, "white")
    return Image.alpha_composite(white, shown).convert("RGB")


def _damaged(path: Source, error: Exception, what: str = "") -> DamagedFile:
    return DamagedFile(
        f"{path.name}: {what}cannot be decoded as a picture ({type(error).__name__}); save it again"
    )
