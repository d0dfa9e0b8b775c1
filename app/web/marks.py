"""The text of an answer as HTML: plain Markdown, no links or HTML, citation numbers at sentence ends.

Everything the model wrote is escaped; numbers come only from the recorded sentence marks, never from
text such as "[3]" in the answer itself.
"""

import re
from collections.abc import Collection, Sequence
from html import escape

from markdown_it import MarkdownIt

from app.answer import SentenceMark
from app.web.sentences import sentence_spans

_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile("\u2009?" + _OPEN + r"([0-9,]*)" + _CLOSE)
# The thin space counts as white space for Markdown, so a number after "**Yes.**" leaves it bold.
_BEFORE = "\u2009" + _OPEN

_MARKDOWN = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table")
_MARKDOWN.disable(["html_block", "html_inline", "link", "image", "autolink", "reference", "entity", "code"])


def answer_html(
    text: str, sentences: Sequence[SentenceMark] = (), *, turn: int = 0, known: Collection[int] = ()
) -> str:
    """Render `text`. Numbers outside `known` are dropped; each kept one becomes a button.

    Every sentence can be chosen: its text is in spans of its number, see `app.web.sentences`.
    """
    plain = text.replace(_OPEN, "\ufffd").replace(_CLOSE, "\ufffd")
    for mark in sorted(sentences, key=lambda sentence: -sentence.end):
        numbers = [number for number in dict.fromkeys(mark.citations) if number in known]
        end = _end_of_words(plain, mark)
        plain = plain[:end] + _BEFORE + ",".join(map(str, numbers)) + _CLOSE + plain[end:]
    rendered = sentence_spans(str(_MARKDOWN.render(plain)), _MARK, turn)
    return _MARK.sub(lambda match: _buttons(match.group(1), turn), rendered)


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
