"""Pages to references: stretches of at most 128 tokens that reproduce the page exactly at their offsets.

References tile each page in order, never overlap, never cross a page, and skip only white space. Each is
encoded behind a short header (document title > heading path) that gives it context but is no part of its
offsets. The body is tokenized alone, so that the stored tokens are those of `page.text[start:end]`, whatever
the tokenizer does at borders; the page's own tokens only say where a border is worth trying.

What stands in a page's margins (`Page.margins`) is cut out before anything else: no reference starts or ends
in it and none has tokens of it, so that a sentence is read whole across the line numbers of a pleading or a
page's foot. A reference's span may cover margins, and its offsets are still those of the page.

Knows a `tokenize` function, no model and no store.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engine.format import REFERENCE_TOKENS
from engine.protocol import Tokens
from ingest.document import Page
from ingest.errors import ReferenceLimitTooSmall
from ingest.headings import HeadingPath, extent, has_title
from ingest.sentences import Cut, cuts, is_character_border

Tokenize = Callable[[str], Tokens]

_SMALLEST_BODY = 16  # tokens; a code point takes up to four, and shorter bodies mean nothing
# Least share of the token budget that must be filled before a cut of this kind is good enough.
_FILL = {Cut.HEADING: 0.35, Cut.PARAGRAPH: 0.55, Cut.SENTENCE: 0.3, Cut.CLAUSE: 0.5, Cut.WORD: 0.0}
_TAIL = 0.4  # a last reference below this share of the budget is balanced with the one before


@dataclass(frozen=True, eq=False)
class Reference:
    """One chunk of one page.

    page: 1-based. start, end: code points of the page's text. heading_path: outermost first, the headings
    open at `start` (a heading that starts there included). token_ids: header, then body. header_tokens: how
    many of them are header. token_offsets: (body tokens, 2) uint32, page offsets of each body token.
    text: the page's text from `start` to `end` without its margins, which is what the body's tokens spell.
    """

    page: int
    start: int
    end: int
    heading_path: tuple[str, ...]
    token_ids: tuple[int, ...]
    header_tokens: int
    token_offsets: npt.NDArray[np.uint32]
    text: str


def chunk(
    pages: Iterable[Page],
    tokenize: Tokenize,
    title: str,
    limit: int = REFERENCE_TOKENS,
    header_limit: int = 24,
    *,
    path: HeadingPath | None = None,
) -> Iterator[Reference]:
    """Yield the references of each page as it comes.

    path: headings open before the first page; it is carried on, so that work can resume at any page with
    the path that it had there. Raises ReferenceLimitTooSmall if the header leaves less than 16 tokens.
    """
    if limit - header_limit < _SMALLEST_BODY:
        raise ReferenceLimitTooSmall(
            f"a reference of {limit} tokens with a header of {header_limit} has no room for text; "
            f"raise the limit to at least {header_limit + _SMALLEST_BODY}"
        )
    headers = _Headers(tokenize, title, header_limit)
    path = path if path is not None else HeadingPath()
    for page in pages:
        yield from _Cutter(page, tokenize, headers, limit).references(path)


class _Headers:
    """Token ids of headers, cached for the last path."""

    def __init__(self, tokenize: Tokenize, title: str, limit: int) -> None:
        self._tokenize, self._limit = tokenize, limit
        self._title = " ".join(title.split())
        self._last: tuple[tuple[str, ...], tuple[int, ...]] | None = None

    def ids(self, path: tuple[str, ...]) -> tuple[int, ...]:
        if self._last is None or self._last[0] != path:
            self._last = path, tuple(self._fitted(path))
        return self._last[1]

    def _fitted(self, path: tuple[str, ...]) -> list[int]:
        """Whole if it fits; else the title's beginning and the deepest heading, each cut as needed."""
        if self._limit <= 0 or not (self._title or path):
            return []
        titled = [index for index, part in enumerate(path) if has_title(part)]
        deepest = path[titled[-1] :] if titled else path[-1:]
        for parts in ((self._title, *path), (self._title, *deepest)):
            ids = self._encoded(parts)
            if len(ids) <= self._limit:
                return ids
        for share in (0.5, 0.4, 0.3, 0.2, 0.1):
            room = int(self._limit * share)
            ids = self._encoded([self._cut(self._title, room), *(self._cut(part, room) for part in deepest)])
            if len(ids) <= self._limit:
                return ids
        return self._encoded([self._title])[: self._limit]

    def _encoded(self, parts: Iterable[str]) -> list[int]:
        return self._tokenize(" > ".join(part for part in parts if part) + "\n").ids

    def _cut(self, text: str, tokens: int) -> str:
        offsets = self._tokenize(text).offsets
        return text if len(offsets) <= tokens else text[: offsets[tokens][0]].rstrip()


