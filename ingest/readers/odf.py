"""OpenDocument text, sheets and slides: elements of content.xml (ODF 1.3 part 3), read in order.

Tracked deletions and comments are left out; notes follow at the end behind their marks. Written on lxml
alone, since the library that exists has seen no release for years.
"""

from collections.abc import Iterator
from typing import Any

from ingest.document import ODP, ODS, ODT, Read
from ingest.errors import PasswordRequired
from ingest.readers.archive import damaged, member, open_archive, parse_xml
from ingest.readers.clean import clean, one_line
from ingest.readers.flow import Block, read_flow
from ingest.readers.sheets import sheet
from ingest.readers.source import Source
from ingest.readers.tables import MOST_COLUMNS, Rows, table

_WHAT = "OpenDocument file"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_PRESENTATION = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
_META = "{urn:oasis:names:tc:opendocument:xmlns:meta:1.0}"
_MANIFEST = "{urn:oasis:names:tc:opendocument:xmlns:manifest:1.0}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_SKIPPED = frozenset(
    {f"{_TEXT}tracked-changes", f"{_OFFICE}annotation", f"{_OFFICE}forms", f"{_TEXT}sequence-decls"}
)
_MOST_REPEATED = 1000
_MOST_CELLS = 2_000_000


def read_odt(path: Source) -> Read:
    """Yield the information and sections of a text document.

    Raises what opening an archive raises (ingest.readers.archive), DamagedFile, PasswordRequired.
    """
    yield from _read(path, ODT, "text", lambda body: _Flow().whole(body))


def read_ods(path: Source) -> Read:
    """The same for spreadsheets; each sheet begins a section."""
    yield from _read(path, ODS, "spreadsheet", _sheets)


def read_odp(path: Source) -> Read:
    """The same for presentations; each slide begins a section."""
    yield from _read(path, ODP, "presentation", _slides)


def _read(path: Source, media_type: str, kind: str, blocks_of: Any) -> Read:
    archive = open_archive(path, _WHAT)
    names = set(archive.namelist())
    if "META-INF/manifest.xml" in names:
        manifest = parse_xml(path, member(path, archive, "META-INF/manifest.xml", _WHAT), _WHAT)
        if manifest.find(f".//{_MANIFEST}encryption-data") is not None:
            raise PasswordRequired(
                f"{path.name}: this {_WHAT} is locked with a password; save a copy without the password"
            )
    root = parse_xml(path, member(path, archive, "content.xml", _WHAT), _WHAT)
    body = root.find(f"{_OFFICE}body/{_OFFICE}{kind}")
    if body is None:
        raise damaged(path, _WHAT, KeyError("body"))
    metadata = _metadata(path, archive) if "meta.xml" in names else {}
    blocks = list(blocks_of(body))
    title = metadata.get("title") or next((one_line(b.text) for b in blocks if b.level == 1), None)
    yield from read_flow(media_type, title, metadata, blocks)


def _metadata(path: Source, archive: Any) -> dict[str, str]:
    meta = parse_xml(path, member(path, archive, "meta.xml", _WHAT), _WHAT)
    named = {
        "title": f"{_DC}title",
        "author": f"{_META}initial-creator",
        "subject": f"{_DC}subject",
        "created": f"{_META}creation-date",
        "modified": f"{_DC}date",
    }
    found = {name: one_line(meta.findtext(f".//{tag}") or "", 1000) for name, tag in named.items()}
    return {name: text for name, text in found.items() if text}


