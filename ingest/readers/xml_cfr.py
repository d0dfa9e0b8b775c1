"""Regulations as the GPO and the eCFR publish them in bulk, and documents of the Federal Register.

They share most elements: divisions (PART, SUBPART, SECTION; or DIV1 to DIV9 with a TYPE), HD or HEAD for
their titles, P for their paragraphs, GPOTABLE for tables.
"""

import re
from collections.abc import Iterator
from typing import Any

from ingest.readers.clean import one_line
from ingest.readers.flow import Block
from ingest.readers.xml_prose import Prose
from ingest.readers.xml_tree import Content

_BLOCK_TAGS = """
    P FP PSPACE HD HED HEAD AUTH SOURCE CITA SECAUTH APPRO EDNOTE EFFDNOT NOTE EXTRACT FTNT TTITLE TDESC TNOTE
    LSTSUB SIG NAME TITLE FRDOC DATED LI p
"""
_DROPPED_TAGS = """
    CONTENTS PRTPAGE EAR LRH RRH GID GPH MID FTREF STARS img IMG MATH TOC TOCHD SECHD PTHD SUBJECTGRP HEADER
    CFRTITLETEXT FDSYS BMTR FMTR EDNOTEREF IDNO
"""
_PROSE = Prose(
    blocks=frozenset(_BLOCK_TAGS.split()),
    dropped=frozenset(_DROPPED_TAGS.split()),
    lists=frozenset({"UL", "OL", "ul", "ol"}),
    items=frozenset({"LI", "li"}),
    tables=frozenset({"GPOTABLE", "TABLE", "table"}),
)
_DIVISIONS = """
    TITLE SUBTITLE CHAPTER SUBCHAP PART SUBPART SUBJGRP SECTION APPENDIX REGTEXT RULE PRORULE NOTICE PREAMB
    SUPLINF CFRDOC FEDREG RULES PRORULES NOTICES DLPSTEXTCLASS TEXT BODY ECFRBRWS ECFR VOLUME CFRGRANULE
    SUBCHAPTER
"""
_DIVISION = frozenset([*_DIVISIONS.split(), *(f"DIV{number}" for number in range(1, 10))])
_HEADS = ("HEAD", "HD", "RESERVED")
_DEEPER = re.compile(r"HD(\d)")
_MARKED = re.compile(r"\(([a-z])\)\s*$")
_SECTION = re.compile(r"§\s*([\d.]+[a-z]?(?:-\d+)?)")


def read_cfr(root: Any) -> Content:
    """Content of a CFRDOC, FEDREG, eCFR or DIV tree."""
    parts = [element for element in root.iter() if _kind(element) == "PART"]
    named = parts[0] if len(parts) == 1 else next(_divisions_with_head(root), None)
    head = _head(named) if named is not None else ""
    number = _text(root, ".//CFRTITLE") or _node_title(root)
    title = (
        f"{number} CFR {head}" if number and head and len(parts) == 1 else head or _text(root, ".//SUBJECT")
    )
    metadata = {
        "kind": "federal regulation (GPO)",
        "author": _text(root, ".//AGENCY"),
        "date": _text(root, ".//FDSYS/DATE") or _text(root, ".//AMDDATE"),
    }
    return Content(
        one_line(title) or None,
        {label: one_line(value, 1000) for label, value in metadata.items() if value},
        _division(root, 1, named),
    )


def _division(element: Any, level: int, title: Any) -> Iterator[Block]:
    """title: the division that names the document, which needs no heading of its own."""
    head = _head(element)
    if head and element is title:
        yield Block(head)
    elif head:
        yield Block(head, level)
        level += 1
    for child in element:
        if child.tag in _DIVISION:
            yield from _division(child, level, title)
        elif child.tag in ("SECTNO", "SUBJECT") and head:
            continue
        elif child.tag in _HEADS:
            deeper = _DEEPER.fullmatch(child.get("SOURCE", ""))
            text = _PROSE.text(child)
            if deeper and text:
                yield Block(text, min(level + int(deeper.group(1)) - 1, 9))
            elif text and text != head:
                yield Block(text)
        elif child.tag in ("P", "FP"):
            yield from _paragraph(child, head, level)
        elif child.tag not in _PROSE.dropped:
            yield from _labelled(child)


def _paragraph(element: Any, head: str, level: int) -> Iterator[Block]:
    """A paragraph; "(a) Purpose." with the title in italics opens "§ 1006.1(a) Purpose"."""
    text = _PROSE.text(element)
    if not text:
        return
    marker, section = _MARKED.fullmatch((element.text or "").strip()), _SECTION.match(head)
    first = element[0] if len(element) else None
    if marker and section and first is not None and first.tag in ("I", "E") and marker.group(1) not in "ivx":
        title = _PROSE.text(first).rstrip(" .:—")
        if title[:1].isupper() and len(title) <= 80:
            yield Block(text, level, opens=f"§ {section.group(1)}({marker.group(1)}) {title}")
            return
    yield Block(text)


def _labelled(element: Any) -> Iterator[Block]:
    """Notes, sources and authorities: their label is the start of their first line, no heading."""
    label = " ".join(_text(element, name) for name in ("HD", "HED") if element.find(name) is not None)
    for name in ("HD", "HED"):
        for found in element.findall(name):
            if element.text is None or not element.text.strip():
                element.remove(found)
    for block in _PROSE.element(element):
        yield Block(f"{label} {block.text}" if label else block.text, tight=block.tight)
        label = ""


def _divisions_with_head(root: Any) -> Iterator[Any]:
    return (element for element in root.iter() if element.tag in _DIVISION and _head(element))


def _head(element: Any) -> str:
    if element.find("SECTNO") is not None:
        return " ".join(text for name in ("SECTNO", "SUBJECT") if (text := _text(element, name)))
    for name in _HEADS:
        found = element.find(name)
        if found is not None and not _DEEPER.fullmatch(found.get("SOURCE", "")):
            return _PROSE.text(found)
    return ""


def _kind(element: Any) -> str:
    return str(element.get("TYPE") if str(element.tag).startswith("DIV") else element.tag)


def _node_title(root: Any) -> str:
    """Title number from the node id that every division of the eCFR has: "12:8.0.2.14.3"."""
    node = next((element.get("NODE") for element in root.iter() if element.get("NODE")), "")
    return str(node).partition(":")[0] if ":" in str(node) else ""


def _text(element: Any, path: str) -> str:
    found = element.find(path)
    return _PROSE.text(found) if found is not None else ""
