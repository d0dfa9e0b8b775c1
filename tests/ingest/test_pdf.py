from pathlib import Path

import numpy as np
import pytest
from pypdf import PdfWriter
from pypdf.constants import PageLabelStyle

from ingest import errors
from ingest.geometry import rectangles
from ingest.limits import Limits
from ingest.render import render_page
from tests.ingest.conftest import LIMITS, Reading
from tests.ingest.make_pdf import Sheet, make_pdf, rewritten, text_sheet


def test_text_boxes_and_size(keep) -> None:
    reading = Reading(keep("a.pdf", make_pdf(Sheet([(100, 700, 20, "Hello"), (100, 600, 20, "World (2)")]))))
    page = reading.pages[0]
    assert page.text.split() == ["Hello", "World", "(2)"]
    assert "\r" not in page.text
    assert "\n" in page.text
    assert (page.width, page.height) == (612, 792)
    assert page.boxes is not None
    assert page.boxes.shape == (len(page.text), 4)
    assert page.boxes.dtype == np.float32
    assert np.isnan(page.boxes[page.text.index("\n")]).all()
    x0, y0, x1, y1 = page.boxes[0]  # H: baseline at 792 - 700 = 92 from the top
    assert x0 == pytest.approx(100, abs=1)
    assert y0 < 92 - 10
    assert 92 <= y1 < 99
    assert 10 < x1 - x0 < 18


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("crop", [None, (50, 80, 500, 700)])
def test_boxes_lie_where_the_page_is_drawn(keep, rotate, crop) -> None:
    import io

    from PIL import Image

    path = keep("r.pdf", make_pdf(Sheet([(150, 600, 24, "HHHH")], crop=crop, rotate=rotate)))
    page = Reading(path).pages[0]
    assert page.width is not None
    scale = 2
    picture = Image.open(io.BytesIO(render_page(path, 1, round(page.width * scale)))).convert("L")
    assert picture.width == round(page.width * scale)
    ink = np.argwhere(np.asarray(picture) < 128)  # (pixels, [y, x])
    (y0, x0), (y1, x1) = ink.min(axis=0) / scale, (ink.max(axis=0) + 1) / scale
    (drawn,) = rectangles(page.boxes, 0, 4)
    assert drawn[0] - 1 <= x0 < x1 <= drawn[2] + 1
    assert drawn[1] - 1 <= y0 < y1 <= drawn[3] + 1
    # ... and not much further: a box around the whole page would hold the ink too.
    assert (drawn[2] - drawn[0]) - (x1 - x0) < 16
    assert (drawn[3] - drawn[1]) - (y1 - y0) < 16


def test_media_box_that_does_not_start_at_zero(keep) -> None:
    path = keep("m.pdf", make_pdf(Sheet([(-90, 1050, 12, "Moved")], media=(-100, 1000, 200, 1100))))
    page = Reading(path).pages[0]
    assert page.boxes is not None
    assert page.boxes[0][0] == pytest.approx(10, abs=1)
    assert page.boxes[0][3] == pytest.approx(50, abs=4)


def test_windows_characters_and_soft_hyphens_are_plain(keep) -> None:
    text = Reading(keep("w.pdf", make_pdf(text_sheet("a\x93b\x94 \xa7 5\xa0mg long\xadterm")))).text
    assert text.strip() == "a“b” § 5 mg long-term"


def test_hyphens_at_line_ends_follow_the_document(keep) -> None:
    lines = [
        "The enforcement of royalty-free terms.",
        "We discuss the enforce-",
        "ment and a royalty-",
        "free licence.",
    ]
    text = Reading(keep("h.pdf", make_pdf(text_sheet(*lines)))).text
    assert "the enforcement and a royalty-free licence" in text


def test_title_metadata_labels_and_outline(keep) -> None:
    data = make_pdf(
        text_sheet("Contents"),
        text_sheet("nothing here", "Second   Chapter", "text"),
        info="/Title (A Lease) /Author (A. Lawyer)",
    )

    def change(writer: PdfWriter) -> None:
        writer.set_page_label(0, 0, style=PageLabelStyle.LOWERCASE_ROMAN)
        writer.set_page_label(1, 1, style=PageLabelStyle.DECIMAL, prefix="A-", start=7)
        parent = writer.add_outline_item(title="Second Chapter", page_number=1)
        writer.add_outline_item(title="Not on the page", page_number=1, parent=parent)

    reading = Reading(keep("s.pdf", rewritten(data, change)))
    assert (reading.info.title, reading.info.metadata["author"]) == ("A Lease", "A. Lawyer")
    assert [page.label for page in reading.pages] == ["i", "A-7"]
    page = reading.pages[1]
    declared = [(h.start, h.level, h.text) for h in page.headings]
    assert declared == [(0, 2, "Not on the page"), (page.text.index("Second"), 1, "Second Chapter")]


