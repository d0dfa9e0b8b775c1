"""Formats without pages: a flow of blocks becomes sections small enough that a section number helps to find.

A section starts at every top-level heading and wherever the last one has grown to about 6000 characters; it
is a `Page` without boxes whose label is its number. Knows blocks, not where they came from.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ingest.document import DocumentInfo, Heading, Page, Read
from ingest.headings import HeadingDetector

SECTION_CHARACTERS = 6000
_SENTENCE_END = re.compile(r"[.!?。！？][\"”’)\]]*\s+|\n")
_MAX_LEVEL = 9


@dataclass(frozen=True)
class Block:
    """A paragraph, heading, list item or table row.

    text: cleaned, not empty. level: 1..9 for headings, else None. tight: follows the block before without a
    blank line (list items, table rows). opens: the heading that a paragraph opens (at `level`) and goes on
    after, or that a heading stands for in other words; None where text and heading are the same.
    """

    text: str
    level: int | None = None
    tight: bool = False
    opens: str | None = None

    @property
    def is_heading(self) -> bool:
        """Whether there is nothing but a heading: it belongs to what follows."""
        return self.level is not None and (self.opens is None or len(self.text) <= len(self.opens))


def read_flow(
    media_type: str,
    title: str | None,
    metadata: dict[str, str],
    blocks: Iterable[Block],
    *,
    all_declared: bool = False,
) -> Read:
    """Yield the information and the sections of a flow of blocks.

    all_declared: the format marks every heading, so that none has to be found by its looks.
    """
    sections = list(_sections(blocks))
    yield DocumentInfo(media_type, title, len(sections), False, metadata)
    deepest = max((block.level or 0 for section in sections for block in section), default=0)
    detector = HeadingDetector(below=deepest)
    for number, section in enumerate(sections, 1):
        text, declared = _joined(section)
        headings = tuple(declared) if all_declared else detector.merge(text, declared)
        yield Page(number, str(number), text, headings=headings)


def _sections(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    section: list[Block] = []
    size = 0
    for block in (piece for whole in blocks for piece in _pieces(whole)):
        has_body = not all(other.is_heading for other in section)
        if (block.level == 1 and has_body) or (section and size + len(block.text) > SECTION_CHARACTERS):
            carried = _trailing_headings(section)
            if len(carried) < len(section):
                yield section[: len(section) - len(carried)]
                section = carried
                size = sum(len(other.text) + 2 for other in section)
        section.append(block)
        size += len(block.text) + 2
    if section:
        yield section


def _trailing_headings(section: list[Block]) -> list[Block]:
    """Headings at the end of a section belong to what follows them."""
    count = 0
    while count < len(section) and section[-1 - count].is_heading:
        count += 1
    return section[len(section) - count :]


def _pieces(block: Block) -> Iterator[Block]:
    """A block longer than a section, cut at sentence ends or else at white space."""
    text = block.text
    while len(text) > SECTION_CHARACTERS:
        ends = [m.end() for m in _SENTENCE_END.finditer(text, SECTION_CHARACTERS // 2, SECTION_CHARACTERS)]
        space = text.rfind(" ", SECTION_CHARACTERS // 2, SECTION_CHARACTERS)
        end = ends[-1] if ends else space + 1 if space > 0 else SECTION_CHARACTERS
        yield replace(block, text=text[:end].rstrip())
        text = text[end:].lstrip()
        block = replace(block, level=None, opens=None)
    if text:
        yield replace(block, text=text)


def _joined(section: list[Block]) -> tuple[str, list[Heading]]:
    parts: list[str] = []
    headings: list[Heading] = []
    offset = 0
    for block in section:
        if parts:
            gap = "\n" if block.tight else "\n\n"
            parts.append(gap)
            offset += len(gap)
        if block.level is not None:
            headings.append(
                Heading(
                    offset,
                    min(max(block.level, 1), _MAX_LEVEL),
                    " ".join((block.opens or block.text).split())[:300],
                )
            )
        parts.append(block.text)
        offset += len(block.text)
    return "".join(parts), headings
