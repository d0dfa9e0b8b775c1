"""HTML to plain text: what a browser would show, without running or fetching anything."""

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

from ingest.document import HTML, Read
from ingest.errors import DamagedFile
from ingest.readers.clean import clean, one_line
from ingest.readers.decoding import decode
from ingest.readers.flow import Block, read_flow
from ingest.readers.source import Source
from ingest.readers.tables import Rows, table

_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.I)
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_DROPPED_TAGS = """
    script style noscript template svg math iframe object embed applet canvas audio video select textarea
    button head title
"""
_BLOCK_TAGS = """
    address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption
    figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main nav ol p pre section summary
    table tbody td tfoot th thead tr ul
"""
_DROPPED = frozenset(_DROPPED_TAGS.split())
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_SPACE = re.compile(r"[ \t\n\r\f]+")


def read_html(path: Source) -> Read:
    """Yield the information and sections of an HTML file.

    Raises DamagedFile if no element can be found in it.
    """
    data = path.read_bytes()
    declared = _CHARSET.search(data[:4096])
    root = _parse(decode(data, declared.group(1).decode("ascii") if declared else None))
    if root is None:
        raise DamagedFile(f"{path.name}: no HTML element could be read; re-save the page")
    blocks = list(_Walk().blocks(root))
    found = root.find(".//title")
    title = one_line("".join(found.itertext())) if found is not None else ""
    if not title:
        title = next((one_line(block.text) for block in blocks if block.level == 1), "")
    yield from read_flow(HTML, title or None, _metadata(root), blocks)


def blocks_of(fragment: str) -> Iterator[Block]:
    """Blocks of a piece of HTML inside another format."""
    root = _parse(fragment)
    if root is not None:
        yield from _Walk().blocks(root)


def _parse(text: str) -> Any:
    # huge_tree: without it libxml2 silently drops what is nested deeper than 256; memory is limited anyway.
    parser = etree.HTMLParser(
        encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True, huge_tree=True
    )
    encoded = _XML_DECLARATION.sub("", text).encode("utf-8", "replace")
    return etree.fromstring(encoded, parser) if encoded.strip() else None


def _metadata(root: Any) -> dict[str, str]:
    found = {}
    for element in root.iterfind(".//meta"):
        name, content = element.get("name"), element.get("content")
        if name and content and name.lower() in ("author", "description", "keywords", "date"):
            found[name.lower()] = one_line(content, 1000)
    return found


class _Walk:
    """Collects text between block borders; one use each. Iterative, since documents nest without limit."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._pre = 0
        self._level: int | None = None
        self._mark = ""
        self._lists: list[int | None] = []  # next number of each open ordered list, None for bullets
        self._table: _Table | None = None

    def blocks(self, root: Any) -> Iterator[Block]:
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            tag = element.tag if isinstance(element.tag, str) else ""
            if event == "start":
                if tag in _DROPPED or element.get("hidden") is not None:
                    walk.skip_subtree()
                    continue
                if tag in _BLOCKS:
                    yield from self._flush()
                self._open(tag, element)
                self._add(element.text)
                continue
            if not (tag in _DROPPED or element.get("hidden") is not None):
                if tag in _BLOCKS:
                    yield from self._flush()
                if tag == "table" and self._table is not None:
                    found, self._table = self._table, None
                    yield from found.blocks()
                self._close(tag)
            self._add(element.tail)
        yield from self._flush()

    def _open(self, tag: str, element: Any) -> None:
        match tag:
            case "h1" | "h2" | "h3" | "h4" | "h5" | "h6":
                self._level = int(tag[1])
            case "pre":
                self._pre += 1
            case "br":
                self._text.append("\n")
            case "ul":
                self._lists.append(None)
            case "ol":
                start = element.get("start", "1")
                self._lists.append(int(start) if start.isdecimal() and len(start) < 9 else 1)
            case "li":
                number = self._lists[-1] if self._lists else None
                self._mark = "• " if number is None else f"{number}. "
                if number is not None:
                    self._lists[-1] = number + 1
            case "table" if _is_data(element):
                self._table = _Table()
            case "td" | "th" if self._table is not None:
                self._table.open_cell(element)
            case "img":
                self._add(element.get("alt"))

    def _close(self, tag: str) -> None:
        match tag:
            case "h1" | "h2" | "h3" | "h4" | "h5" | "h6":
                self._level = None
            case "pre":
                self._pre = max(0, self._pre - 1)
            case "ul" | "ol" if self._lists:
                self._lists.pop()
            case "li":
                self._mark = ""
            case "td" | "th" if self._table is not None:
                self._table.close_cell(" ".join(self._take().split()))
            case "tr" if self._table is not None:
                self._table.end_row()

    def _add(self, text: str | None) -> None:
        if text:
            self._text.append(text if self._pre else _SPACE.sub(" ", text))

    def _take(self) -> str:
        text = clean("".join(self._text))
        self._text.clear()
        if self._pre:
            return text.strip("\n").rstrip()
        return "\n".join(line.strip() for line in re.sub(r" {2,}", " ", text).split("\n")).strip()

    def _flush(self) -> Iterator[Block]:
        if self._table is not None and self._table.in_cell:
            self._text.append(" ")  # a paragraph inside a table cell
            return
        text = self._take()
        if text:
            yield Block(self._mark + text, self._level, tight=bool(self._mark))
            self._mark = ""


class _Table:
    """One table of data; rows of `th` alone, or inside `thead`, are its header."""

    def __init__(self) -> None:
        self._rows = Rows()
        self._heads = 0
        self._cell: Any = None
        self._all_heads = True

    @property
    def in_cell(self) -> bool:
        return self._cell is not None

    def open_cell(self, element: Any) -> None:
        self._cell = element
        group = element.getparent().getparent()
        in_head = group is not None and group.tag == "thead"
        self._all_heads = self._all_heads and (in_head or element.tag == "th")

    def close_cell(self, text: str) -> None:
        if self._cell is not None:
            self._rows.add(text, _number(self._cell, "colspan"), min(_number(self._cell, "rowspan"), 1000))
        self._cell = None

    def end_row(self) -> None:
        before = len(self._rows.rows)
        self._rows.end_row()
        if self._all_heads and self._heads == before:
            self._heads = len(self._rows.rows)
        self._all_heads = True

    def blocks(self) -> Iterator[Block]:
        yield from table(self._rows.rows, self._heads or None)


def _is_data(element: Any) -> bool:
    """Whether a table holds data; one that holds other tables, or says so, only arranges the page."""
    return (
        element.get("role") not in ("presentation", "none")
        and next(element.iterdescendants("table"), None) is None
    )


def _number(element: Any, name: str) -> int:
    text = element.get(name, "1")
    return int(text) if text.isdecimal() and len(text) < 6 else 1
