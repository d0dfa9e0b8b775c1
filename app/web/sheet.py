"""What the evidence panel shows, as values, and the page in it as HTML: a picture or text, marked.

Pure functions; document text and names are escaped. Marks come in four strengths, each a shade and a
thickness of line; their shares stand in titles, and in words beside the page (`app.web.words`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from app.answering.answer import Citation, Mode, Rect, TokenAttention
from app.web.reading import Reading, Spot, per_cent, strength
from app.web.stretches import Step
from app.web.views import PageView

TEXT_AROUND = 1500  # characters of a text page shown before and after the passage


@dataclass(frozen=True)
class Word:
    """Characters [start, end) of the page, how much they were read (0..1) and where they are on its image."""

    start: int
    end: int
    read: float
    rects: Sequence[Rect] = ()


@dataclass(frozen=True)
class Panel:
    """Everything that the panel shows of one turn.

    walked: every stretch; stretch: the chosen one, None for the whole answer. labels: of the passages.
    sentence: the chosen sentence, of which `drawn` are the citations, or None.
    needed: nats by passage, where it was measured. measurable: whether it can be now; measuring: it is.
    pin: where the passage stands, as its profession cites.
    spot: the chosen passage. page: the page on display, which may be another one of the same document.
    deleted: the passage's document is not in the store any more.
    lines: the passage's rectangles in PDF points. names: (document name, page label) by document and page.
    """

    turn: int
    reading: Reading | None
    walked: Sequence[Step] = ()
    stretch: int | None = None
    spot: Spot | None = None
    citation: Citation | None = None
    page: PageView | None = None
    lines: Sequence[Rect] = ()
    words: Sequence[Word] = ()
    names: Mapping[tuple[str, int], tuple[str, str]] = field(default_factory=dict)
    problem: str | None = None
    deleted: bool = False
    writing: bool = False
    mode: Mode = "memory"
    labels: Mapping[Spot, str] = field(default_factory=dict)
    needed: Mapping[Spot, float] = field(default_factory=dict)
    measurable: bool = False
    measuring: bool = False
    pin: str = ""
    sentence: str | None = None
    drawn: frozenset[int] = frozenset()

    @property
    def attended(self) -> list[TokenAttention]:
        """The words of the passage with their attention, apart from where they lie."""
        return [TokenAttention(word.start, word.end, word.read, word.read) for word in self.words]


def image_html(panel: Panel, page: PageView, source: str, *, here: bool) -> str:
    """The page's picture from `source` with its marks. here: whether the passage stands on this page."""
    marks = []
    if here:
        peak = max((word.read for word in panel.words), default=0.0)
        for word in panel.words:
            level = strength(word.read, peak)
            for rect in word.rects if level else ():
                title = f"read {per_cent(word.read)}"
                marks.append(
                    f'<span class="at-word at-s{level}" style="{_place(rect, page)}" title="{title}"></span>'
                )
        outline = (
            f'<span class="at-outline" style="{_place(box, page)}"></span>' for box in blocks(panel.lines)
        )
        marks.extend(outline)
    ratio = f"aspect-ratio:{page.width:.2f}/{page.height:.2f}"
    label = escape(f"Page {page.page_label} of {page.document_name}")
    return (
        f'<div class="at-page" style="{ratio}"><img src="{escape(source)}" alt="{label}" decoding="async">'
        f'<div class="at-overlay">{"".join(marks)}</div></div>'
    )


def _place(rect: Rect, page: PageView) -> str:
    x0, x1 = sorted((_clamp(rect[0] / page.width), _clamp(rect[2] / page.width)))
    y0, y1 = sorted((_clamp(rect[1] / page.height), _clamp(rect[3] / page.height)))
    return (
        f"left:{100 * x0:.3f}%;top:{100 * y0:.3f}%;width:{100 * (x1 - x0):.3f}%;height:{100 * (y1 - y0):.3f}%"
    )


def _clamp(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def blocks(lines: Sequence[Rect]) -> list[Rect]:
    """Boxes around runs of lines that go down the page; a jump upwards (a new column) starts a new one."""
    boxes: list[Rect] = []
    last: Rect | None = None
    for line in lines:
        height = line[3] - line[1]
        if boxes and last is not None and line[1] >= last[1] - height / 2:
            box = boxes[-1]
            boxes[-1] = (
                min(box[0], line[0]),
                min(box[1], line[1]),
                max(box[2], line[2]),
                max(box[3], line[3]),
            )
        else:
            boxes.append(line)
        last = line
    return boxes


def text_html(panel: Panel, page: PageView, *, here: bool) -> str:
    """The text around the passage with its marks."""
    text = page.text
    spot = panel.spot if here else None
    start, end = (spot.start, min(spot.end, len(text))) if spot else (0, 0)
    low = max(start - TEXT_AROUND, 0)
    high = min(end + TEXT_AROUND, len(text))
    before = ("… " if low else "") + escape(text[low:start])
    after = escape(text[end:high]) + (" …" if high < len(text) else "")
    if not spot:
        return f'<div class="at-text">{after}</div>'
    passage = _marked(text, start, end, panel.words)
    return f'<div class="at-text">{before}<span class="at-passage">{passage}</span>{after}</div>'


def _marked(text: str, start: int, end: int, words: Sequence[Word]) -> str:
    peak = max((word.read for word in words), default=0.0)
    parts = []
    done = start
    for word in sorted(words, key=lambda item: item.start):
        level = strength(word.read, peak)
        first, last = max(word.start, done), min(word.end, end)
        if not level or first >= last:
            continue
        parts.append(escape(text[done:first]))
        title = f"read {per_cent(word.read)}"
        parts.append(f'<mark class="at-s{level}" title="{title}">{escape(text[first:last])}</mark>')
        done = last
    parts.append(escape(text[done:end]))
    return "".join(parts)
