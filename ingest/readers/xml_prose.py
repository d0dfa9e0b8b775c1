"""Running text inside XML: paragraphs, lists and tables of elements that a format names, as blocks.

Knows sets of tags, not formats. An element outside every set is inline: its text flows on.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ingest.readers.clean import clean
from ingest.readers.flow import Block
from ingest.readers.tables import Rows, table

_MARKS: dict[str, Callable[[int], str]] = {
    "decimal": lambda n: f"{n}.",
    "lower": lambda n: f"{chr(96 + n)}." if n < 27 else f"{n}.",
    "upper": lambda n: f"{chr(64 + n)}." if n < 27 else f"{n}.",
}
_ORDERED = {
    "ordered": "decimal",  # SPL
    "order": "decimal",  # JATS
    "alpha-lower": "lower",
    "alpha-upper": "upper",
    "LittleAlpha": "lower",
    "BigAlpha": "upper",
}
_SPACE_BEFORE_POINT = re.compile(r"(?<=\w) (?=[.,;:)\]](?:\s|$))")


@dataclass(frozen=True)
class Prose:
    """Which tags mean what. blocks: begin and end a paragraph. dropped: hold nothing to read. inserts: are
    set apart inside their line, as " [text]" (footnotes). own: tags that `handle` turns into blocks."""

    blocks: frozenset[str]
    dropped: frozenset[str] = frozenset()
    inserts: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset({"list"})
    items: frozenset[str] = frozenset({"item", "list-item"})
    tables: frozenset[str] = frozenset({"table"})
    own: dict[str, Callable[[Any], Iterator[Block]]] = field(default_factory=dict)

    def text(self, element: Any) -> str:
        """All of an element's text on one line."""
        parts: list[str] = []
        self._inline(element, parts)
        return _tidy("".join(parts))

    def paragraphs(self, element: Any, mark: str = "") -> Iterator[Block]:
        """Blocks of an element's content. mark: stands before its first paragraph."""
        parts = [element.text or ""]
        for child in element:
            if self._is_block(child):
                for block in self._flush(parts, mark):
                    yield block
                    mark = ""
                for block in self.element(child, mark):
                    yield block
                    mark = ""
            elif child.tag not in self.dropped:
                self._inline_child(child, parts)
            parts.append(child.tail or "")
        yield from self._flush(parts, mark)

    def _is_block(self, element: Any) -> bool:
        if self._stands_alone(element.tag):
            return True
        return element.tag not in self.dropped | self.inserts and any(
            self._stands_alone(inner.tag) for inner in element.iterdescendants()
        )

    def _stands_alone(self, tag: str) -> bool:
        return tag in self.blocks or tag in self.lists or tag in self.tables or tag in self.own

    def element(self, element: Any, mark: str = "") -> Iterator[Block]:
        """Blocks of one element, which may be a list or a table itself."""
        if element.tag in self.own:
            yield from self.own[element.tag](element)
        elif element.tag in self.tables:
            yield from self.rows(element)
        elif element.tag in self.lists:
            yield from self._list(element)
        else:
            yield from self.paragraphs(element, mark)

    def _list(self, element: Any) -> Iterator[Block]:
        form = _ORDERED.get(element.get("styleCode", "")) or _ORDERED.get(
            element.get("listType") or element.get("list-type") or ""
        )
        number = 0
        for child in element:
            if child.tag not in self.items:
                yield from self.paragraphs(child)
                continue
            number += 1
            label = child.find("label")
            mark = _MARKS[form](number) if form else "•"
            if label is not None:
                mark = self.text(label)
                child.remove(label)
            yield from self.paragraphs(child, f"{mark} ")

    def _flush(self, parts: list[str], mark: str) -> Iterator[Block]:
        text = _tidy("".join(parts))
        parts.clear()
        if text:
            yield Block(mark + text, tight=bool(mark))

    def _inline(self, element: Any, parts: list[str]) -> None:
        parts.append(element.text or "")
        for child in element:
            if child.tag not in self.dropped:
                self._inline_child(child, parts)
            parts.append(child.tail or "")

    def _inline_child(self, child: Any, parts: list[str]) -> None:
        if child.tag in self.inserts:
            if text := self.text(child):
                parts.append(f" [{text}] ")
        elif child.tag in ("br", "break"):
            parts.append(" ")
        elif child.tag in ("sup", "su", "SU"):
            text = self.text(child)
            # "10" with a raised "-4" is no 10-4, "8755" with a raised mark no larger number
            raised = parts and parts[-1][-1:].isdigit() and text[:1].isalnum() | (text[:1] in "-−–+")
            parts.append(f"^{text}" if raised else text)
        elif self._stands_alone(child.tag):
            parts.append(" ")
            self._inline(child, parts)
            parts.append(" ")
        else:
            self._inline(child, parts)

    def rows(self, element: Any) -> Iterator[Block]:
        """An XHTML, RegML or GPO table under its caption and above its footnotes."""
        found = Rows()
        heads = 0
        notes = [self._numbered(note, number) for number, note in enumerate(self._notes(element), 1)]
        for row in element.iter(*_ROWS):
            if row.tag in _CAPTIONS:
                if text := self.text(row):
                    yield Block(text)
                continue
            for cell in row:
                found.add(self.text(cell), _span(cell, "colspan"), _span(cell, "rowspan"))
            found.end_row()
            if row.tag in _HEAD_ROWS or row.getparent().tag in ("thead", "THEAD"):
                heads = len(found.rows)
        yield from table(found.rows, heads or None)
        for note in notes:
            yield Block(note, tight=True)

    def _notes(self, element: Any) -> list[Any]:
        return list(element.iter(*self.inserts)) if self.inserts else []

    def _numbered(self, note: Any, number: int) -> str:
        """A footnote's text behind its number, which takes its place in the cell."""
        text, tail = self.text(note), note.tail
        note.clear()
        note.text, note.tail = str(number), tail
        return f"[{number}] {text}"


_CAPTIONS = ("caption", "TTITLE")
_HEAD_ROWS = ("columnHeaderRow", "BOXHD")
_ROWS = (*_CAPTIONS, *_HEAD_ROWS, "tr", "TR", "row", "ROW")


def _span(cell: Any, name: str) -> int:
    value = cell.get(name, "1")
    return int(value) if value.isdecimal() and len(value) < 5 else 1


def _tidy(text: str) -> str:
    return _SPACE_BEFORE_POINT.sub("", " ".join(clean(text).split()))