def _sheets(body: Any) -> Iterator[Block]:
    left = _MOST_CELLS
    for one in body.iterfind(f"{_TABLE}table"):
        rows: list[list[str]] = []
        for row in one.iter(f"{_TABLE}table-row"):
            texts: list[str] = []
            for cell in row:
                if cell.tag in (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"):
                    text = " ".join(block.text for block in _Flow().blocks(cell))
                    repeated = _number(cell, "number-columns-repeated")
                    texts += [one_line(text, 100_000)] * min(repeated, MOST_COLUMNS - len(texts))
            while texts and not texts[-1]:
                texts.pop()
            repeated = min(_number(row, "number-rows-repeated"), _MOST_REPEATED if texts else 1)
            left -= repeated * len(texts)
            if left < 0:
                break
            rows += [texts] * repeated
        found = list(sheet(rows))
        if found:
            yield Block(one_line(one.get(f"{_TABLE}name", "")) or "Sheet", level=1)
            yield from found


def _slides(body: Any) -> Iterator[Block]:
    for number, page in enumerate(body.iterfind(f"{_DRAW}page"), 1):
        flow = _Flow()
        title, content, notes = "", [], []
        for shape in page:
            found = list(flow.blocks(shape))
            if shape.tag == f"{_PRESENTATION}notes":
                notes = [block for block in found if not block.text.isdecimal()]
            elif shape.get(f"{_PRESENTATION}class") == "title" and not title:
                title = one_line(" ".join(block.text for block in found))
            else:
                content += found
        if title or content or notes:
            yield Block(f"Slide {number}: {title}" if title else f"Slide {number}", level=1)
            yield from content
        if notes:
            yield Block("Notes", level=2)
            yield from notes
        yield from flow.notes


class _Flow:
    """Paragraphs, headings, lists and tables of one body; collects its notes."""

    def __init__(self) -> None:
        self.notes: list[Block] = []

    def whole(self, body: Any) -> Iterator[Block]:
        yield from self.blocks(body)
        yield from self.notes

    def blocks(self, container: Any, mark: str = "") -> Iterator[Block]:
        for child in container:
            tag = child.tag
            if tag in _SKIPPED or not isinstance(tag, str):
                continue
            if tag in (f"{_TEXT}p", f"{_TEXT}h"):
                text = self._text(child)
                level = _number(child, "outline-level", _TEXT) if tag.endswith("}h") else None
                if text:
                    yield Block(mark + text, level, tight=bool(mark) and level is None)
                    mark = ""
                for box in child.iter(f"{_DRAW}text-box"):
                    yield from self.blocks(box)
            elif tag == f"{_TEXT}list":
                yield from self._list(child)
            elif tag == f"{_TABLE}table":
                yield from self._table(child)
            else:
                yield from self.blocks(child, mark)

    def _list(self, element: Any) -> Iterator[Block]:
        for item in element:
            if item.tag in (f"{_TEXT}list-item", f"{_TEXT}list-header"):
                is_heading = item.find(f"{_TEXT}h") is not None
                yield from self.blocks(item, "" if is_heading or item.tag.endswith("header") else "• ")

    def _table(self, element: Any) -> Iterator[Block]:
        rows, heads = Rows(), 0
        for row in element.iter(f"{_TABLE}table-row"):
            if next(row.iterancestors(f"{_TABLE}table")) is not element:
                continue  # of a table inside a cell, which is part of that cell
            for cell in row.iterchildren(f"{_TABLE}table-cell"):
                text = " ".join(" ".join(block.text for block in self.blocks(cell)).split())
                for _ in range(min(_number(cell, "number-columns-repeated"), MOST_COLUMNS)):
                    rows.add(
                        text,
                        _number(cell, "number-columns-spanned"),
                        min(_number(cell, "number-rows-spanned"), _MOST_REPEATED),
                    )
            rows.end_row()
            if row.getparent().tag == f"{_TABLE}table-header-rows":
                heads = len(rows.rows)
        yield from table(rows.rows, heads or None)

    def _text(self, element: Any) -> str:
        return "\n".join(line.strip() for line in clean("".join(self._pieces(element))).split("\n")).strip()

    def _pieces(self, element: Any) -> Iterator[str]:
        yield _collapsed(element.text)
        for child in element:
            tag = child.tag
            if tag == f"{_TEXT}s":
                yield " " * min(_number(child, "c", _TEXT), 100)
            elif tag == f"{_TEXT}tab":
                yield "\t"
            elif tag == f"{_TEXT}line-break":
                yield "\n"
            elif tag == f"{_TEXT}note":
                yield self._note(child)
            elif tag not in _SKIPPED and tag != f"{_DRAW}text-box" and isinstance(tag, str):
                yield from self._pieces(child)
            yield _collapsed(child.tail)

    def _note(self, element: Any) -> str:
        kind = "e" if element.get(f"{_TEXT}note-class") == "endnote" else ""
        mark = f"[{kind}{one_line(element.findtext(f'{_TEXT}note-citation') or '', 20)}]"
        body = element.find(f"{_TEXT}note-body")
        text = " ".join(block.text for block in self.blocks(body)) if body is not None else ""
        if text:
            self.notes.append(Block(f"{mark} {text}", tight=True))
        return mark


def _collapsed(text: str | None) -> str:
    """White space as ODF counts it (part 3, 6.1.2): any run of it is one space."""
    if not text:
        return ""
    inner = " ".join(text.split())
    return (" " if text[0].isspace() else "") + inner + (" " if inner and text[-1].isspace() else "")


def _number(element: Any, name: str, space: str = _TABLE) -> int:
    text = element.get(space + name, "1")
    return max(int(text), 1) if text.isdecimal() and len(text) < 8 else 1
