"""What a file really is, by its content; its name only decides between kinds of plain text.

Knows signatures, not parsers: `sniff` reads the first bytes (and the table of contents of a ZIP or OLE file)
and answers with one of `ingest.document.MEDIA_TYPES` or refuses with what the file is instead.
"""

import re
import struct
import zipfile
import zlib

import olefile

from ingest.document import (
    CSV,
    DOC,
    DOCX,
    EML,
    EPUB,
    HTML,
    MARKDOWN,
    ODP,
    ODS,
    ODT,
    PDF,
    PPTX,
    RTF,
    TEXT,
    TSV,
    XLSX,
    XML,
)
from ingest.errors import (
    DamagedFile,
    DiskFailed,
    EmptyFile,
    MissingFile,
    PermissionDenied,
    UnreadableDocument,
    UnsupportedFormat,
)
from ingest.readers.source import Source

_HEAD_BYTES = 8192
PDF_HEADER_WITHIN = 1024  # PDF 32000-1, annex H.3, note 13: readers accept the header this late

_PICTURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"BM", "image/bmp"),
)
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"%!PS", "a PostScript file; convert it to PDF"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"BZh", "a bzip2 archive; unpack it first"),
    (b"\xfd7zXZ\x00", "an xz archive; unpack it first"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP_CONTENTS: tuple[tuple[str, str], ...] = (
    ("word/document.xml", DOCX),
    ("xl/workbook.xml", XLSX),
    ("ppt/presentation.xml", PPTX),
    ("META-INF/container.xml", EPUB),
)
_ZIP_FAMILIES = (("word/", DOCX), ("xl/worksheets/", XLSX), ("ppt/slides/", PPTX))
_ZIP_REFUSED = (("xl/workbook.bin", "a binary Excel workbook (.xlsb); save it as .xlsx"),)
_MIMETYPES = {
    ODT: ODT, ODS: ODS, ODP: ODP, EPUB: EPUB,
    f"{ODT}-template": ODT, f"{ODS}-template": ODS, f"{ODP}-template": ODP,
}  # fmt: skip
_OLE_REFUSED = (
    ("EncryptedPackage", "an Office document locked with a password; save a copy without the password"),
    ("Workbook", "an old Excel workbook (.xls); save it as .xlsx"),
    ("Book", "an old Excel workbook (.xls); save it as .xlsx"),
    ("PowerPoint Document", "an old PowerPoint presentation (.ppt); save it as .pptx"),
    ("__properties_version1.0", "an Outlook message (.msg); save it as .eml"),
)
_HTML_START = re.compile(
    rb"\s*+(?:<!--(?:(?!-->).)*+-->\s*+)*+<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_XML_START = re.compile(rb"\s*<(?:\?xml\b|!doctype\s+(?!html)|[a-z_][\w.-]*:[\w.-]+[\s>])", re.I)
_TEXT_SUFFIXES = {
    ".md": MARKDOWN, ".markdown": MARKDOWN, ".htm": HTML, ".html": HTML, ".xhtml": HTML,
    ".csv": CSV, ".tsv": TSV, ".tab": TSV, ".eml": EML,
}  # fmt: skip
# A mail begins with header fields, of which one is of the kind that only mail programs write.
_MAIL_START = re.compile(
    rb"\A(?:[A-Za-z][A-Za-z0-9-]{0,60}:[^\n]{0,2000}\n(?:[ \t][^\n]{0,2000}\n){0,100}+){2}", re.S
)
_MAIL_FIELD = re.compile(rb"^(?:Received|Message-ID|MIME-Version|Return-Path|Delivered-To):", re.I | re.M)
_BINARY_SUFFIXES = (".pdf", ".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".epub")
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def sniff(path: Source) -> str:
    """Media type of a readable document.

    Raises MissingFile, PermissionDenied, EmptyFile, UnsupportedFormat or DamagedFile (the name promises a
    format that the content does not hold).
    """
    head = _head(path)
    if PDF_MARK in head[:PDF_HEADER_WITHIN]:
        return PDF
    if head.startswith(b"PK\x03\x04"):
        return _zip_type(path)
    if head.startswith(_OLE):
        return _ole_type(path)
    if head.startswith(b"{\\rtf"):
        return RTF
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    for signature, picture in _PICTURES:
        if head.startswith(signature) and not (len(signature) == 2 and _looks_like_text(head)):
            return picture
    for signature, what in _SIGNATURES:
        if head.startswith(signature) and not (len(signature) == 2 and _looks_like_text(head)):
            raise UnsupportedFormat(f"{path.name}: this is {what}")
    if not _looks_like_text(head):
        raise _unknown(path, "its content is not a format that is known here")
    return _text_type(path, head)


PDF_MARK = b"%PDF-"


def _head(path: Source) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise MissingFile(f"{path.name}: there is no such file") from None
    except PermissionError:
        raise PermissionDenied(
            f"{path.name}: no permission to read this file; change its permissions or copy it"
        ) from None
    except OSError as error:
        raise DiskFailed(
            f"{path.name}: the disk could not read this file ({error.strerror}); try again, or copy it"
        ) from None
    if not head:
        raise EmptyFile(f"{path.name}: the file is empty (0 bytes)")
    return head


def _zip_type(path: Source) -> str:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError):
        raise DamagedFile(
            f"{path.name}: an office document or ZIP archive whose table of contents is damaged; "
            "get a fresh copy of the file"
        ) from None
    except NotImplementedError as error:  # a newer version of the format; zipfile says which
        raise UnsupportedFormat(
            f"{path.name}: a ZIP archive of a kind that is not read ({error}); pack it again"
        ) from None
    if "mimetype" in names:
        mimetype = _mimetype(path)
        if mimetype in _MIMETYPES:
            return _MIMETYPES[mimetype]
        if mimetype.startswith("application/vnd.oasis.opendocument"):
            raise UnsupportedFormat(
                f"{path.name}: this is an OpenDocument file of a kind that is not read; export it as PDF"
            )
    for mark, what in _ZIP_REFUSED:
        if mark in names:
            raise UnsupportedFormat(f"{path.name}: this is {what}")
    for mark, media_type in _ZIP_CONTENTS:
        if mark in names:
            return media_type
    if "[Content_Types].xml" in names:
        for mark, media_type in _ZIP_FAMILIES:
            if any(name.startswith(mark) for name in names):
                return media_type
    raise UnsupportedFormat(f"{path.name}: this is a ZIP archive; unpack it first")


def _mimetype(path: Source) -> str:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive, archive.open("mimetype") as entry:
            return entry.read(200).decode("ascii", "replace").strip()
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError):
        return ""


def _ole_type(path: Source) -> str:
    try:
        with path.open("rb") as file, olefile.OleFileIO(file) as ole:
            names = {entry[0] for entry in ole.listdir()}
    except (OSError, ValueError, IndexError, struct.error):
        raise DamagedFile(
            f"{path.name}: an old Office file (.doc, .xls, .ppt) whose table of contents is damaged; "
            "get a fresh copy of the file"
        ) from None
    for mark, what in _OLE_REFUSED:
        if mark in names:
            raise UnsupportedFormat(f"{path.name}: this is {what}")
    if "WordDocument" in names:
        return DOC
    raise UnsupportedFormat(f"{path.name}: this is an old Office file of a kind that is not read")


def _looks_like_text(head: bytes) -> bool:
    if head.startswith(_BOMS):
        return True
    control = sum(byte < 32 and byte not in b"\t\n\r\f\v\x1b" for byte in head)
    return 0 not in head and control <= len(head) // 100


def _unknown(path: Source, why: str) -> UnreadableDocument:
    suffix = path.suffix.lower()
    if suffix in _BINARY_SUFFIXES:
        return DamagedFile(
            f"{path.name}: named {suffix} but {why}; it may be damaged, get a fresh copy of the file"
        )
    return UnsupportedFormat(
        f"{path.name}: {why}; PDF, Word, Excel, PowerPoint, OpenDocument, RTF, EPUB, mail, "
        "HTML, XML, Markdown, CSV and plain text are read"
    )


def _text_type(path: Source, head: bytes) -> str:
    if _HTML_START.match(head.removeprefix(_BOMS[0])):
        return HTML
    if _XML_START.match(head.removeprefix(_BOMS[0])):
        if re.search(rb"<html[\s>]", head, re.I):
            return HTML
        return XML
    if _MAIL_START.match(head) and _MAIL_FIELD.search(head):
        return EML
    suffix = path.suffix.lower()
    if suffix == ".xml":
        return XML
    if suffix in _BINARY_SUFFIXES:
        raise _unknown(path, "holds plain text without that format's header")
    return _TEXT_SUFFIXES.get(suffix, TEXT)
