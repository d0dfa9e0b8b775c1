"""Opens the ZIP archive that an office file or a book is, after making sure that it cannot do harm.

Refused, by the table of contents alone, before anything is unpacked: too many entries, too many bytes or too
steep a ratio (the sizes that the table promises are also the most that zipfile unpacks), names that point
outside, entries locked with a password. XML parts that declare entities are refused as well: office programs
never write them, and they serve to explode or to reach for other files. Archives inside an archive are never
opened; `embedded` names them. Nothing is written, nothing is fetched.
"""

import io
import re
import zipfile
import zlib
from typing import Any
from xml.parsers import expat

from lxml import etree

from ingest.document import PageWarning, Read
from ingest.errors import DamagedFile, PasswordRequired, TooLarge, UnsupportedFormat
from ingest.readers.clean import one_line
from ingest.readers.source import Source

BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, NotImplementedError)

_MAX_ENTRIES = 20_000
_MAX_UNPACKED = 1024 * 2**20
_MAX_RATIO = 200  # of unpacked to packed bytes; real documents stay below 50
_SMALL = 64 * 2**20  # unpacked sizes up to here are harmless at any ratio
_ENCRYPTED = 1  # bit of an entry's flags
_XML = (".xml", ".rels", ".opf", ".ncx", ".xhtml", ".vml")
_DRIVE = re.compile(r"[A-Za-z]:")
_PROLOG_BYTES = 16 * 1024
_EMBEDDED = re.compile(r"(?:^|/)embeddings/[^/]+\Z|^Object [^/]+/content\.xml\Z")


def open_archive(source: Source, what: str) -> zipfile.ZipFile:
    """The archive, its contents checked. what: "Word document", for messages.

    Raises DamagedFile, TooLarge, PasswordRequired or UnsupportedFormat.
    """
    file = source.open("rb")
    try:
        packed = file.seek(0, io.SEEK_END)
        archive = zipfile.ZipFile(file)
        entries = archive.infolist()
    except BROKEN as error:
        file.close()
        raise damaged(source, what, error) from None
    _check_size(source, packed, entries)
    for entry in entries:
        name = entry.filename.replace("\\", "/")
        if name.startswith("/") or _DRIVE.match(name) or ".." in name.split("/"):
            raise UnsupportedFormat(
                f"{source.name}: holds an entry whose name points outside of the archive, as no {what} does; "
                "such files are not opened"
            )
        if entry.flag_bits & _ENCRYPTED:
            raise PasswordRequired(
                f"{source.name}: this {what} is locked with a password; save a copy without the password"
            )
    for entry in entries:
        if entry.filename.lower().endswith(_XML):
            _check_entities(source, archive, entry)
    return archive


def member(source: Source, archive: zipfile.ZipFile, name: str, what: str) -> bytes:
    """One entry, unpacked. Raises DamagedFile if it is missing or broken."""
    try:
        return archive.read(name)
    except (*BROKEN, RuntimeError) as error:
        raise damaged(source, what, error) from None


def parse_xml(source: Source, data: bytes, what: str) -> Any:
    """Root element of an XML part; entities stay unresolved, nothing is loaded beside it.

    Raises DamagedFile.
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise damaged(source, what, error) from None


def damaged(source: Source, what: str, error: Exception) -> DamagedFile:
    """The error for a file whose parts cannot be unpacked or parsed."""
    return DamagedFile(
        f"{source.name}: this {what} is damaged ({type(error).__name__}); get a fresh copy, or save it again"
    )


def embedded(archive: zipfile.ZipFile) -> Read:
    """A warning that names the documents inside the document, which are not read."""
    names = [entry.filename for entry in archive.infolist() if _EMBEDDED.search(entry.filename)]
    if names:
        listed = ", ".join(one_line(name, 60) for name in names[:5]) + (", ..." if len(names) > 5 else "")
        yield PageWarning(None, f"{len(names)} embedded object(s) were not read: {listed}")


def _check_size(source: Source, packed: int, entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > _MAX_ENTRIES:
        raise TooLarge(
            f"{source.name}: packs {len(entries)} entries, more than the limit of {_MAX_ENTRIES}; "
            "such files are not opened"
        )
    unpacked = sum(entry.file_size for entry in entries)
    ratio = unpacked / max(packed, 1)
    if unpacked > _MAX_UNPACKED or (unpacked > _SMALL and ratio > _MAX_RATIO):
        raise TooLarge(
            f"{source.name}: unpacks to {unpacked // 2**20} MiB, {ratio:.0f} times its size; "
            "such files are not opened"
        )


class _RootReached(Exception):
    """Declarations can only stand before the root element."""


class _EntityDeclared(Exception):
    """What the check looks for."""


def _check_entities(source: Source, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    def root(*_: object) -> None:
        raise _RootReached

    def entity(*_: object) -> None:
        raise _EntityDeclared

    parser = expat.ParserCreate()
    parser.StartElementHandler = root
    parser.EntityDeclHandler = entity
    try:
        with archive.open(entry) as part:
            while piece := part.read(_PROLOG_BYTES):
                parser.Parse(piece)
    except (_RootReached, expat.ExpatError, *BROKEN):
        return  # no declarations before the root; what is broken is the reader's to report
    except _EntityDeclared:
        raise UnsupportedFormat(
            f"{source.name}: declares XML entities of its own, which office programs never do and attacks "
            "need; such files are not opened"
        ) from None
