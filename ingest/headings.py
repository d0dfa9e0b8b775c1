"""Which lines of a page are headings, and the path of headings above any offset.

Finds what lawyers and clinicians number and name: ARTICLE IV, Section 2.1, § 12, "1. DEFINITIONS",
short lines in capitals, INDICATIONS AND USAGE, Methods. Conservative: a heading that is missed costs a word
of context, a sentence mistaken for one misleads every reference below it. Knows text only, no format.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from ingest.document import Heading

_MAX_LINE = 110
_MAX_CAPITALS = 70
_EDGE_LINES = 3  # lines at the top and bottom where running heads and feet live
_RUNNING_AFTER = 2  # pages that must repeat a line before it is taken for a running head

_LINE = re.compile(r"[^\n]+")
_DIGITS = re.compile(r"\d+")
_CLINICAL = re.compile(
    r"""(?:\d{1,2}(?:\.\d{1,2})?\s+)?(?:
    (?:FULL\s+PRESCRIBING\s+INFORMATION|BOXED\s+WARNING|INDICATIONS?\s+(?:AND|&)\s+USAGE|
    DOSAGE\s+(?:AND|&)\s+ADMINISTRATION|DOSAGE\s+FORMS?\s+(?:AND|&)\s+STRENGTHS?|CONTRAINDICATIONS?|
    WARNINGS?(?:\s+(?:AND|&)\s+PRECAUTIONS?)?|PRECAUTIONS|ADVERSE\s+REACTIONS?|DRUG\s+INTERACTIONS?|
    USE\s+IN\s+SPECIFIC\s+POPULATIONS|OVERDOSAGE|DESCRIPTION|CLINICAL\s+PHARMACOLOGY|
    NONCLINICAL\s+TOXICOLOGY|CLINICAL\s+STUDIES|HOW\s+SUPPLIED(?:/STORAGE\s+AND\s+HANDLING)?|
    PATIENT\s+COUNSELING\s+INFORMATION|MECHANISM\s+OF\s+ACTION|PHARMACOKINETICS)|
    (?i:abstract|background|introduction|objectives?|(?:materials?\s+and\s+)?methods|study\s+design|
    statistical\s+analysis|eligibility\s+criteria|inclusion\s+criteria|exclusion\s+criteria|results|
    discussion|conclusions?|limitations|references|acknowledge?ments?|appendix(?:\s+[a-z0-9]{1,3})?)
    )\s*:?""",
    re.X,
)
_ARTICLE = re.compile(
    r"(?:ARTICLE|Article|CHAPTER|Chapter|PART|TITLE)\s+(?:[IVXLC]{1,7}|\d{1,3}|[A-Z])\b[.:—–-]?(.*)"
)
_SECTION = re.compile(
    r"(?:(?:SECTION|Section|SEC\.|Sec\.)\s*|§\s*)(\d{1,4}(?:[.-]\d{1,4})*[a-z]?)(?:\([a-z0-9]{1,4}\))*[.:—–-]?(.*)"
)
_EXHIBIT = re.compile(
    r"(?:EXHIBIT|Exhibit|SCHEDULE|Schedule|ANNEX|Annex|ATTACHMENT|Attachment|APPENDIX|Appendix)"
    r"\s+[A-Z0-9][A-Z0-9.-]{0,5}[.:—–-]?(.*)"
)
_NUMBERED = re.compile(r"(\d{1,3}(?:\.\d{1,3}){0,4})(\.?)\s+(\S.*)")
_ROMAN = re.compile(r"(?:[IVX]|[IVXLC]{2,6})\.\s+(\S.*)")
_LETTER = re.compile(r"[A-Z]\.\s+(\S.*)")
_CONTENTS = re.compile(
    r".*(?:\t|\.{3,}|…|\. \. )[\s.]*[\divxlc-]{1,7}|.*\d-\d{1,3}"
)  # a line of a table of contents
_ENDS_IN_NUMBER = re.compile(r".*\s[\d-]{1,7}")
_SENTENCE_INSIDE = re.compile(r"[.;!?]\s+\S")
_MINOR_WORDS = "a an and as at but by for from in into of on or per the to under upon with vs via"
_MINOR = frozenset(_MINOR_WORDS.split())


class HeadingDetector:
    """Finds headings page after page; remembers page edges so as to ignore running heads and feet.

    below: deepest level that the document itself declares (outline, styles); found headings go below it.
    """

    def __init__(self, below: int = 0) -> None:
        self._below = below
        self._edges: Counter[str] = Counter()

    def merge(self, text: str, declared: Sequence[Heading] = ()) -> tuple[Heading, ...]:
        """Declared headings and those found in `text`, ordered; a line is a heading only once."""
        taken = {_line_start(text, heading.start) for heading in declared}
        found = [heading for heading in self._find(text) if heading.start not in taken]
        # A declared heading that was not found on the page stands at 0, above what starts there.
        return tuple(sorted([*declared, *found], key=lambda h: (h.start, h.level)))

    def _find(self, text: str) -> list[Heading]:
        lines = [(m.start(), m.group()) for m in _LINE.finditer(text) if not m.group().isspace()]
        repeated = self._running([line for _, line in lines])
        found = []
        for index, (start, line) in enumerate(lines):
            stripped = line.strip()
            level = line_level(stripped)
            if level is None or _edge_key(stripped) in repeated:
                continue
            if stripped.isupper() and index and _continues_capitals(lines[index - 1][1], lines, index):
                continue
            offset = start + len(line) - len(line.lstrip())
            found.append(Heading(offset, self._below + level, " ".join(stripped.split()).rstrip(" :.—–-")))
        return found

    def pass_by(self, edge_lines: Iterable[str]) -> None:
        """Remember the edges of a page without finding its headings; `edge_lines` are those of `text`."""
        self._running(list(edge_lines))

    def _running(self, lines: list[str]) -> set[str]:
        """Edge lines of this page that earlier pages had too."""
        edges = {_edge_key(line.strip()) for line in [*lines[:_EDGE_LINES], *lines[-_EDGE_LINES:]]}
        repeated = {key for key in edges if self._edges[key] >= _RUNNING_AFTER}
        self._edges.update(edges)
        if len(self._edges) > 5000:
            self._edges = Counter(dict(self._edges.most_common(1000)))
        return repeated


def edge_lines(text: str) -> tuple[str, ...]:
    """The lines at the top and bottom of a page, all that a detector remembers of it."""
    lines = [line for line in _LINE.findall(text) if not line.isspace()]
    return tuple(lines if len(lines) <= 2 * _EDGE_LINES else lines[:_EDGE_LINES] + lines[-_EDGE_LINES:])


def line_level(line: str) -> int | None:
    """Level of a line (stripped) that is a heading by its form, 1..5, else None."""
    if not 3 <= len(line) <= _MAX_LINE or line[-1] in ",;" or not any(c.isalpha() for c in line):
        return None
    if _CONTENTS.fullmatch(line):
        return None
    if _CLINICAL.fullmatch(line):
        return 2
    if match := _ARTICLE.fullmatch(line):
        return 1 if _is_title(match.group(1)) else None
    if match := _EXHIBIT.fullmatch(line):
        return 1 if _is_title(match.group(1)) else None
    if match := _SECTION.fullmatch(line):
        return 2 + min(match.group(1).count("."), 2) if _is_title(match.group(2)) else None
    if match := _NUMBERED.fullmatch(line):
        number, dot, title = match.groups()
        if not dot and "." not in number and not title.isupper():
            return None  # "12 patients were", "2020 Annual Report"
        if _ENDS_IN_NUMBER.fullmatch(title):
            return None  # a table of contents, or a row of figures
        return min(2 + number.count("."), 5) if _is_title(title) and title[0].isalpha() else None
    if match := _ROMAN.fullmatch(line):
        return 1 if _is_title(match.group(1)) else None
    if match := _LETTER.fullmatch(line):
        return 2 if _is_title(match.group(1)) else None
    return 2 if _is_capitals(line) else None


def _is_title(text: str) -> bool:
    """Nothing, capitals, or words that start with capitals like a title; never a whole sentence."""
    text = text.strip()
    if not text:
        return True
    if len(text) > 80 or _SENTENCE_INSIDE.search(text):
        return False
    words = [word.strip("()[]“”\"'’.,:;/&-–—") for word in text.split()]
    words = [word for word in words if word and word[0].isalpha()]
    if not words or not words[0][0].isupper():
        return False
    major = [word for word in words if word.lower() not in _MINOR]
    capitalised = sum(word[0].isupper() for word in major)
    return len(words) <= 12 and capitalised >= 0.7 * len(major) and (capitalised > 1 or len(words) <= 3)


def _is_capitals(line: str) -> bool:
    letters = [c for c in line if c.isalpha()]
    words = [word for word in line.split() if sum(c.isalpha() for c in word) >= 2]
    if len(letters) < 5 or len(line) > _MAX_CAPITALS or not words:
        return False
    if not all(c.isupper() for c in letters) or len(letters) < 0.6 * len(line.replace(" ", "")):
        return False
    return len(words) >= 2 or len(letters) >= 8


def _continues_capitals(before: str, lines: list[tuple[int, str]], index: int) -> bool:
    """Whether a line in capitals is the middle of a paragraph in capitals (a disclaimer), not a heading."""
    before = before.strip()
    if len(before) > 40 and before.isupper() and before[-1] not in ".:":
        return True
    after = lines[index + 1][1].strip() if index + 1 < len(lines) else ""
    return len(after) > 40 and after.isupper() and not _is_capitals(after)


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


def extent(text: str, heading: Heading) -> int:
    """End of the heading's own words in the page's text; `heading.start` if they are not there."""
    words = heading.text.split()
    match = re.compile(r"\s+".join(map(re.escape, words)), re.I).match(text, heading.start)
    if match is None:
        return heading.start
    end = text.find("\n", match.end())
    rest = text[match.end() : len(text) if end < 0 else end]
    # "Section 2.1 Term" with the rest of its line; a run-in heading ends where its own words do.
    return match.end() + len(rest) if len(rest) <= 4 else match.end()


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
