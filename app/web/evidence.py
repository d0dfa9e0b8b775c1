"""The evidence panel as HTML: the page with the passage and its attended words, and the bars beside it.

Pure functions from dataclasses to strings. Document text and names are escaped. Attention is always
shown with the parts that did not come from documents, so that no bar claims more than was measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from urllib.parse import quote

from app.answer import Citation, Mode, Rect
from app.web.protocol import PageView
from app.web.reading import Passage, Reading, Spot, per_cent, strength, tenths

CAPTION = (
    "Attention mass is what the model looked at while writing; "
    "it is not proof that the passage supports the answer."
)
IMAGE_WIDTH = 1240  # pixels asked for; the panel shows it smaller, zoomed or on a dense screen at full
MOST_BARS = 6  # passages with a bar of their own; more of them share the last one
TEXT_AROUND = 1500  # characters of a text page shown before and after the passage


@dataclass(frozen=True)
class Word:
    """Characters [start, end) of the page, their attention (0..1) and where they are on its image."""

    start: int
    end: int
    attention: float
    rects: Sequence[Rect] = ()


@dataclass(frozen=True)
class Panel:
    """Everything that the panel shows of one turn.

    stretches: (from_token, to_token) of every stretch; stretch: the chosen one, None for the whole answer.
    spot: the chosen passage. page: the page on display, which may be another one of the same document.
    deleted: the passage's document is not in the store any more.
    lines: the passage's rectangles in PDF points. names: (document name, page label) by document and page.
    """

    turn: int
    reading: Reading | None
    stretches: Sequence[tuple[int, int]] = ()
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


def empty_html() -> str:
    """The panel before anything was asked."""
    return (
        '<div class="at-evidence-empty"><h2>Evidence</h2><p>The page behind a citation appears here, '
        "with the passage outlined, and how much attention each passage received.</p></div>"
    )


def evidence_html(panel: Panel) -> str:
    """The panel of one turn."""
    number = panel.citation.n if panel.citation else ""
    parts = [
        f'<section class="at-evidence" aria-label="Evidence" data-turn="{panel.turn}" data-n="{number}">'
    ]
    if panel.problem:
        parts.append(f'<p class="at-error" role="alert">{escape(panel.problem)}</p>')
    if panel.deleted:
        parts.append(_deleted(panel))
    elif panel.page is not None:
        parts.append(_head(panel, panel.page))
        parts.append(_frame(panel, panel.page))
        parts.append(_needed(panel.citation))
    elif panel.writing:
        parts.append('<h2>Evidence</h2><p class="at-note">The page appears when the answer is complete.</p>')
    elif not panel.problem:
        parts.append('<h2>Evidence</h2><p class="at-note">This answer was not read from any document.</p>')
    parts.append(_attention(panel))
    parts.append("</section>")
    return "".join(parts)


def _deleted(panel: Panel) -> str:
    number = panel.citation.n if panel.citation else None
    chip = f'<span class="at-number">{number}</span>' if number is not None else ""
    name = panel.citation.document_name if panel.citation else "its document"
    return (
        f'<header class="at-evidence-head"><h2>{chip}<span>Source deleted</span></h2></header>'
        f'<p class="at-error" role="alert">The source of this passage, {escape(name)}, was deleted after the '
        "answer was written. Its pages, passages and memories are gone, so the answer cannot be checked "
        "against it any more.</p>"
    )


def page_url(document_id: str, page: int, width: int) -> str:
    """Where the image of a page is served."""
    return f"/page/documents/{quote(document_id, safe='')}/pages/{page}.png?width={width}"


def original_url(document_id: str) -> str:
    """Where the stored file is served, as a download."""
    return f"/page/documents/{quote(document_id, safe='')}/original"


def _head(panel: Panel, page: PageView) -> str:
    number = panel.citation.n if panel.citation else None
    chip = f'<span class="at-number">{number}</span>' if number is not None else ""
    of = f" of {page.page_count}" if page.page_count > 1 and page.page_label.isdigit() else ""
    links = []
    if page.has_image:
        links.append('<button type="button" class="at-link" data-local="zoom">Zoom</button>')
        url = escape(page_url(page.document_id, page.page, 1800))
        links.append(f'<a class="at-link" href="{url}" target="_blank" rel="noopener">Open page</a>')
    original = escape(original_url(page.document_id))
    links.append(f'<a class="at-link" href="{original}" download>Original</a>')
    return (
        f'<header class="at-evidence-head"><h2 title="{escape(page.document_name)}">{chip}'
        f"<span>{escape(page.document_name)}</span></h2>"
        f'<div class="at-evidence-tools">{_step(panel, page, -1)}'
        f"<span>page {escape(page.page_label)}{of}</span>{_step(panel, page, 1)}"
        f'<span class="at-spring"></span>{"".join(links)}</div>{_recognised(page)}</header>{_older(page)}'
    )


def _older(page: PageView) -> str:
    if not page.superseded:
        return ""
    return (
        '<p class="at-older" role="note">This is an older version of the document; there is a newer one, '
        "which new answers are read from.</p>"
    )


def _recognised(page: PageView) -> str:
    if page.confidence is None:
        return ""
    return f'<p class="at-note">Recognised text, confidence {round(100 * page.confidence)} %</p>'


def _step(panel: Panel, page: PageView, by: int) -> str:
    target = page.page + by
    if page.page_count < 2:
        return ""
    disabled = "" if 1 <= target <= page.page_count else " disabled"
    label, sign = ("Previous page", "‹") if by < 0 else ("Next page", "›")
    return (
        f'<button type="button" class="at-step" data-act="page" data-turn="{panel.turn}"'
        f' data-page="{target}" aria-label="{label}"{disabled}>{sign}</button>'
    )


def _frame(panel: Panel, page: PageView) -> str:
    here = panel.spot is not None and (panel.spot.document_id, panel.spot.page) == (
        page.document_id,
        page.page,
    )
    stretch = "all" if panel.stretch is None else panel.stretch
    start = panel.spot.start if here and panel.spot else 0
    key = escape(f"{panel.turn}/{page.document_id}/{page.page}/{start}/{stretch}")
    if page.has_image and page.width > 0 and page.height > 0:
        body = _image(panel, page, here)
    else:
        body = _text(panel, page, here)
    return f'<div class="at-frame" tabindex="0" data-key="{key}">{body}</div>'


def _image(panel: Panel, page: PageView, here: bool) -> str:
    url = escape(page_url(page.document_id, page.page, IMAGE_WIDTH))
    marks = []
    if here:
        peak = max((word.attention for word in panel.words), default=0.0)
        for word in panel.words:
            level = strength(word.attention, peak)
            for rect in word.rects if level else ():
                title = f"attention {per_cent(word.attention)}"
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
        f'<div class="at-page" style="{ratio}"><img src="{url}" alt="{label}" decoding="async">'
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


def _text(panel: Panel, page: PageView, here: bool) -> str:
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
    peak = max((word.attention for word in words), default=0.0)
    parts = []
    done = start
    for word in sorted(words, key=lambda item: item.start):
        level = strength(word.attention, peak)
        first, last = max(word.start, done), min(word.end, end)
        if not level or first >= last:
            continue
        parts.append(escape(text[done:first]))
        title = f"attention {per_cent(word.attention)}"
        parts.append(f'<mark class="at-s{level}" title="{title}">{escape(text[first:last])}</mark>')
        done = last
    parts.append(escape(text[done:end]))
    return "".join(parts)


def _needed(citation: Citation | None) -> str:
    if citation is None or citation.needed is None:
        return ""
    return (
        f'<p class="at-note" title="Drop of the log-probability of the answer when this passage is removed">'
        f"Needed: without this passage the answer loses {citation.needed:.2f} nats.</p>"
    )


def _attention(panel: Panel) -> str:
    if panel.reading is None:
        return ""
    reading = panel.reading
    # Without memories the passages are words of the prompt, and their share is part of the question's.
    text = panel.mode == "text"
    question, heading = (
        ("question and passages", "In the prompt") if text else ("question", "Not from documents")
    )
    rest = (
        (question, reading.question),
        ("answer so far", reading.answer),
        ("other (prefix)", reading.prefix),
    )
    shares = [passage.attention for passage in reading.passages] + [share for _, share in rest]
    numbers = tenths(shares)
    most = max(numbers) or 1
    alone = len(reading.passages) if len(reading.passages) <= MOST_BARS else MOST_BARS - 1
    together = sum(numbers[alone : len(reading.passages)])
    most = max(most, together)
    rows = [
        _passage_bar(panel, passage, tenth, most)
        for passage, tenth in zip(reading.passages[:alone], numbers, strict=False)
    ]
    if alone < len(reading.passages):
        rows.append(_plain_bar(f"{len(reading.passages) - alone} more passages", together, most, ""))
    others = [
        _plain_bar(label, tenth, most, "at-fill-rest")
        for (label, _), tenth in zip(rest, numbers[len(reading.passages) :], strict=True)
    ]
    documents = f'<ol class="at-bars" aria-label="Passages">{"".join(rows)}</ol>' if rows else ""
    return (
        f'<section class="at-attention"><h3>Attention while writing</h3>{_stretches(panel)}{documents}'
        f'<h4 id="at-rest">{heading}</h4>'
        f'<ol class="at-bars" aria-labelledby="at-rest">{"".join(others)}</ol>'
        f'<p class="at-caption">{CAPTION} All bars together are 100 %.</p></section>'
    )


def _plain_bar(label: str, tenth: int, most: int, fill: str) -> str:
    return (
        f'<li><div class="at-bar"><span class="at-number at-number-plain"></span>'
        f'<span class="at-bar-label">{label}</span>{_track(tenth, most, fill)}</div></li>'
    )


def _passage_bar(panel: Panel, passage: Passage, tenth: int, most: int) -> str:
    spot = passage.spot
    name, label = panel.names.get((spot.document_id, spot.page), ("a deleted document", str(spot.page)))
    shown = panel.spot is not None and panel.spot.meets(spot)
    number = str(passage.number) if passage.number is not None else "–"
    plain = "" if passage.number is not None else " at-number-plain"
    current = ' aria-current="true"' if shown else ""
    hint = escape(f"{name}, page {label}: {' '.join(passage.text.split())[:160]}")
    return (
        f'<li><button type="button" class="at-bar" data-act="passage" data-turn="{panel.turn}"'
        f' data-document="{escape(spot.document_id)}" data-page="{spot.page}" data-start="{spot.start}"'
        f' data-end="{spot.end}" title="{hint}"{current}><span class="at-number{plain}">{number}</span>'
        f'<span class="at-bar-label"><span class="at-bar-name">{escape(name)}</span>'
        f'<span class="at-bar-page">p. {escape(label)}</span></span>{_track(tenth, most)}</button></li>'
    )


def _track(tenth: int, most: int, extra: str = "") -> str:
    return (
        f'<span class="at-track"><span class="at-fill {extra}" style="width:{100 * tenth / most:.1f}%">'
        f'</span></span><span class="at-share">{tenth / 10:.1f} %</span>'
    )


def _stretches(panel: Panel) -> str:
    if len(panel.stretches) < 2:
        return ""
    options: list[tuple[int | None, str]] = [(None, "Whole answer")]
    options += [(index, f"tokens {low}–{high}") for index, (low, high) in enumerate(panel.stretches)]
    buttons = "".join(
        f'<button type="button" data-act="stretch" data-turn="{panel.turn}"'
        f' data-stretch="{"" if index is None else index}"'
        f' aria-pressed="{"true" if index == panel.stretch else "false"}">{label}</button>'
        for index, label in options
    )
    return f'<div class="at-stretches" role="group" aria-label="Part of the answer">{buttons}</div>'
