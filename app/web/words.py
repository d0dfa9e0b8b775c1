"""Words that the model attended to, out of the tokens that it did: whole words, in four strengths.

Each strength is a shade, a thickness of line and a number, so that it can be told without colours. Text in,
values and HTML out; everything is escaped.
"""

from collections.abc import Sequence
from html import escape

from app.answering.answer import TokenAttention
from app.web.reading import per_cent, strength

MOST_LISTED = 12


def whole_words(text: str, tokens: Sequence[TokenAttention]) -> list[TokenAttention]:
    """Tokens grown to whole words of `text`; those of one word become one, and their attention adds up."""
    words: list[TokenAttention] = []
    for token in sorted(tokens, key=lambda each: each.start):
        start, end = token.start, min(token.end, len(text))
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        if start >= end:
            continue
        if text[start].isalnum():
            while start > 0 and text[start - 1].isalnum():
                start -= 1
        if text[end - 1].isalnum():
            while end < len(text) and text[end].isalnum():
                end += 1
        if words and start < words[-1].end:
            last = words.pop()
            start, end = last.start, max(last.end, end)
            both = (last.attention + token.attention, last.read + token.read)
            words.append(TokenAttention(start, end, *both))
        else:
            words.append(TokenAttention(start, end, token.attention, token.read))
    return words


def words_html(text: str, words: Sequence[TokenAttention]) -> str:
    """The strongest words with their strength and their share, for those who cannot tell shades apart."""
    peak = max((word.read for word in words), default=0.0)
    marked = [word for word in words if strength(word.read, peak)]
    strongest = sorted(marked, key=lambda word: -word.read)[:MOST_LISTED]
    if not strongest:
        return ""
    rows = "".join(
        f'<li><span class="at-key at-s{level}">{level}</span>'
        f'<span class="at-key-word">{escape(" ".join(text[word.start : word.end].split()))}</span>'
        f'<span class="at-key-share">{per_cent(word.read)}</span></li>'
        for word in strongest
        for level in (strength(word.read, peak),)
    )
    more = len(marked) - len(strongest)
    rest = f'<p class="at-caption">and {more} more words, more faintly</p>' if more else ""
    return (
        '<details class="at-words" open><summary>Words read most, strength 4 (most) to 1</summary>'
        f'<ol class="at-keys">{rows}</ol>{rest}</details>'
    )
