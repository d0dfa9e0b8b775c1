"""Citations as people see them: adjacent ones as one, each with its pin cite.

Two references of a page with nothing but white space between them are one passage to a reader. Their
attention adds up, being shares of one whole; what each alone was needed for does not, so the larger of the
two is kept, which is the least that both together were needed for. The answer that is stored, measured and
verified stays the recorded one; this is a view of it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import add

from app.answering.answer import Answer, Citation
from app.evidence.pin_cites import BLANK_LINE, Place, paragraphs, pin_cite
from storage.errors import NotFound
from storage.records import PageRow
from storage.store import Store

MOST_PARTS_BACK = 40  # stretches of a format without pages that are looked through for the heading


@dataclass(frozen=True)
class Presented:
    """An answer with merged citations, and the pin cite of each by its number."""

    answer: Answer
    pins: dict[int, str]


def present(store: Store, answer: Answer, profile: str) -> Presented:
    """The answer as it is shown and exported; a citation whose document was deleted has no pin cite."""
    pages: dict[tuple[str, int], PageRow | None] = {}

    def page_of(document_id: str, number: int) -> PageRow | None:
        key = (document_id, number)
        if key not in pages:
            try:
                pages[key] = store.documents.page(document_id, number)
            except NotFound:
                pages[key] = None
        return pages[key]

    def text_of(document_id: str, number: int) -> str | None:
        page = page_of(document_id, number)
        return None if page is None else page.text

    merged = merge_adjacent(answer, text_of)
    pins = {}
    for each in merged.citations:
        page = page_of(each.document_id, each.page)
        if page is not None:
            path = store.references.heading_path(each.document_id, each.page, each.start)
            pins[each.n] = pin_cite(profile, _place(each, page, path, page_of))
    return Presented(merged, pins)


def merge_adjacent(answer: Answer, text_of: Callable[[str, int], str | None]) -> Answer:
    """Citations of adjacent references merged and numbered anew, sentences marked with the new numbers.

    text_of: a page's text by document and number, None if it is gone.
    """
    groups: list[list[Citation]] = []
    places = sorted(answer.citations, key=lambda each: (each.document_id, each.page, each.start))
    for each in places:
        text = text_of(each.document_id, each.page)
        if groups and text is not None and _adjacent(groups[-1][-1], each, text):
            groups[-1].append(each)
        else:
            groups.append([each])
    groups.sort(key=lambda group: min(each.n for each in group))
    numbers = {each.n: n for n, group in enumerate(groups, 1) for each in group}
    merged = [
        _merged(n, group, text_of(group[0].document_id, group[0].page)) for n, group in enumerate(groups, 1)
    ]
    if len(merged) == len(answer.citations):
        return answer
    return replace(
        answer,
        citations=merged,
        sentences=[
            replace(
                mark,
                citations=list(dict.fromkeys(numbers[n] for n in mark.citations if n in numbers)),
                needed=None if mark.needed is None else _joined(mark.needed, numbers, max),
                read=None if mark.read is None else _joined(mark.read, numbers, add),
            )
            for mark in answer.sentences
        ],
        claims=[
            replace(claim, citations=list(dict.fromkeys(numbers[n] for n in claim.citations if n in numbers)))
            for claim in answer.claims
        ],
    )


def _joined(
    of: Mapping[int, float], numbers: Mapping[int, int], join: Callable[[float, float], float]
) -> dict[int, float]:
    """By new number: as for whole citations, reads add up, and the largest need stands for all."""
    found: dict[int, float] = {}
    for n, value in of.items():
        if n in numbers:
            new = numbers[n]
            found[new] = join(found[new], value) if new in found else value
    return found


def _adjacent(one: Citation, other: Citation, text: str) -> bool:
    same = (one.document_id, one.page) == (other.document_id, other.page)
    return same and not text[one.end : other.start].strip()


def _merged(n: int, group: Sequence[Citation], text: str | None) -> Citation:
    first = min(group, key=lambda each: each.n)
    start, end = min(each.start for each in group), max(each.end for each in group)
    rects = [rect for each in group for rect in each.rects or ()]
    needed = [each.needed for each in group if each.needed is not None]
    return replace(
        first,
        n=n,
        start=start,
        end=end,
        text=first.text if text is None or len(group) == 1 else text[start:end],
        rects=None if first.rects is None else rects,
        attention=sum(each.attention for each in group),
        read=sum(each.read for each in group),
        needed=max(needed, default=None),
    )


def _place(
    cited: Citation, page: PageRow, path: Sequence[str], page_of: Callable[[str, int], PageRow | None]
) -> Place:
    if page.width is not None:
        return Place(cited.page_label, path, cited.text)
    return Place(None, path, cited.text, cited.page, _paragraph(cited, page, path, page_of))


def _paragraph(
    cited: Citation, page: PageRow, path: Sequence[str], page_of: Callable[[str, int], PageRow | None]
) -> int | None:
    """The paragraph in which the passage begins: behind its heading, or in its part if it has none."""
    end = cited.start + len(cited.text) - len(cited.text.lstrip()) + 1
    count, current = 0, page
    for _ in range(MOST_PARTS_BACK):
        above = [heading for heading in current.headings if heading.start < end]
        region = current.text[above[-1].start if above else 0 : end]
        count += paragraphs(region)
        if above:
            first = re.split(BLANK_LINE, region, maxsplit=1)[0]
            alone = " ".join(first.split()) == " ".join(above[-1].text.split())
            return max(count - alone, 1)
        before = page_of(cited.document_id, current.number - 1) if path else None
        if before is None:
            return count
        current, end = before, len(before.text)
    return None
