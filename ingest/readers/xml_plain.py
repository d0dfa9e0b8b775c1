"""XML of no known kind: each element that holds text is a paragraph, titles are headings by their depth."""

import re
from collections.abc import Iterator
from typing import Any

from ingest.readers.clean import one_line
from ingest.readers.flow import Block
from ingest.readers.xml_prose import Prose
from ingest.readers.xml_tree import Content

_PROSE = Prose(blocks=frozenset(), dropped=frozenset({"style", "script"}))
_TITLES = frozenset({"title", "head", "heading", "header", "name", "caption"})
_SENTENCE_WORDS = 8
_LONGEST_TITLE = 200
_WORD = re.compile(r"[^\W\d_]{2,}")


def read_plain(root: Any) -> Content:
    """Content of any tree."""
    blocks = list(_blocks(root, 1))
    title = next((block.text for block in blocks if block.level is not None), None)
    return Content(one_line(title) if title else None, {"kind": f"XML ({root.tag})"}, iter(blocks))


def holds_sentences(root: Any) -> bool:
    """Whether any paragraph is more than names and numbers."""
    return any(len(_WORD.findall(block.text)) >= _SENTENCE_WORDS for block in _blocks(root, 1))


def _blocks(element: Any, level: int) -> Iterator[Block]:
    if element.tag in _PROSE.dropped:
        return
    mixed = (element.text or "").strip() or any((child.tail or "").strip() for child in element)
    if mixed or not len(element):
        text = _PROSE.text(element)
        is_title = str(element.tag).lower() in _TITLES and len(text) <= _LONGEST_TITLE
        if text:
            yield Block(text, min(level, 9) if is_title else None)
        return
    titled = any(str(child.tag).lower() in _TITLES for child in element)
    for child in element:
        inside = len(child) and titled
        yield from _blocks(child, level + 1 if inside else level)