def _without_margins(page: Page) -> tuple[str, npt.NDArray[np.int64]]:
    """The text outside the margins, and the page's offset of each of its characters."""
    keep = np.ones(len(page.text), dtype=np.bool_)
    pieces, after = [], 0
    for start, end in page.margins:
        keep[start:end] = False
        pieces.append(page.text[after:start])
        after = end
    return "".join([*pieces, page.text[after:]]), np.flatnonzero(keep)


class _Cutter:
    """Cuts one page."""

    def __init__(self, page: Page, tokenize: Tokenize, headers: _Headers, limit: int) -> None:
        self._page = page
        # All below counts in the text without margins; `_kept` has the page's offset of each character.
        self._text, self._kept = _without_margins(page)
        self._tokenize, self._headers, self._limit = tokenize, headers, limit
        self._headings = sorted(
            (replace(h, start=int(np.searchsorted(self._kept, h.start))) for h in page.headings),
            key=lambda heading: heading.start,
        )
        self._ends = [extent(self._text, heading) for heading in self._headings]
        lines = [
            (heading.start, end)
            for heading, end in zip(self._headings, self._ends, strict=True)
            if end > heading.start and has_title(heading.text)
        ]
        self._cuts = cuts(self._text, lines)
        self._places = sorted(self._cuts)
        # Where each token of the page begins and ends: how many lie in a stretch estimates its length.
        offsets = tokenize(self._text).offsets if self._text.strip() else []
        self._token_starts = sorted(start for start, _ in offsets)
        self._token_ends = sorted(end for _, end in offsets)

    def references(self, path: HeadingPath) -> Iterator[Reference]:
        position, passed = self._skip_space(0), 0
        while position < len(self._text):
            spoken = []  # headings that the body itself begins with; the header does not repeat them
            while passed < len(self._headings) and self._headings[passed].start <= position:
                path.enter(self._headings[passed])
                if self._ends[passed] > position:
                    spoken.append(self._headings[passed])
                passed += 1
            header = self._headers.ids(tuple(h.text for h in path.open if not any(h is s for s in spoken)))
            end, body = self._next(position, self._limit - len(header))
            start, last = self._on_page([(position, end)])[0].tolist()
            yield Reference(
                self._page.number,
                start,
                last,
                path.titles,
                (*header, *body.ids),
                len(header),
                self._on_page(body.offsets, position),
                self._text[position:end],
            )
            position = self._skip_space(end)
        for heading in self._headings[passed:]:
            path.enter(heading)

    def _on_page(self, spans: Sequence[tuple[int, int]], after: int = 0) -> npt.NDArray[np.uint32]:
        """Spans of the text without margins, counted from `after`, as spans of the page's text, (n, 2)."""
        starts, ends = np.asarray(spans, dtype=np.int64).reshape(-1, 2).T + after
        first = self._kept[np.minimum(starts, len(self._kept) - 1)]
        last = self._kept[np.clip(ends - 1, 0, len(self._kept) - 1)] + 1
        # a token may have no characters of its own
        return np.stack([first, np.where(ends > starts, last, first)], axis=1).astype(np.uint32)

    def _next(self, start: int, budget: int) -> tuple[int, Tokens]:
        """End of the reference that starts at `start`, and its tokens."""
        allowed = budget
        while True:
            end = self._trimmed(start, self._choose(start, allowed))
            body = self._tokenize(self._text[start:end])
            if len(body.ids) <= budget:
                return end, body
            # The page's tokens promised too much: cut where the body's own tokens reach the budget.
            if allowed <= 1 or end - start == 1:
                return self._hard(start, end, budget)
            allowed = min(allowed - 1, int(allowed * budget / len(body.ids)))
            allowed = max(allowed, 1)

    def _hard(self, start: int, end: int, budget: int) -> tuple[int, Tokens]:
        """The longest stretch within the budget, found by halving; at least one code point."""
        low, high = start + 1, end
        while low < high:
            middle = (low + high + 1) // 2
            if len(self._tokenize(self._text[start:middle]).ids) <= budget:
                low = middle
            else:
                high = middle - 1
        body = self._tokenize(self._text[start:low])
        return low, Tokens(body.ids[:budget], body.offsets[:budget])

    def _choose(self, start: int, budget: int) -> int:
        """The best cut within `budget` of the page's tokens after `start`."""
        total = self._count(start, len(self._text))
        farthest = self._farthest(start, budget)
        if total <= budget:
            heading = self._heading_split(start, budget)
            return heading if heading is not None else len(self._text)
        if (
            total < (1 + _TAIL) * budget
            and (end := self._balanced(start, total, budget, farthest)) is not None
        ):
            return end
        places = self._places[bisect_right(self._places, start) : bisect_right(self._places, farthest)]
        for cut, fill in _FILL.items():
            for place in reversed(places):
                if self._count(start, place) < fill * budget:
                    break
                if self._cuts[place] >= cut:
                    return place
        while farthest > start + 1 and not is_character_border(self._text, farthest):
            farthest -= 1
        if is_character_border(self._text, farthest):
            return farthest
        return max(self._farthest(start, budget), start + 1)  # one character longer than a whole reference

    def _heading_split(self, start: int, budget: int) -> int | None:
        """A heading in the middle of the page's remainder that leaves both sides worth a reference."""
        least = _FILL[Cut.HEADING] * budget
        for place in reversed(self._places[bisect_right(self._places, start) :]):
            if self._cuts[place] is Cut.HEADING:
                after = self._count(place, len(self._text))
                if min(after, self._count(start, place)) >= least:
                    return place
        return None

    def _balanced(self, start: int, total: int, budget: int, farthest: int) -> int | None:
        """The sentence end nearest the middle of a remainder that takes exactly two references."""
        first, last = bisect_right(self._places, start), bisect_right(self._places, farthest)
        best: tuple[float, int] | None = None
        for place in self._places[first:last]:
            if self._cuts[place] < Cut.SENTENCE:
                continue
            before = self._count(start, place)
            if before < _TAIL / 2 * budget or total - before > budget:
                continue
            better = 0.1 * (self._cuts[place] - Cut.SENTENCE)
            cost = abs(before - total / 2) / total - better
            if best is None or cost < best[0]:
                best = cost, place
        return best[1] if best else None

    def _farthest(self, start: int, budget: int) -> int:
        index = bisect_right(self._token_ends, start) + budget
        return self._token_starts[index] if index < len(self._token_starts) else len(self._text)

    def _count(self, start: int, end: int) -> int:
        return bisect_left(self._token_starts, end) - bisect_right(self._token_ends, start)

    def _skip_space(self, position: int) -> int:
        while position < len(self._text) and self._text[position].isspace():
            position += 1
        return position

    def _trimmed(self, start: int, end: int) -> int:
        while end > start + 1 and self._text[end - 1].isspace():
            end -= 1
        return end
