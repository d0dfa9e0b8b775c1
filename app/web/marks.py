"""The text of an answer as HTML: plain Markdown, no links or HTML, citation numbers at sentence ends, and a
dotted line under what was looked up in the cited passages and not found.

Everything the model wrote is escaped; numbers come only from the recorded sentence marks, never from
text such as "[3]" in the answer itself.
"""

import re
from collections.abc import Collection, Sequence
from html import escape

from markdown_it import MarkdownIt

from app.answering.answer import Claim, SentenceMark
from app.web.sentences import sentence_spans

_OPEN, _CLOSE = "\ue000", "\ue001"
_UNFOUND, _FOUND = "\ue002", "\ue003"  # around what was not found
_OURS = re.compile(f"[{_OPEN}-{_FOUND}]")
_PIECE = re.compile(f"(<[^>]*>|[{_UNFOUND}{_FOUND}])")
NOT_FOUND = "Not in the cited passages"
_MARK = re.compile("\u2009?" + _OPEN + r"([0-9,]*)" + _CLOSE)
# The thin space counts as white space for Markdown, so a number after "**Yes.**" leaves it bold.
_BEFORE = "\u2009" + _OPEN

_MARKDOWN = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table")
_MARKDOWN.disable(["html_block", "html_inline", "link", "image", "autolink", "reference", "entity", "code"])


def answer_html(
    text: str,
    sentences: Sequence[SentenceMark] = (),
    *,
    turn: int = 0,
    known: Collection[int] = (),
    claims: Sequence[Claim] = (),
) -> str:
    """Render `text`. Numbers outside `known` are dropped; each kept one becomes a button.

    Every sentence can be chosen: its text is in spans of its number, see `app.web.sentences`.
    """
    plain = _OURS.sub("\ufffd", text)
    marks = _claim_marks(claims, len(plain))
    for mark in sentences:
        numbers = [number for number in dict.fromkeys(mark.citations) if number in known]
        marks.append((_end_of_words(plain, mark), 1, _BEFORE + ",".join(map(str, numbers)) + _CLOSE))
    for at, _, inserted in sorted(marks, reverse=True):
        plain = plain[:at] + inserted + plain[at:]
    rendered = _underlined(sentence_spans(str(_MARKDOWN.render(plain)), _MARK, turn))
    return _MARK.sub(lambda match: _buttons(match.group(1), turn), rendered)


def _claim_marks(claims: Sequence[Claim], length: int) -> list[tuple[int, int, str]]:
    """(place, rank among what is put there, character) for the begin and the end of what was not found."""
    unfound = [each for each in claims if not each.citations and 0 <= each.start < each.end <= length]
    return [mark for each in unfound for mark in ((each.start, 2, _UNFOUND), (each.end, 0, _FOUND))]


def _underlined(html: str) -> str:
    """The characters become spans, closed before every tag and opened again behind it."""
    opening = f'<span class="at-unfound" title="{NOT_FOUND}">'
    parts, inside = [], False
    for piece in _PIECE.split(html):
        if piece in (_UNFOUND, _FOUND):
            inside = piece == _UNFOUND
        elif inside and piece.strip() and not piece.startswith("<"):
            parts.append(f"{opening}{piece}</span>")
        else:
            parts.append(piece)
    return "".join(parts)


def _end_of_words(text: str, mark: SentenceMark) -> int:
    end = min(max(mark.end, 0), len(text))
    start = min(max(mark.start, 0), end)
    return start + len(text[start:end].rstrip()) if text[start:end].strip() else end


def _buttons(numbers: str, turn: int) -> str:
    if not numbers:
        return ""
    buttons = "".join(number_button(int(number), turn) for number in numbers.split(",") if number)
    return f'<span class="at-cites">{buttons}</span>'


def number_button(number: int, turn: int, name: str = "") -> str:
    """The clickable number of a citation of turn `turn` (0-based)."""
    label = escape(f"Citation {number}" + (f": {name}" if name else ""))
    return (
        f'<button type="button" class="at-cite" data-act="citation" data-turn="{turn}" data-n="{number}"'
        f' aria-label="{label}" title="{label}">{number}</button>'
    )
