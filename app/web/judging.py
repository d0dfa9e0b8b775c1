"""What a reader does with an answer: copy it, judge it, compare it, take its report away. As HTML.

Pure functions; notes, answers and names are escaped. The text to be copied is plain, with its citations.
"""

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from app.answering.answer import Answer, Citation
from app.web.marks import answer_html

if TYPE_CHECKING:
    from app.web.conversation import Turn

COLUMNS = {"memory": "From memories", "text": "From re-read text", "none": "Without documents"}


def tools_html(turn: "Turn", index: int) -> str:
    """The row of buttons under an answer; judging and reports need an answer that is kept."""
    given = turn.shown
    if given is None:
        return ""
    copied = escape(plain_text(given, turn.pins))
    tools = [
        f'<button type="button" class="at-tool" data-local="copy" data-copy="{copied}">'
        "Copy with citations</button>"
    ]
    if turn.kept is not None:
        url = f"/page/answers/{turn.kept}/report"
        tools.append(f'<a class="at-tool" href="{url}" download>Why this answer</a>')
        tools.append(_compare(turn, index))
        tools += [_thumb(turn, index, 1, "Good answer", "Good"), _thumb(turn, index, -1, "Bad answer", "Bad")]
        tools.append(_note(turn, index))
    return f'<div class="at-tools">{"".join(tools)}</div>'


def _compare(turn: "Turn", index: int) -> str:
    if turn.comparing:
        return '<span class="at-tool" role="status">Answering in the other ways …</span>'
    if turn.beside:
        return ""
    return f'<button type="button" class="at-tool" data-act="compare" data-turn="{index}">Compare</button>'


def _thumb(turn: "Turn", index: int, rating: int, label: str, sign: str) -> str:
    pressed = turn.rating == rating
    return (
        f'<button type="button" class="at-tool at-thumb" data-act="rate" data-turn="{index}"'
        f' data-rating="{0 if pressed else rating}" aria-pressed="{"true" if pressed else "false"}"'
        f' aria-label="{label}" title="{label}">{sign}</button>'
    )


def _note(turn: "Turn", index: int) -> str:
    shown = "Note" if not turn.note else f"Note: {turn.note[:40]}"
    return (
        f'<details class="at-note-form"><summary class="at-tool">{escape(shown)}</summary>'
        '<div class="at-form"><textarea class="at-field" rows="2" maxlength="2000"'
        ' aria-label="Note on this answer">'
        f"{escape(turn.note)}</textarea>"
        f'<button type="button" class="at-button" data-act="note" data-turn="{index}">Keep note</button>'
        "</div>"
        "</details>"
    )


def comparison_html(turn: "Turn") -> str:
    """The answer and the others to the same question, side by side."""
    if not turn.beside:
        return ""
    columns = "".join(_column(each) for each in (turn, *turn.beside))
    return (
        '<section class="at-compare" aria-label="The same question, answered in other ways">'
        f'<div class="at-compare-columns">{columns}</div></section>'
    )


def _column(turn: "Turn") -> str:
    given = turn.shown
    body = f'<p class="at-error">{escape(turn.error)}</p>' if turn.error else ""
    if given is not None:
        text = given.answer.strip() or "No answer."
        body = f'<div class="at-answer">{answer_html(text)}</div>'
        sources = "".join(f"<li>{escape(_cited(each, turn.pins))}</li>" for each in given.citations)
        body += f'<ul class="at-compare-sources">{sources}</ul>' if sources else ""
    return f'<div class="at-compare-column"><h4>{COLUMNS[turn.mode]}</h4>{body}</div>'


def _cited(citation: Citation, pins: Mapping[int, str]) -> str:
    return f"[{citation.n}] {citation.document_name}, {pins.get(citation.n) or f'page {citation.page_label}'}"


def plain_text(answer: Answer, pins: Mapping[int, str]) -> str:
    """The answer as plain text with its numbers behind the sentences and its citations below."""
    text = answer.answer
    cited = {each.n: each for each in answer.citations}
    for mark in sorted(answer.sentences, key=lambda sentence: -sentence.end):
        numbers = "".join(f"[{n}]" for n in dict.fromkeys(mark.citations) if n in cited)
        end = mark.start + len(text[mark.start : mark.end].rstrip())
        text = f"{text[:end]} {numbers}{text[end:]}" if numbers else text
    lines = [_cited(each, pins) for each in cited.values()]
    return "\n".join([text.strip(), "", *lines]) if lines else text.strip()
