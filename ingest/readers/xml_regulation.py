"""Federal regulations in RegML (github.com/cfpb/regulations-schema): part, subparts, sections, appendices.

A titled paragraph opens a heading that cites it, "§ 1006.1(a) Purpose", so that a passage keeps its number
wherever its header is cut; other paragraphs begin with their own marker. Tables of contents are left out.
"""

import re
from collections.abc import Iterator
from typing import Any

from ingest.readers.clean import one_line
from ingest.readers.flow import Block
from ingest.readers.xml_prose import Prose
from ingest.readers.xml_tree import Content

_PROSE = Prose(
    blocks=frozenset({"content", "dash", "callout", "line", "notes", "note", "analysisParagraph", "header"}),
    dropped=frozenset({"tableOfContents", "graphic", "url", "reserved"}),
    inserts=frozenset({"footnote"}),
)
_TITLES = ("title", "subject", "appendixTitle")
_DIVISIONS = """
    part subpart section appendix appendixSection interpretations interpSection interpAppendix
    analysis analysisSection
"""
_DIVISION = frozenset(_DIVISIONS.split())
_NUMBER = re.compile(r"\d+\.\d+[a-z]?")
_CITED = re.compile(r"(\d+)-(\d+[a-z]?)((?:-[A-Za-z0-9]+)*)")


def read_regulation(root: Any) -> Content:
    """Content of a RegML `regulation` or `notice`."""
    number, part = _text(root, ".//cfr/title"), _text(root, ".//cfr/section")
    name, letter = _text(root, "fdsys/title"), _text(root, "preamble/regLetter")
    name = _capitalised(name) if name.isupper() else name
    cited = f"{number} CFR Part {part}" if number and part else ""
    if cited and letter:
        cited = f"{cited} (Regulation {letter})"
    title = ", ".join(text for text in (cited, name) if text)
    metadata = {
        "kind": "federal regulation (RegML)",
        "author": _text(root, "preamble/agency"),
        "date": _text(root, "preamble/effectiveDate"),
        "id": _text(root, "preamble/documentNumber"),
        "url": _text(root, "preamble/federalRegisterURL"),
    }
    return Content(
        one_line(title) or None,
        {label: one_line(value, 1000) for label, value in metadata.items() if value},
        _blocks(root, title, metadata),
    )


def _blocks(root: Any, title: str, metadata: dict[str, str]) -> Iterator[Block]:
    if title:
        yield Block(title)
    about = (metadata["author"], metadata["date"] and f"effective {metadata['date']}")
    if line := ", ".join(text for text in about if text):
        yield Block(f"{line}.")
    for part in root:
        if part.tag not in ("fdsys", "preamble"):
            yield from _division(part, 1)


def _division(element: Any, level: int, number: str = "") -> Iterator[Block]:
    """An element with a title and divisions or paragraphs inside. number: what "(a)" is part of."""
    name = _name(element)
    if name:
        yield Block(name, level, opens=f"{number}{name}" if number and name.startswith("(") else None)
        level += 1
        if match := _NUMBER.match(name):
            number = match.group()
    for child in element:
        if child.tag in _TITLES:
            continue
        if child.tag == "content" and any(inner.tag in _DIVISION for inner in child):
            for inner in child:
                yield from _division(inner, level)
        elif child.tag in _DIVISION:
            yield from _division(child, level, number)
        elif child.tag in ("paragraph", "interpParagraph"):
            yield from _paragraph(child, level)
        elif child.tag == "reserved":
            if not name or "[Reserved]" not in name:
                yield Block("[Reserved]")
        elif child.tag not in _PROSE.dropped:
            yield from _PROSE.element(child)


def _name(element: Any) -> str:
    title = next((text for name in _TITLES if (text := _text(element, name))), "")
    if element.tag == "subpart":
        letter = element.get("subpartLetter") or element.get("label", "").partition("-Subpart-")[2]
        if len(letter) == 1 and letter.isalpha():
            return f"Subpart {letter}—{title}" if title else f"Subpart {letter}"
    if not title:
        fixed = {"interpretations": "Official interpretations", "analysis": "Section-by-section analysis"}
        return fixed.get(element.tag, "")
    return title


def _paragraph(element: Any, level: int) -> Iterator[Block]:
    marker, title = element.get("marker", "").strip(), _text(element, "title")
    content = element.find("content")
    blocks = list(_PROSE.paragraphs(content)) if content is not None else []
    lead = " ".join(text for text in (marker, title) if text)
    opens = " ".join(text for text in (_citation(element) or marker, title.rstrip(".:")) if text)
    if blocks and not blocks[0].tight:
        first = blocks.pop(0)
        text = f"{lead} {first.text}" if lead else first.text
        yield Block(text, level if title else None, opens=opens if title else None)
    elif title:
        yield Block(lead, level, opens=opens)
    elif lead and content is not None:
        yield Block(lead)
    yield from blocks
    for child in element:
        if child.tag in ("paragraph", "interpParagraph"):
            yield from _paragraph(child, level + 1 if title else level)


def _citation(element: Any) -> str:
    """ "§ 1006.1(a)" from the label "1006-1-a" where the marker is the label's end; else nothing."""
    match = _CITED.fullmatch(element.get("label", ""))
    marker = element.get("marker", "").strip("(). ")
    if match is None or not marker or not match.group(3).endswith(f"-{marker}"):
        return ""
    inner = "".join(f"({step})" for step in match.group(3).split("-")[1:])
    return f"§ {match.group(1)}.{match.group(2)}{inner}"


def _capitalised(title: str) -> str:
    small = {"a", "an", "and", "by", "for", "in", "of", "on", "or", "the", "to", "with", "under"}
    words = [word if word in small else word.capitalize() for word in title.lower().split()]
    return " ".join([words[0].capitalize(), *words[1:]])


def _text(element: Any, path: str) -> str:
    found = element.find(path)
    return _PROSE.text(found) if found is not None else ""
