"""Parses untrusted XML into a plain tree: no namespaces, no comments, no entities, nothing fetched.

DTDs and external entities are never loaded. A character entity that a file takes from a DTD (JATS) gets the
character that HTML gives the same name; one that the file declares for itself gets its text if that is plain.
libxml2's own limits stay on: 256 levels, 10 million characters a text, entities that multiply.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from html.entities import html5
from typing import Any

from lxml import etree

from ingest.errors import DamagedFile, TooLarge, UnreadableDocument, UnsupportedFormat
from ingest.readers.flow import Block
from ingest.readers.source import Source

_MAX_BYTES = 100 * 2**20  # a parsed tree takes up to ten times its file
_MAX_ENTITY = 1000
_MAX_EXPANDED = 1_000_000
_ESCAPED = re.compile(r"&(?:#\d+|#x[\da-fA-F]+|amp|lt|gt|quot|apos);")


@dataclass(frozen=True)
class Tree:
    """root: its element tags are local names. namespace: the root's. missing: how many entities have no text.
    outside: how many of those stand for other files."""

    root: Any
    namespace: str
    missing: int
    outside: int


@dataclass(frozen=True)
class Content:
    """What a document of one kind holds. metadata: lower-case names to plain text, empty values left out."""

    title: str | None
    metadata: dict[str, str]
    blocks: Iterator[Block]


def parse(path: Source) -> Tree:
    """The tree of an XML file.

    Raises TooLarge, UnsupportedFormat (entities that multiply) or DamagedFile.
    """
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise TooLarge(
            f"{path.name}: more than {_MAX_BYTES // 2**20} MiB of XML are not read at once; split the file"
        )
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise _refusal(path, error) from None
    namespace = etree.QName(root).namespace or ""
    for element in root.iter(etree.Element):
        element.tag = etree.QName(element).localname
    return Tree(root, namespace, *_resolve(path, root))


def _refusal(path: Source, error: Any) -> UnreadableDocument:
    where = f"line {error.lineno}" if error.lineno else "its end"
    if "amplification" in error.msg or error.code == etree.ErrorTypes.ERR_ENTITY_LOOP:
        return UnsupportedFormat(
            f"{path.name}: this XML defines entities that multiply into far more text than the file holds; "
            "such files are not opened"
        )
    if error.code == _RESOURCE_LIMIT:  # depth, or the length of one text
        return TooLarge(
            f"{path.name}: at {where} this XML is nested more than 256 deep or holds a text of more than "
            "10 million characters; such files are not opened"
        )
    # The library's message quotes the document.
    return DamagedFile(f"{path.name}: this XML is damaged at {where}; get a fresh copy of the file")


_RESOURCE_LIMIT = 114  # XML_ERR_RESOURCE_LIMIT, which lxml does not name


def _resolve(path: Source, root: Any) -> tuple[int, int]:
    """Put the text of entities in their places; how many have none, and how many of them are other files."""
    dtd = root.getroottree().docinfo.internalDTD
    declared = {entity.name: entity for entity in dtd.iterentities()} if dtd is not None else {}
    missing = outside = expanded = 0
    for reference in list(root.iter(etree.Entity)):
        entity = declared.get(reference.name)
        text = html5.get(f"{reference.name};")
        if entity is not None:
            text = entity.content
            outside += text is None
            if text is not None and (len(text) > _MAX_ENTITY or "&" in _ESCAPED.sub("", text) or "<" in text):
                raise UnsupportedFormat(
                    f"{path.name}: this XML defines entities that hold markup or other entities; "
                    "such files are not opened"
                )
        text = unescape(text) if text is not None else None
        missing += text is None
        expanded += len(text or "")
        if expanded > _MAX_EXPANDED:
            raise UnsupportedFormat(
                f"{path.name}: this XML's entities hold more than {_MAX_EXPANDED} characters; "
                "such files are not opened"
            )
        _replace(reference, text or "")
    return missing, outside


def _replace(reference: Any, text: str) -> None:
    parent, before = reference.getparent(), reference.getprevious()
    text += reference.tail or ""
    reference.tail = None
    if before is not None:
        before.tail = (before.tail or "") + text
    else:
        parent.text = (parent.text or "") + text
    parent.remove(reference)
