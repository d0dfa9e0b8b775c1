"""Which lines of a page are headings, and the path of headings above any offset.

`ingest.heading_lines` says what form a line has, `ingest.numbering` what level that form takes after those
before it, on whichever page they stood. Knows text only, no format.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from ingest.document import Heading
from ingest.heading_lines import Form, Kind, contents_lines, is_title, line_form
from ingest.numbering import Numbering

_EDGE_LINES = 3  # lines at the top and bottom where running heads and feet live
_RUNNING_AFTER = 2  # pages that must repeat a line before it is taken for a running head
_LONGEST_HEADING = 120
_LISTED_AFTER = 3  # headings in a row without text between them
_CAPITAL_LINES = 2  # more in a row are a paragraph
_BODY_LINE = 35  # characters; what stands below a heading is longer than lines of an address

_LINE = re.compile(r"[^\n]+")
_DIGITS = re.compile(r"\d+")
_WORD = re.compile(r"[^\W\d_]{3}")


class _Line:
    """A line that is not blank. start, end: of its words, in the page's text."""

    def __init__(self, start: int, raw: str) -> None:
        self.text = raw.strip()
        self.start = start + len(raw) - len(raw.lstrip())
        self.end = start + len(raw)


class HeadingDetector:
    """Finds headings page after page; remembers numbering, and page edges to ignore running heads and feet.

    below: deepest level that the document itself declares (outline, styles); found headings go below it.
    """

    def __init__(self, below: int = 0) -> None:
        self._below = below
        self._edges: Counter[str] = Counter()
        self._numbering = Numbering()
        self._pages = 0

    def merge(self, text: str, declared: Sequence[Heading] = ()) -> tuple[Heading, ...]:
        """Declared headings and those found in `text`, ordered; a line is a heading only once."""
        taken = {(_line_start(text, heading.start), extent(text, heading)) for heading in declared}
        found = self._find(text, sorted(taken))
        # A declared heading that was not found on the page stands at 0, above what starts there.
        return tuple(sorted([*declared, *found], key=lambda h: (h.start, h.level)))

    def _find(self, text: str, taken: list[tuple[int, int]]) -> list[Heading]:
        lines = [_Line(m.start(), m.group()) for m in _LINE.finditer(text) if not m.group().isspace()]
        self._pages += 1
        repeated = self._running([line.text for line in lines])
        forms = [line_form(line.text, after.text) for line, after in pairwise([*lines, _Line(0, "")])]
        skipped = contents_lines([line.text for line in lines]) | _listed(forms) | _paragraphs(lines, forms)
        found: list[Heading] = []
        declared_to = 0
        for index, (line, form) in enumerate(zip(lines, forms, strict=True)):
            while taken and taken[0][0] <= line.start:
                self._numbering.restart()  # what is found is below what is declared
                declared_to = taken.pop(0)[1]
                if declared_to <= line.start:
                    declared_to = line.end  # its words are not those of the line
            if line.start < declared_to:
                continue
            if form is None or index in skipped or _edge_key(line.text) in repeated:
                continue
            if self._is_filed(form) and index < _EDGE_LINES:
                continue
            following = lines[index + 1].text if index + 1 < len(lines) else ""
            level = self._numbering.level(form)
            if level is not None:
                words = form.words
                if _is_continued(form, line, lines[index + 1 : index + 2], forms[index + 1 : index + 2]):
                    skipped.add(index + 1)
                    words = f"{words} {following}"
                words = " ".join(words.split()).rstrip(" :.—–-")
                found.append(Heading(line.start, self._below + level, words))
        return found

    def _is_filed(self, form: Form) -> bool:
        """Whether an exhibit with a number stands at the top of the first page: what a filing calls it."""
        return self._pages == 1 and form.kind is Kind.EXHIBIT and form.words.split()[1].rstrip(".:").isdigit()

    def _running(self, lines: list[str]) -> set[str]:
        """Edge lines of this page that earlier pages had too."""
        edges = {_edge_key(line) for line in [*lines[:_EDGE_LINES], *lines[-_EDGE_LINES:]]}
        repeated = {key for key in edges if self._edges[key] >= _RUNNING_AFTER}
        self._edges.update(edges)
        if len(self._edges) > 5000:
            self._edges = Counter(dict(self._edges.most_common(1000)))
        return repeated


