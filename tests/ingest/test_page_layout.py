"""Reading order, and what stands in a page's margins."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ingest.chunk import chunk
from ingest.document import Page, Start
from ingest.sandbox import read
from tests.ingest.conftest import Reading, character_tokens
from tests.ingest.make_pdf import Sheet, make_pdf

Keep = Callable[[str, bytes | str], Path]
WORDS = "the parties agree that the rent is due on the first day of each month and"


def margin_texts(page: Page) -> list[str]:
    return [page.text[start:end].strip() for start, end in page.margins]


def contract(count: int, head: str = "Lease of 4 May 2020", foot: str = "Page {} of 9") -> bytes:
    sheets = []
    for number in range(1, count + 1):
        body = [(72.0, 640.0 - 16 * i, 11.0, f"{number}{i} {WORDS}") for i in range(20)]
        sheets.append(Sheet([(72, 750, 9, head), *body, (280, 30, 9, foot.format(number))]))
    return make_pdf(*sheets)


def test_running_heads_and_feet_are_in_the_page_but_in_no_reference(keep: Keep) -> None:
    reading = Reading(keep("lease.pdf", contract(4)))
    for page in reading.pages:
        assert margin_texts(page) == ["Lease of 4 May 2020", f"Page {page.number} of 9"]
        assert all(text in page.text for text in margin_texts(page))
    for reference in chunk(reading.pages, character_tokens, "lease"):
        page = reading.pages[reference.page - 1]
        assert "Lease of 4 May" not in reference.text
        assert " of 9" not in reference.text
        assert page.text[reference.start : reference.end] == reference.text


def test_a_single_page_and_pages_with_nothing_in_common_have_no_margins(keep: Keep) -> None:
    assert [page.margins for page in Reading(keep("a.pdf", contract(1))).pages] == [()]
    sheets = [Sheet([(72, 750, 11, f"{word} begins here")]) for word in ("Alpha", "Beta", "Gamma")]
    assert [page.margins for page in Reading(keep("b.pdf", make_pdf(*sheets))).pages] == [(), (), ()]


def test_a_page_that_is_there_twice_is_all_text(keep: Keep) -> None:
    sheet = Sheet([(72, 750, 11, "Notice to quit"), (72, 600, 11, WORDS)])
    assert [page.margins for page in Reading(keep("twice.pdf", make_pdf(sheet, sheet))).pages] == [(), ()]


def test_a_page_that_says_nothing_but_what_its_neighbours_say_is_all_text(keep: Keep) -> None:
    sheets = [Sheet([(72, 750, 11, f"Exhibit {number}")]) for number in range(1, 4)]
    assert [page.margins for page in Reading(keep("sheets.pdf", make_pdf(*sheets))).pages] == [(), (), ()]


def test_reading_that_goes_on_finds_the_same_margins(keep: Keep) -> None:
    path = keep("lease.pdf", contract(5))
    whole = Reading(path).pages
    texts = tuple(page.text for page in whole)
    for after in range(1, 5):
        start = Start(after, spoken=True, texts=texts[:after])
        rest = [item for item in read(path, start=start) if isinstance(item, Page)]
        assert [(page.number, page.margins) for page in rest] == [
            (page.number, page.margins) for page in whole[after:]
        ]


def test_line_numbers_of_a_pleading_cut_no_sentence(keep: Keep) -> None:
    lines = []
    for number in range(1, 29):
        y = 740 - 24 * number
        lines += [(50.0, y, 11.0, str(number)), (90.0, y, 11.0, f"{WORDS} L{number}")]
    page = Reading(keep("pleading.pdf", make_pdf(Sheet(lines)))).pages[0]
    assert "".join(margin_texts(page)).split() == "".join(map(str, range(1, 29))).split()
    references = list(chunk([page], character_tokens, "pleading"))
    body = " ".join(" ".join(reference.text.split()) for reference in references)
    assert body == " ".join(f"{WORDS} L{number}" for number in range(1, 29))
    for reference in references:
        offsets = reference.token_offsets
        kept = np.ones(len(page.text), dtype=bool)
        for start, end in page.margins:
            kept[start:end] = False
        assert all(kept[start] and kept[end - 1] for start, end in offsets.tolist())
        assert (offsets[0, 0], offsets[-1, 1]) == (reference.start, reference.end)


def test_a_numbered_list_is_no_column_of_line_numbers(keep: Keep) -> None:
    lines = [(50.0, 700.0 - 14 * n, 11.0, f"{n} witness number {n * 7}") for n in range(1, 15)]
    assert Reading(keep("list.pdf", make_pdf(Sheet(lines)))).pages[0].margins == ()


def columns_sheet(interleaved: bool) -> Sheet:
    left = [
        (60.0, 700.0 - 14 * i, 9.0, f"left{i:02} the tenant shall keep the premises clean") for i in range(20)
    ]
    right = [
        (330.0, 700.0 - 14 * i, 9.0, f"right{i:02} the landlord shall keep the roof whole") for i in range(20)
    ]
    body = [line for pair in zip(left, right, strict=True) for line in pair] if interleaved else left + right
    return Sheet([(60, 740, 14, "A heading that runs across the whole width of both of the columns"), *body])


def test_interleaved_columns_are_read_one_after_the_other(keep: Keep) -> None:
    right, wrong = (
        Reading(keep(f"{name}.pdf", make_pdf(columns_sheet(name == "wrong")))).pages[0]
        for name in ("right", "wrong")
    )
    assert wrong.text.split() == right.text.split()
    start = wrong.text.index("right07")
    assert wrong.boxes is not None
    assert wrong.boxes[start, 0] > 320


def test_a_table_keeps_its_rows(keep: Keep) -> None:
    cells = [
        (x, 700.0 - 14 * i, 10.0, text)
        for i in range(20)
        for x, text in ((60.0, f"item {i}"), (380.0, f"{i * 100} dollars"))
    ]
    text = Reading(keep("table.pdf", make_pdf(Sheet(cells)))).pages[0].text
    assert text.index("item 3") < text.index("300 dollars") < text.index("item 4")
