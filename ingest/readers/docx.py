"""DOCX through python-docx's package and lxml elements: paragraphs, headings by style, lists, tables, notes.

Text is read from the elements themselves: inserted text, content controls and text boxes count, deleted text
and field codes do not. Word computes pages when it displays a document, so there are only
sections here.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import docx
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.exceptions import OpcError
from docx.oxml.ns import qn
from lxml import etree

from ingest.document import DOCX, Read
from ingest.readers.archive import BROKEN, damaged, embedded, open_archive
from ingest.readers.clean import clean, one_line
from ingest.readers.docx_styles import Numbering, Styles
from ingest.readers.flow import Block, read_flow
from ingest.readers.source import Source
from ingest.readers.symbols import symbol
from ingest.readers.tables import Rows, table

_WHAT = "Word document"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_P, _TBL, _TR, _TC = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc")
_SKIPPED = frozenset(
    {qn("w:del"), qn("w:moveFrom"), qn("w:txbxContent"), qn("w:rPr"), qn("w:pPr"), f"{_MC}Fallback"}
)
_BREAKS = frozenset({qn("w:br"), qn("w:cr")})
_TEXT, _HYPHEN, _SYM = qn("w:t"), qn("w:noBreakHyphen"), qn("w:sym")
_TABS = frozenset({qn("w:tab"), qn("w:ptab")})
_TR_PR, _TC_PR, _TBL_HEADER = qn("w:trPr"), qn("w:tcPr"), qn("w:tblHeader")
_GRID_BEFORE, _GRID_SPAN, _V_MERGE = qn("w:gridBefore"), qn("w:gridSpan"), qn("w:vMerge")
_VAL = qn("w:val")
_LONGEST_HEADING = 200  # heading styles are also used to make whole paragraphs bold
_NOTES = {qn("w:footnoteReference"): "", qn("w:endnoteReference"): "e"}
_ID, _FONT, _CHAR = qn("w:id"), qn("w:font"), qn("w:char")


def read_docx(path: Source) -> Read:
    """Yield the information and sections of a Word document.

    Raises what opening an archive raises (ingest.readers.archive), DamagedFile for broken documents.
    """
    archive = open_archive(path, _WHAT)
    try:
        document = docx.Document(path.open("rb"))
        properties = document.core_properties
        named = {
            "author": properties.author,
            "subject": properties.subject,
            "created": properties.created and properties.created.isoformat(),
            "modified": properties.modified and properties.modified.isoformat(),
            "title": properties.title,
        }
    except (OpcError, etree.XMLSyntaxError, *BROKEN) as error:
        raise damaged(path, _WHAT, error) from None
    metadata = {name: text for name, value in named.items() if value and (text := one_line(value, 1000))}
    reader = _Reader(document)
    blocks = [*reader.blocks(document.element.body), *reader.notes()]
    title = metadata.get("title") or next((one_line(b.text) for b in blocks if b.level == 1), None)
    yield from read_flow(DOCX, title, metadata, blocks)
    yield from embedded(archive)


class _Reader:
    def __init__(self, document: Any) -> None:
        self._part = document.part
        numbering = self._related(RELATIONSHIP_TYPE.NUMBERING)
        self._styles = Styles(document.styles.element)
        self._numbering = Numbering(numbering)

    def blocks(self, container: Any) -> Iterator[Block]:
        """Paragraphs and table rows of a body, content control, cell or text box, in order."""
        for child in container:
            if child.tag == _P:
                yield from self._paragraph(child)
            elif child.tag == _TBL:
                yield from self._table(child)
            elif child.tag not in _SKIPPED and isinstance(child.tag, str):
                yield from self.blocks(child)

    def notes(self) -> Iterator[Block]:
        """Footnotes and endnotes, each behind the mark that stands in the text."""
        for kind, mark in ((RELATIONSHIP_TYPE.FOOTNOTES, ""), (RELATIONSHIP_TYPE.ENDNOTES, "e")):
            root = self._related(kind)
            for note in root if root is not None else ():
                # Separators have a type; Word reserves their ids.
                if isinstance(note.tag, str) and note.get(qn("w:type")) is None:
                    text = " ".join(block.text for block in self.blocks(note))
                    if text:
                        yield Block(f"[{mark}{note.get(_ID)}] {text}", tight=True)

    def _paragraph(self, paragraph: Any) -> Iterator[Block]:
        text = clean("".join(_pieces(paragraph))).strip()
        if text:
            form = self._styles.form(paragraph)
            label = self._numbering.label(form.numbering) if form.numbering else ""
            level = form.level if len(text) <= _LONGEST_HEADING else None
            yield Block(f"{label} {text}" if label else text, level, tight=bool(label) and not level)
        for box in paragraph.iter(qn("w:txbxContent")):
            if not any(parent.tag == f"{_MC}Fallback" for parent in box.iterancestors()):
                yield from self.blocks(box)

    def _table(self, element: Any) -> Iterator[Block]:
        rows, heads = Rows(), 0
        above: dict[int, str] = {}  # texts of cells that go on below, by column
        for row in _unwrapped(element, _TR):
            found = list(_unwrapped(row, _TC))
            if len(found) == 1:  # a frame around ordinary paragraphs, or a title inside the table
                yield from table(rows.rows, heads or None)
                rows, heads = Rows(), 0
                yield from self.blocks(found[0])
                continue
            column = _number(row.find(f"{_TR_PR}/{_GRID_BEFORE}"))
            if column:
                rows.add("", column)
            for cell in found:
                span = max(_number(cell.find(f"{_TC_PR}/{_GRID_SPAN}")), 1)
                merge = cell.find(f"{_TC_PR}/{_V_MERGE}")
                if merge is None or merge.get(_VAL) == "restart":
                    above[column] = self._cell(cell)
                rows.add(above.get(column, ""), span)
                column += span
            rows.end_row()
            if row.find(f"{_TR_PR}/{_TBL_HEADER}") is not None and heads == len(rows.rows) - 1:
                heads += 1
        if not heads and len(rows.rows) > 1 and _is_bold(element):
            heads = 1
        yield from table(rows.rows, heads or None)

    def _cell(self, cell: Any) -> str:
        return " ".join(" ".join(block.text for block in self.blocks(cell)).split())

    def _related(self, kind: str) -> Any:
        """Root element of a part beside the document, None if there is none or it is not XML."""
        try:
            blob = self._part.part_related_by(kind).blob
            return etree.fromstring(blob, etree.XMLParser(resolve_entities=False, no_network=True))
        except (KeyError, ValueError, etree.XMLSyntaxError):
            return None


def _number(element: Any) -> int:
    text = element.get(_VAL, "") if element is not None else ""
    return int(text) if text.isdecimal() and len(text) < 5 else 0


def _is_bold(element: Any) -> bool:
    """Whether all text of the first row is bold and the second row's is not."""
    rows = list(islice(_unwrapped(element, _TR), 2))
    bold = [
        [
            run.find(f"{qn('w:rPr')}/{qn('w:b')}") is not None
            for run in row.iter(qn("w:r"))
            if run.find(_TEXT) is not None
        ]
        for row in rows
    ]
    return len(bold) == 2 and bool(bold[0]) and all(bold[0]) and not all(bold[1])


def _unwrapped(element: Any, tag: str) -> Iterator[Any]:
    """Rows of a table or cells of a row, also inside content controls."""
    for child in element:
        if child.tag == tag:
            yield child
        elif child.tag in (qn("w:sdt"), qn("w:sdtContent"), qn("w:ins"), qn("w:customXml")):
            yield from _unwrapped(child, tag)


def _pieces(element: Any) -> Iterator[str]:
    """Text of a paragraph or of anything inside it."""
    for child in element:
        tag = child.tag
        if tag in _SKIPPED or tag == _P:
            continue
        if tag == _TEXT:
            yield child.text or ""
        elif tag in _TABS:
            yield "\t"
        elif tag in _BREAKS:
            yield "\n"
        elif tag == _HYPHEN:
            yield "-"
        elif tag == _SYM:
            yield _symbol(child)
        elif tag in _NOTES:
            yield f"[{_NOTES[tag]}{child.get(_ID)}]"
        elif len(child):
            yield from _pieces(child)


def _symbol(element: Any) -> str:
    try:
        code = int(element.get(_CHAR, ""), 16)
    except ValueError:
        return ""
    return symbol(code, element.get(_FONT, "")) or symbol(code + 0xF000, element.get(_FONT, "")) or ""
