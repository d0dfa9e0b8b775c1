"""Markdown (CommonMark and tables) to plain text: what a reader of the rendered page would read."""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ingest.document import MARKDOWN, Read
from ingest.readers.clean import clean
from ingest.readers.decoding import decode
from ingest.readers.flow import Block, read_flow
from ingest.readers.html import blocks_of
from ingest.readers.source import Source
from ingest.readers.tables import Row, cells, table

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*\n", re.S)
_FRONT_TITLE = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.M)


def read_markdown(path: Source) -> Read:
    """Yield the information and sections of a Markdown file; titled by its front matter or first heading."""
    text = decode(path.read_bytes()).replace("\r\n", "\n")
    title = None
    if front := _FRONT_MATTER.match(text):
        named = _FRONT_TITLE.search(front.group(1))
        title = clean(named.group(1)) if named else None
        text = text[front.end() :]
    blocks = list(_blocks(MarkdownIt("commonmark").enable("table").parse(text)))
    if title is None:
        title = next((block.text for block in blocks if block.level == 1), None)
    yield from read_flow(MARKDOWN, title, {}, blocks)


def _blocks(tokens: list[Token]) -> Iterator[Block]:
    level: int | None = None
    lists = 0
    markers: list[str] = []
    row: list[str] | None = None
    rows: list[Row] = []
    for token in tokens:
        match token.type:
            case "heading_open":
                level = int(token.tag[1:])
            case "heading_close":
                level = None
            case "bullet_list_open" | "ordered_list_open":
                lists += 1
            case "bullet_list_close" | "ordered_list_close":
                lists -= 1
            case "list_item_open":
                markers.append(f"{token.info}{token.markup} " if token.info else "• ")
            case "list_item_close" if markers:
                markers.pop()
            case "table_open":
                rows = []
            case "table_close":
                yield from table(rows, heads=1)
            case "tr_open":
                row = []
            case "tr_close":
                rows.append(cells(row or ()))
                row = None
            case "inline":
                text = clean(_inline(token.children or [])).strip()
                if row is not None:
                    row.append(" ".join(text.split()))
                elif text:
                    marker = markers[-1] if markers else ""
                    if markers:
                        markers[-1] = ""  # only the first paragraph of an item carries its mark
                    yield Block(marker + text, level, tight=lists > 0 and bool(marker))
            case "fence" | "code_block":
                if code := clean(token.content).strip("\n").rstrip():
                    yield Block(code)
            case "html_block":
                yield from blocks_of(token.content)


def _inline(tokens: list[Token]) -> str:
    parts = []
    for token in tokens:
        if token.type in ("softbreak", "hardbreak"):
            parts.append("\n" if token.type == "hardbreak" else " ")
        elif token.type == "image":
            parts.append(_inline(token.children or []))
        elif token.type in ("text", "code_inline"):
            parts.append(token.content)
    return "".join(parts)