def _is_continued(form: Form, line: "_Line", after: list["_Line"], forms: list[Form | None]) -> bool:
    """Whether the next line is the rest of the heading: "ARTICLE IV"'s title, a second line in capitals."""
    if not after or len(line.text) + len(after[0].text) > _LONGEST_HEADING:
        return False
    below = forms[0]
    if form.kind in (Kind.ARTICLE, Kind.EXHIBIT):
        plain = below is None or below.kind in (Kind.CAPITALS, Kind.CLINICAL)
        return not form.titled and plain and len(after[0].text) >= 3 and is_title(after[0].text)
    both = below is not None and below.kind is form.kind is Kind.CAPITALS
    return both and after[0].start == line.end + 1


def _listed(forms: list[Form | None]) -> set[int]:
    """Headings one after the other with nothing between them: a list of contents or of exhibits."""
    found: set[int] = set()
    run: list[int] = []
    for index, form in enumerate([*forms, None]):
        before = forms[run[-1]] if run else None
        if form and before and form.whole and form.number and form.kind is before.kind:
            run.append(index)
            continue
        if len(run) >= _LISTED_AFTER:
            found.update(run)
        run = [index] if form and form.whole and form.number else []
    return found


def _paragraphs(lines: list["_Line"], forms: list[Form | None]) -> set[int]:
    """Lines in capitals that are no headings: part of a paragraph in capitals, an address, a signature."""
    found: set[int] = set()
    run: list[int] = []
    for index, line in enumerate([*lines, _Line(0, "")]):
        joined = run and lines[run[-1]].end + 1 == line.start and line.text.isupper()
        if joined:
            run.append(index)
            continue
        capitals = [i for i in run if (form := forms[i]) and form.kind is Kind.CAPITALS]
        body = lines[run[-1] + 1 : run[-1] + 3] if run else []
        heads = [forms[i] for i in range(index, min(index + 2, len(lines)))]
        short = body and not any(heads) and not any(_is_prose(other.text) for other in body)
        if len(run) > _CAPITAL_LINES or short or any(len(lines[i].text) > _BODY_LINE * 2 for i in run):
            found.update(capitals)
        run = [index] if line.text.isupper() else []
    return found


def _is_prose(line: str) -> bool:
    """Whether a line below words in capitals is text that they head, not the next line of an address."""
    return len(line) >= _BODY_LINE or line[-1] in ".:;?!"


def _edge_key(line: str) -> str:
    return _DIGITS.sub("#", " ".join(line.split()).casefold())


def _line_start(text: str, offset: int) -> int:
    start = text.rfind("\n", 0, offset) + 1
    while start < offset and text[start].isspace():
        start += 1
    return start


def place(text: str, title: str, after: int = 0) -> int | None:
    """Offset of `title` in `text`, white space and case aside; a whole line is preferred. None if absent."""
    words = title.split()
    if not words:
        return None
    pattern = re.compile(r"\s+".join(map(re.escape, words)), re.I)
    best: int | None = None
    for match in pattern.finditer(text):
        at_line_start = not text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip(
            " \t0123456789."
        )
        if at_line_start and match.start() >= after:
            return match.start()
        if best is None and at_line_start:
            best = match.start()
    return best


def has_title(heading: str) -> bool:
    """Whether a heading says more than where it stands: "2.1 Term", not "2.1" or "(b)"."""
    return _WORD.search(heading) is not None


def extent(text: str, heading: Heading) -> int:
    """End of the heading's own words in the page's text; `heading.start` if they are not there."""
    words = heading.text.split()
    match = re.compile(r"\s+".join(map(re.escape, words)), re.I).match(text, heading.start)
    if match is None:
        return heading.start
    end = text.find("\n", match.end())
    rest = text[match.end() : len(text) if end < 0 else end]
    # "Section 2.1 Term" with the rest of its line; a run-in heading ends where its own words do.
    return match.end() + (len(rest) if len(rest) <= 4 else len(rest) - len(rest.lstrip(".:—–")))


class HeadingPath:
    """The stack of headings that are open at a place, carried across pages."""

    def __init__(self, open_headings: Iterable[Heading] = ()) -> None:
        self._stack: list[Heading] = list(open_headings)

    def enter(self, heading: Heading) -> None:
        """Pass `heading`: it closes those of its own level and below."""
        while self._stack and self._stack[-1].level >= heading.level:
            self._stack.pop()
        self._stack.append(heading)

    @property
    def open(self) -> tuple[Heading, ...]:
        """Outermost first. Starts are offsets in the pages where the headings stood."""
        return tuple(self._stack)

    @property
    def titles(self) -> tuple[str, ...]:
        """Outermost first."""
        return tuple(heading.text for heading in self._stack)

    def copy(self) -> "HeadingPath":
        return HeadingPath(self._stack)
