"""PPTX through python-pptx: each slide's title, text and tables from top to bottom, then its notes."""

from collections.abc import Iterator
from typing import Any

import pptx
from lxml import etree
from pptx.exc import PythonPptxError
from pptx.util import Emu

from ingest.document import PPTX, Read
from ingest.readers.archive import BROKEN, damaged, embedded, open_archive
from ingest.readers.clean import clean, one_line
from ingest.readers.flow import Block, read_flow
from ingest.readers.source import Source
from ingest.readers.tables import Rows, table

_WHAT = "PowerPoint presentation"
_DEEPEST = 20  # groups inside groups


def read_pptx(path: Source) -> Read:
    """Yield the information and sections of a presentation; each slide begins one.

    Raises what opening an archive raises (ingest.readers.archive), DamagedFile for broken presentations.
    """
    archive = open_archive(path, _WHAT)
    try:
        presentation = pptx.Presentation(path.open("rb"))
        properties = presentation.core_properties
        named = {"title": properties.title, "author": properties.author, "subject": properties.subject}
        metadata = {name: text for name, value in named.items() if value and (text := one_line(value, 1000))}
        blocks = [block for at, slide in enumerate(presentation.slides, 1) for block in _slide(at, slide)]
    except (PythonPptxError, etree.XMLSyntaxError, AttributeError, TypeError, *BROKEN) as error:
        raise damaged(path, _WHAT, error) from None
    yield from read_flow(PPTX, metadata.get("title"), metadata, blocks)
    yield from embedded(archive)


def _slide(number: int, slide: Any) -> Iterator[Block]:
    title = slide.shapes.title
    named = one_line(title.text_frame.text) if title is not None and title.has_text_frame else ""
    body = [
        block
        for shape in sorted(slide.shapes, key=_place)
        if title is None or shape.shape_id != title.shape_id
        for block in _shape(shape)
    ]
    notes = list(_paragraphs(slide.notes_slide.notes_text_frame)) if slide.has_notes_slide else []
    if named or body or notes:
        yield Block(f"Slide {number}: {named}" if named else f"Slide {number}", level=1)
        yield from body
    if notes:
        yield Block("Notes", level=2)
        yield from notes


def _place(shape: Any) -> tuple[int, int]:
    return int(shape.top or Emu(0)), int(shape.left or Emu(0))


def _shape(shape: Any, depth: int = 0) -> Iterator[Block]:
    if getattr(shape, "has_table", False) and shape.has_table:
        rows = Rows()
        for row in shape.table.rows:
            for cell in row.cells:
                if not cell.is_spanned:
                    across, down = (cell.span_width, cell.span_height) if cell.is_merge_origin else (1, 1)
                    rows.add(one_line(cell.text_frame.text, 100_000), across, min(down, 1000))
            rows.end_row()
        yield from table(rows.rows, 1 if shape.table.first_row else None)
    elif getattr(shape, "has_text_frame", False) and shape.has_text_frame:
        yield from _paragraphs(shape.text_frame)
    elif hasattr(shape, "shapes") and depth < _DEEPEST:
        for inner in sorted(shape.shapes, key=_place):
            yield from _shape(inner, depth + 1)


def _paragraphs(frame: Any) -> Iterator[Block]:
    if frame is None:
        return
    for paragraph in frame.paragraphs:
        text = clean(paragraph.text.replace("\v", "\n")).strip()
        if text:
            yield Block(text, tight=paragraph.level > 0)
