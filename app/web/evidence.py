"""The evidence panel as HTML: the page with the passage and its attended words, and the bars beside it.

Pure functions from dataclasses to strings. Document text and names are escaped. Attention is always
shown with the parts that did not come from documents, so that no bar claims more than was measured.
"""

from html import escape
from urllib.parse import quote

from app.answering.keeping import GONE
from app.web.bars import ATTENTION, READ, needed_bar, read_bar, share_bar
from app.web.reading import Passage, tenths
from app.web.sheet import Panel, image_html, text_html
from app.web.stretches import stretches_html
from app.web.views import PageView
from app.web.words import words_html

CAPTION = (
    "Read is what the model looked at while writing, needed what the answer loses without the passage; "
    "neither is proof that the passage supports the answer."
)
IMAGE_WIDTH = 1240  # pixels asked for; the panel shows it smaller, zoomed or on a dense screen at full
MOST_BARS = 6  # passages with a bar of their own; more of them share the last one


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
        parts.append(_attended(panel, panel.page))
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
    cited = panel.citation.document_name if panel.citation else ""
    name = f", {cited}," if cited and cited != GONE else ""
    return (
        f'<header class="at-evidence-head"><h2>{chip}<span>Source deleted</span></h2></header>'
        f'<p class="at-error" role="alert">The source of this passage{escape(name)} was deleted after the '
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
        f"<span>page {escape(page.page_label)}{of}</span>{_step(panel, page, 1)}{_pin(panel, page)}"
        f'<span class="at-spring"></span>{"".join(links)}</div>{_recognised(page)}</header>{_older(page)}'
    )


def _pin(panel: Panel, page: PageView) -> str:
    here = panel.spot is not None and panel.spot.page == page.page
    return f'<span class="at-pin">{escape(panel.pin)}</span>' if here and panel.pin else ""


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
        body = image_html(panel, page, page_url(page.document_id, page.page, IMAGE_WIDTH), here=here)
    else:
        body = text_html(panel, page, here=here)
    return f'<div class="at-frame" tabindex="0" data-key="{key}">{body}</div>'


def _attended(panel: Panel, page: PageView) -> str:
    if panel.spot is None or panel.spot.page != page.page:
        return ""
    return words_html(page.text, panel.attended)


def _attention(panel: Panel) -> str:
    if panel.reading is None:
        return ""
    reading = panel.reading
    # Without memories the passages are words of the prompt, and their share is part of the question's.
    text = panel.mode == "text"
    question = "question and passages" if text else "question"
    rest = (
        (question, reading.question),
        ("answer so far", reading.answer),
        ("other (prefix)", reading.prefix),
    )
    together = sum(passage.attention for passage in reading.passages)
    whole = (("all passages", together), *rest) if reading.passages else rest
    numbers = tenths([share for _, share in whole])
    others = [
        _plain_bar(label, tenth / 10, max(numbers) / 10)
        for (label, _), tenth in zip(whole, numbers, strict=True)
    ]
    most = max((passage.read for passage in reading.passages), default=0.0)
    alone = len(reading.passages) if len(reading.passages) <= MOST_BARS else MOST_BARS - 1
    rows = [_passage_bar(panel, passage, most) for passage in reading.passages[:alone]]
    if alone < len(reading.passages):
        more = 100 * sum(passage.read for passage in reading.passages[alone:])
        rows.append(_plain_bar(f"{len(reading.passages) - alone} more passages", more, 100 * most, READ))
    documents = f'<ol class="at-bars" aria-label="Passages">{"".join(rows)}</ol>' if rows else ""
    return (
        f'<section class="at-attention"><h3>What was read</h3>{_sentence(panel)}'
        f"{stretches_html(panel.turn, panel.walked, panel.stretch, panel.labels)}{documents}{_measure(panel)}"
        f'<h4 id="at-rest">Where all attention went</h4>'
        f'<ol class="at-bars" aria-labelledby="at-rest">{"".join(others)}</ol>'
        f'<p class="at-caption">{CAPTION} All attention is 100 %.</p></section>'
    )


def _sentence(panel: Panel) -> str:
    if panel.sentence is None:
        return ""
    return (
        f'<p class="at-chosen-sentence"><q>{escape(panel.sentence)}</q> drew most on the marked passages. '
        f'<button type="button" class="at-link" data-act="sentence" data-turn="{panel.turn}"'
        ' data-sentence="">Whole answer</button></p>'
    )


def _measure(panel: Panel) -> str:
    if panel.measuring:
        return '<p class="at-note" role="status">Taking each passage away and scoring the answer again …</p>'
    if not panel.measurable:
        return ""
    return (
        f'<button type="button" class="at-button" data-act="needed" data-turn="{panel.turn}">'
        "Check what was needed</button>"
    )


def _plain_bar(label: str, share: float, most: float, kind: str = ATTENTION) -> str:
    """share, most: per cent."""
    return (
        f'<li><div class="at-bar"><span class="at-number at-number-plain"></span>'
        f'<span class="at-bar-label">{label}</span>{share_bar(share, most, kind)}</div></li>'
    )


def _passage_bar(panel: Panel, passage: Passage, most: float) -> str:
    spot = passage.spot
    name, label = panel.names.get((spot.document_id, spot.page), (GONE, str(spot.page)))
    shown = panel.spot is not None and panel.spot.meets(spot)
    plain = "" if passage.number is not None else " at-number-plain"
    drawn = " at-drawn-on" if passage.number in panel.drawn else ""
    current = ' aria-current="true"' if shown else ""
    hint = escape(f"{name}, page {label}: {' '.join(passage.text.split())[:160]}")
    bars = read_bar(passage.read, most)
    if panel.mode == "memory":
        bars += needed_bar(panel.needed.get(spot), max(panel.needed.values(), default=0.0))
    return (
        f'<li><button type="button" class="at-bar{drawn}" data-act="passage" data-turn="{panel.turn}"'
        f' data-document="{escape(spot.document_id)}" data-page="{spot.page}" data-start="{spot.start}"'
        f' data-end="{spot.end}" title="{hint}"{current}>'
        f'<span class="at-number{plain}">{escape(panel.labels.get(spot, "–"))}</span>'
        f'<span class="at-bar-label"><span class="at-bar-name">{escape(name)}</span>'
        f'<span class="at-bar-page">p. {escape(label)}</span></span>{bars}</button></li>'
    )
