"""Sentences of an answer as things to point at: spans in its HTML, and a card of each one's references.

A card is hidden until its sentence is hovered or focused (assets/web/attest.js); a click keeps it in the
panel. Knows HTML and answers, not the service.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from app.answering.answer import Answer, Citation, SentenceMark
from app.web.bars import needed_bar, read_bar


@dataclass(frozen=True)
class Drawn:
    """A citation that a sentence drew on. read: while the sentence was written, 0..1.

    needed: nats that the sentence loses without it, None until measured.
    """

    number: int
    name: str
    pin: str
    read: float
    needed: float | None


def drawn_on(answer: Answer, sentence: int, pins: Mapping[int, str]) -> list[Drawn]:
    """The citations of a sentence (0-based): the one that it needed most first, if that was measured."""
    if not 0 <= sentence < len(answer.sentences):
        return []
    cited = {citation.n: citation for citation in answer.citations}
    mark = answer.sentences[sentence]
    drawn = [
        Drawn(n, cited[n].document_name, pins.get(n, ""), _read(mark, cited[n]), (mark.needed or {}).get(n))
        for n in mark.citations
        if n in cited
    ]
    return sorted(drawn, key=lambda each: -(each.needed or 0.0))


def _read(mark: SentenceMark, cited: Citation) -> float:
    return cited.read if mark.read is None else mark.read.get(cited.n, 0.0)


def sentence_spans(html: str, end_mark: re.Pattern[str], turn: int) -> str:
    """Rendered text in spans of the sentence that it belongs to; a match of `end_mark` ends a sentence.

    A sentence may run through tags: each piece of text between two of them gets a span of its own.
    """
    pieces = re.split(f"(<[^>]*>|{_ungrouped(end_mark)})", html)
    count = sum(bool(end_mark.fullmatch(piece)) for piece in pieces)
    parts, sentence, begun = [], 0, -1
    for piece in pieces:
        if end_mark.fullmatch(piece):
            sentence += 1
        elif piece.strip() and not piece.startswith("<") and sentence < count:
            focus = ' tabindex="0" role="button"' if begun != sentence else ""
            begun = sentence
            piece = (
                f'<span class="at-sentence" data-act="sentence" data-turn="{turn}"'
                f' data-sentence="{sentence}"{focus}>{piece}</span>'
            )
        parts.append(piece)
    return "".join(parts)


def _ungrouped(pattern: re.Pattern[str]) -> str:
    return pattern.pattern.replace("(", "(?:")


def cards_html(answer: Answer, turn: int, pins: Mapping[int, str]) -> str:
    """A hidden card for every sentence that drew on something; none where nothing was read as a memory."""
    cards = []
    if not any(each.read for each in answer.citations):
        return ""
    drawn = [drawn_on(answer, sentence, pins) for sentence in range(len(answer.sentences))]
    most_read = max((each.read for found in drawn for each in found), default=0.0)
    lost = (nats for mark in answer.sentences for nats in (mark.needed or {}).values())
    most_needed = max(lost, default=0.0)
    for sentence, found in enumerate(drawn):
        rows = "".join(
            f'<li><span class="at-number">{each.number}</span><span class="at-drawn-name">'
            f'{escape(each.name)}</span><span class="at-drawn-pin">{escape(each.pin)}</span>'
            f"{read_bar(each.read, most_read)}{needed_bar(each.needed, most_needed)}</li>"
            for each in found
        )
        if rows:
            cards.append(
                f'<div class="at-card" role="note" data-turn="{turn}" data-sentence="{sentence}" hidden>'
                '<p class="at-card-head">What this sentence drew on</p>'
                f'<ol class="at-drawn">{rows}</ol></div>'
            )
    return "".join(cards)
