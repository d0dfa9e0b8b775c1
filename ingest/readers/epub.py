"""EPUB: the chapters in the order of the book's spine, each read as the web page that it is.

EPUB OCF 3.3 and Packages 3.3: META-INF/container.xml names the package, whose spine lists items of its
manifest. Everything is taken from inside the archive; what a chapter links to is not followed.
"""

import posixpath
import zipfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from ingest.document import EPUB, PageWarning, Read
from ingest.errors import DamagedFile, UnsupportedFormat
from ingest.readers.archive import damaged, member, open_archive, parse_xml
from ingest.readers.clean import one_line
from ingest.readers.decoding import decode
from ingest.readers.flow import Block, read_flow
from ingest.readers.html import blocks_of
from ingest.readers.source import Source

_WHAT = "EPUB book"
_CONTAINER = "{urn:oasis:names:tc:opendocument:xmlns:container}"
_OPF = "{http://www.idpf.org/2007/opf}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_ENC = "{http://www.w3.org/2001/04/xmlenc#}"
_CHAPTERS = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml"})


def read_epub(path: Source) -> Read:
    """Yield the information and sections of a book.

    Raises what opening an archive raises (ingest.readers.archive), DamagedFile for a book without a spine,
    UnsupportedFormat for one that is copy-protected.
    """
    archive = open_archive(path, _WHAT)
    container = parse_xml(path, member(path, archive, "META-INF/container.xml", _WHAT), _WHAT)
    rootfile = container.find(f".//{_CONTAINER}rootfile")
    package_name = rootfile.get("full-path", "") if rootfile is not None else ""
    package = parse_xml(path, member(path, archive, package_name, _WHAT), _WHAT)
    chapters = _chapters(package, posixpath.dirname(package_name))
    if not chapters:
        raise damaged(path, _WHAT, KeyError("spine"))
    if _protected(path, archive).intersection(chapters):
        raise UnsupportedFormat(f"{path.name}: this book is copy-protected (DRM), so it cannot be read")
    missing: list[str] = []
    blocks = list(_blocks(path, archive, chapters, missing))
    metadata = {
        name: text
        for name, tag in (("title", "title"), ("author", "creator"), ("date", "date"))
        if (text := one_line(package.findtext(f".//{_DC}{tag}") or "", 1000))
    }
    pages = 1
    for item in read_flow(EPUB, metadata.get("title"), metadata, blocks):
        pages = getattr(item, "number", pages)
        yield item
    for name in missing[:20]:
        yield PageWarning(pages, f"chapter {one_line(name, 80)} is missing or damaged and was left out")


def _chapters(package: Any, folder: str) -> list[str]:
    """Names of the archive's entries in reading order."""
    manifest = {
        item.get("id"): item.get("href", "")
        for item in package.iterfind(f".//{_OPF}item")
        if item.get("media-type") in _CHAPTERS
    }
    names = [
        posixpath.normpath(posixpath.join(folder, unquote(manifest[reference.get("idref")])))
        for reference in package.iterfind(f".//{_OPF}itemref")
        if reference.get("idref") in manifest
    ]
    return list(dict.fromkeys(names))


def _protected(path: Source, archive: zipfile.ZipFile) -> set[str]:
    """Entries that are encrypted; mangled fonts are listed there too, and no chapter."""
    if "META-INF/encryption.xml" not in archive.namelist():
        return set()
    root = parse_xml(path, member(path, archive, "META-INF/encryption.xml", _WHAT), _WHAT)
    return {unquote(found.get("URI", "")) for found in root.iter(f"{_ENC}CipherReference")}


def _blocks(
    path: Source, archive: zipfile.ZipFile, chapters: list[str], missing: list[str]
) -> Iterator[Block]:
    for name in chapters:
        try:
            text = decode(member(path, archive, name, _WHAT))
        except DamagedFile:
            missing.append(name)
            continue
        yield from blocks_of(text)
