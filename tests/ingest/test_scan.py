import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from ingest import errors
from ingest.document import Page
from ingest.geometry import rectangles
from ingest.media import sniff
from ingest.readers.scan import is_garbage
from ingest.render import render_page
from tests.ingest.conftest import Reading
from tests.ingest.make_pdf import make_pdf, text_sheet

Keep = Callable[[str, bytes | str], Path]
SENTENCE = "The tenant shall pay a rent of 1,250 dollars"


def drawn(*lines: str, turns: int = 0) -> Image.Image:
    """A page of 4.25 by 2.75 inches at 160 dots per inch, the lines 60 pixels apart."""
    picture = Image.new("L", (680, 440), "white")
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        pen.text((30, 40 + 60 * number), line, fill="black", font=ImageFont.load_default(26))
    return picture.rotate(90 * turns, expand=True)


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    return file.getvalue()


def lines(page: Page) -> list[str]:
    return [line for line in page.text.split("\n") if line]


def only_page(reading: Reading) -> Page:
    (page,) = reading.pages
    return page


def test_a_scanned_page_has_text_and_boxes_where_it_is_drawn(keep: Keep) -> None:
    path = keep("scan.pdf", saved(drawn(SENTENCE, "on the first day of May."), "PDF", resolution=160.0))
    reading = Reading(path)
    page = only_page(reading)
    assert reading.warnings == []
    assert lines(page) == [SENTENCE, "on the first day of May."]
    assert page.confidence is not None
    assert page.confidence > 0.9
    start = page.text.index("dollars")
    assert page.boxes is not None
    ((x0, y0, x1, y1),) = rectangles(page.boxes, start, start + 7)
    font = ImageFont.load_default(26)
    left = 30 + font.getlength(SENTENCE.removesuffix("dollars"))
    assert x0 == pytest.approx(left * 72 / 160, abs=5)
    assert x1 == pytest.approx((30 + font.getlength(SENTENCE)) * 72 / 160, abs=5)
    assert 40 * 72 / 160 - 5 < y0 < y1 < 75 * 72 / 160 + 5


@pytest.mark.parametrize("turns", [1, 2])
def test_a_scan_that_lies_on_its_side_is_read(keep: Keep, turns: int) -> None:
    page = only_page(Reading(keep("turned.png", saved(drawn(SENTENCE, SENTENCE, turns=turns), "PNG"))))
    assert lines(page) == [SENTENCE, SENTENCE]
    assert page.boxes is not None
    first, last = (np.nanmean(page.boxes[part], axis=0) for part in (slice(0, 9), slice(35, 44)))
    if turns == 1:  # counter-clockwise: the line runs up
        assert first[1] > last[1]
    else:
        assert first[0] > last[0]


def test_text_of_its_own_is_never_read_again(keep: Keep) -> None:
    page = only_page(Reading(keep("own.pdf", make_pdf(text_sheet("Lease", SENTENCE)))))
    assert (page.confidence, page.text) == (None, f"Lease\n{SENTENCE}")


def test_a_tiff_has_a_page_for_each_frame(keep: Keep) -> None:
    frames = [drawn(SENTENCE), Image.new("L", (680, 440), "white")]
    data = saved(frames[0], "TIFF", save_all=True, append_images=frames[1:], dpi=(160, 160))
    path = keep("two.tif", data)
    reading = Reading(path)
    assert [page.text for page in reading.pages] == [SENTENCE, ""]
    assert reading.pages[0].width == pytest.approx(306)
    assert Image.open(io.BytesIO(render_page(path, 2, 100))).size == (100, 65)
    with pytest.raises(errors.NoSuchPage):
        render_page(path, 3, 100)


def test_the_orientation_in_a_photograph_is_applied(keep: Keep) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    path = keep("photo.jpg", saved(drawn(SENTENCE, turns=1), "JPEG", exif=exif, quality=95))
    page = only_page(Reading(path))
    assert page.text == SENTENCE
    assert page.width is not None
    assert page.height is not None
    assert page.width > page.height


def test_a_picture_too_large_to_decode_is_refused_before_it_is(keep: Keep) -> None:
    path = keep("bomb.png", saved(Image.new("1", (20_000, 20_000)), "PNG"))
    with pytest.raises(errors.TooLarge, match=r"bomb\.png: page 1 has 20000 x 20000 pixels"):
        Reading(path)
    with pytest.raises(errors.TooLarge):
        render_page(path, 1, 100)


def test_a_blank_scan_has_no_text_and_says_so(keep: Keep) -> None:
    with pytest.raises(errors.NoText, match="no text was found on any of its 1 pages"):
        Reading(keep("blank.png", saved(Image.new("L", (400, 400), "white"), "PNG")))


def test_a_broken_picture_is_damaged(keep: Keep) -> None:
    data = saved(drawn(SENTENCE), "PNG")
    with pytest.raises(errors.DamagedFile, match=r"half\.png"):
        Reading(keep("half.png", data[: len(data) // 2]))


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("GIF", "image/gif"), ("BMP", "image/bmp"),
     ("TIFF", "image/tiff"), ("WEBP", "image/webp")],
)  # fmt: skip
def test_pictures_are_known_by_their_content(keep: Keep, kind: str, media_type: str) -> None:
    assert sniff(keep("picture", saved(drawn(SENTENCE), kind))) == media_type


@pytest.mark.parametrize(
    ("text", "garbage"),
    [
        ("\ue001\ue002\ue003 \ue004\ufffd", True),
        ("Xtn bcrds wthtv wls " * 30, True),
        (SENTENCE * 20, False),
        ("Der Mietvertrag endet am 31. Dezember; la locataire paie le loyer. " * 5, False),
        ("租户应在每月第一天支付租金。" * 10, False),
        ("1,250 17 2020 | 44.1 % ......... 12 " * 30, False),
        ("", False),
    ],
)
def test_what_a_text_layer_is_worth(text: str, garbage: bool) -> None:
    assert is_garbage(text) is garbage


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("scanned_image-pdf.pdf", "allocates water rights within the Red River basin"),
        ("scanned_gov.uscourts.cand.203070.27.0.pdf", "353 Sacramento Street"),
        ("scanned_ocr_pdf_variation.pdf", "UNITED"),
    ],
)
def test_real_scans_can_be_cited(shared_data: Path, name: str, phrase: str) -> None:
    reading = Reading(shared_data / "documents" / "legal" / name)
    page = reading.pages[0]
    start = page.text.index(phrase)
    assert page.confidence is not None
    assert page.confidence > 0.9
    assert page.boxes is not None
    marked = rectangles(page.boxes, start, start + len(phrase))
    assert 1 <= len(marked) <= 2
    assert all(0 <= x0 < x1 <= 612 and 0 <= y0 < y1 <= 792 for x0, y0, x1, y1 in marked)