@pytest.mark.parametrize("title", ["untitled", "Microsoft Word - Document1", "", "12345"])
def test_useless_titles_are_none(keep, title) -> None:
    assert Reading(keep("t.pdf", make_pdf(text_sheet("x y z"), info=f"/Title ({title})"))).info.title is None


def test_encryption(keep) -> None:
    plain = make_pdf(text_sheet("a secret"))
    locked = keep(
        "locked.pdf", rewritten(plain, lambda w: w.encrypt("open sesame", "owner", algorithm="AES-256"))
    )
    with pytest.raises(errors.PasswordRequired, match=r"locked\.pdf") as refused:
        Reading(locked)
    assert not isinstance(refused.value, errors.WrongPassword)
    with pytest.raises(errors.WrongPassword):
        Reading(locked, "guess")
    reading = Reading(locked, "open sesame")
    assert reading.info.encrypted
    assert reading.text.strip() == "a secret"
    assert render_page(locked, 1, 100, password="open sesame").startswith(b"\x89PNG")
    owner_only = keep("owner.pdf", rewritten(plain, lambda w: w.encrypt("", "owner", algorithm="RC4-128")))
    assert Reading(owner_only).text.strip() == "a secret"
    # A password for a file that needs none is not an error.
    assert not Reading(keep("plain.pdf", plain), "unused").info.encrypted


def test_pages_without_text(keep) -> None:
    picture = Sheet(drawing="0 0 200 200 re f\n")
    reading = Reading(keep("mixed.pdf", make_pdf(picture, text_sheet("some words"), Sheet())))
    assert [(w.page, "no text layer" in w.message) for w in reading.warnings] == [(1, True)]  # 3 is blank
    assert [page.text.strip() for page in reading.pages] == ["", "some words", ""]
    with pytest.raises(errors.NoText, match="no text was found on any of its 2 pages"):
        Reading(keep("scan.pdf", make_pdf(picture, picture)))


def test_damaged_files(keep) -> None:
    whole = make_pdf(*[text_sheet(f"page {i}", "words " * 10) for i in range(8)])
    with pytest.raises(errors.DamagedFile):
        Reading(keep("half.pdf", whole[: len(whole) // 200]))
    with pytest.raises(errors.NoPages):
        Reading(keep("none.pdf", make_pdf()))
    cut = Reading(keep("cut.pdf", whole[: whole.rindex(b"startxref")]))  # PDFium repairs the lost table
    assert any("ends early" in warning.message for warning in cut.warnings)
    assert len(cut.pages) == 8


def test_limits_of_pages_and_characters(keep) -> None:
    path = keep("l.pdf", make_pdf(text_sheet("one two three"), text_sheet("two")))
    with pytest.raises(errors.TooLarge, match="2 pages"):
        Reading(path, limits=Limits(pages=1))
    cut = Reading(path, limits=Limits(page_characters=5))
    assert cut.pages[0].text == "one t"
    assert cut.warnings[0].page == 1
    with pytest.raises(errors.TooLarge, match="bytes"):
        Reading(path, limits=Limits(file_bytes=100))


def test_drawing_refuses_what_is_not_there(keep) -> None:
    path = keep("d.pdf", make_pdf(text_sheet("x")))
    with pytest.raises(errors.NoSuchPage, match="has 1"):
        render_page(path, 2, 100)
    with pytest.raises(ValueError, match="width_px"):
        render_page(path, 1, 10**6)
    with pytest.raises(errors.MissingFile):
        render_page(Path("/nowhere.pdf"), 1, 100)
    tall = keep("tall.pdf", make_pdf(Sheet(media=(0, 0, 10, 14000))))
    assert len(render_page(tall, 1, 1000, limits=LIMITS)) < 10_000_000
