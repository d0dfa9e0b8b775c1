"""Where a passage stands, in the form in which each profession cites: "p. 12, § 4.2".

legal: page and section. medical: page and table, or the heading of the section. general: page and heading.
Where a format has no pages, for all of them: the headings from the outside in, and the paragraph. What the
document does not say is left out, never guessed. Knows strings and numbers, not the store.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_DIVISION = re.compile(
    r"(article|art\.|part|title|chapter|schedule|exhibit|annex|appendix)\s+([ivxlc]+|\d+|[a-z])\b", re.I
)
_SHORT = {"article": "art.", "chapter": "ch.", "schedule": "sched.", "exhibit": "ex.", "appendix": "app."}
_SECTION = re.compile(
    r"(?:§+\s*|(?:section|sec\.|clause)\s+|(?=\d{1,3}(?!\d)))"
    r"(\d+[a-z]?(?:\.\d+[a-z]?)*(?:\s?\([a-z0-9]{1,4}\))*)(?=[\s.):,—–-]|$)",
    re.I,
)
_ITEM = re.compile(r"(\((?:[a-z]{1,4}|\d{1,2})\))(?=\s|$)", re.I)
_TABLE = re.compile(r"\b(table|figure|box)\s+(\d+(?:[.-]\d+)*[a-z]?|[ivxlc]+)\b", re.I)
BLANK_LINE = re.compile(r"\n[ \t]*\n")
_LONGEST = 60  # characters of a heading that is quoted


@dataclass(frozen=True)
class Place:
    """page_label: as printed, None where the format has no pages. part: which stretch of such a format.

    heading_path: the outermost first. paragraph: counted from 1 behind the last heading, None if unknown.
    text: of the passage.
    """

    page_label: str | None
    heading_path: Sequence[str]
    text: str
    part: int = 1
    paragraph: int | None = None


def pin_cite(profile: str, place: Place) -> str:
    """The pin cite of a passage; profile: legal, medical or general."""
    if place.page_label is None:
        return _without_pages(place)
    page = f"p. {place.page_label}"
    if profile == "legal":
        closer = section(place.heading_path) or _quoted(place.heading_path)
    elif profile == "medical":
        closer = _table(place) or _quoted(place.heading_path)
    else:
        closer = _quoted(place.heading_path)
    return f"{page}, {closer}" if closer else page


def section(heading_path: Sequence[str]) -> str | None:
    """The number of the innermost section, with the division that it is numbered in: "art. IV, § 2(b)"."""
    division = number = None
    for heading in heading_path:
        line = heading.strip()
        if found := _DIVISION.match(line):
            kind = found[1].lower()
            division, number = f"{_SHORT.get(kind, kind)} {found[2]}", None
        elif found := _SECTION.match(line):
            number = "§ " + re.sub(r"\s+", "", found[1])
        elif (found := _ITEM.match(line)) and number is not None:
            number += found[1]
    if number is None or (division is not None and "." not in number):
        return ", ".join(each for each in (division, number) if each) or None
    return number


def _table(place: Place) -> str | None:
    """The table that the passage begins with, or stands under."""
    for text in (place.text[:_LONGEST], *reversed(place.heading_path)):
        if found := _TABLE.match(text.strip()):
            return f"{found[1].capitalize()} {found[2]}"
    return None


def _quoted(heading_path: Sequence[str]) -> str | None:
    if not heading_path or not (line := " ".join(heading_path[-1].split())):
        return None
    return f"“{line if len(line) <= _LONGEST else line[: _LONGEST - 1].rstrip() + '…'}”"


def _without_pages(place: Place) -> str:
    path = " › ".join(" ".join(heading.split()) for heading in place.heading_path) or f"part {place.part}"
    return path if place.paragraph is None else f"{path}, para. {place.paragraph}"


def paragraphs(text: str) -> int:
    """How many paragraphs begin in `text`: stretches between blank lines."""
    return sum(bool(each.strip()) for each in BLANK_LINE.split(text))
