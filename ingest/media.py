"""What a file really is, by its content; its name only decides between kinds of plain text.

Knows signatures, not parsers: `sniff` reads the first bytes (and a ZIP's table of contents) and answers with
one of `ingest.document.MEDIA_TYPES` or refuses with what the file is instead.
"""

import re
import zipfile
from pathlib import Path

from ingest.document import DOCX, HTML, MARKDOWN, PDF, TEXT
from ingest.errors import (
    DamagedFile,
    DiskFailed,
    EmptyFile,
    MissingFile,
    PermissionDenied,
    UnreadableDocument,
    UnsupportedFormat,
)

_HEAD_BYTES = 8192
PDF_HEADER_WITHIN = 1024  # PDF 32000-1, annex H.3, note 13: readers accept the header this late

_IMAGE = "a picture ({}); text recognition is not available yet, convert it to a PDF with a text layer"
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", _IMAGE.format("PNG")),
    (b"\xff\xd8\xff", _IMAGE.format("JPEG")),
    (b"GIF8", _IMAGE.format("GIF")),
    (b"II*\x00", _IMAGE.format("TIFF")),
    (b"MM\x00*", _IMAGE.format("TIFF")),
    (b"BM", _IMAGE.format("BMP")),
    (b"{\\rtf", "a Rich Text (RTF) document; save it as .docx or PDF"),
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
    ("xl/", "an Excel workbook; export the sheets as PDF"),
    ("ppt/", "a PowerPoint presentation; export it as PDF"),
    ("META-INF/container.xml", "an EPUB book; convert it to PDF or HTML"),
    ("mimetype", "an OpenDocument file; save it as .docx or PDF"),
)
_HTML_START = re.compile(
    rb"\s*+(?:<!--(?:(?!-->).)*+-->\s*+)*+<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_XML_START = re.compile(rb"\s*<\?xml\b|\s*<[a-z_][\w.-]*:[\w.-]+[\s>]", re.I)
_TEXT_SUFFIXES = {".md": MARKDOWN, ".markdown": MARKDOWN, ".htm": HTML, ".html": HTML, ".xhtml": HTML}
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def sniff(path: Path) -> str:
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
        raise UnsupportedFormat(f"{path.name}: {_ole_reason(head, path)}")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        raise UnsupportedFormat(f"{path.name}: this is {_IMAGE.format('WebP')}")
    for signature, what in _SIGNATURES:
        if head.startswith(signature) and not (len(signature) == 2 and _looks_like_text(head)):
            raise UnsupportedFormat(f"{path.name}: this is {what}")
    if not _looks_like_text(head):
        raise _unknown(path, "its content is not a format that is known here")
    return _text_type(path, head)


PDF_MARK = b"%PDF-"


def _head(path: Path) -> bytes:
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


def _zip_type(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError):
        raise DamagedFile(
            f"{path.name}: a Word document or ZIP archive whose table of contents is damaged; "
            "get a fresh copy of the file"
        ) from None
    except NotImplementedError as error:  # a newer version of the format; zipfile says which
        raise UnsupportedFormat(
            f"{path.name}: a ZIP archive of a kind that is not read ({error}); pack it again"
        ) from None
    if "word/document.xml" in names:
        return DOCX
    if "[Content_Types].xml" in names and any(name.startswith("word/") for name in names):
        return DOCX
    for mark, what in _ZIP_CONTENTS:
        if any(name.startswith(mark) for name in names):
            raise UnsupportedFormat(f"{path.name}: this is {what}")
    raise UnsupportedFormat(f"{path.name}: this is a ZIP archive; unpack it first")


def _ole_reason(head: bytes, path: Path) -> str:
    if "EncryptedPackage".encode("utf-16-le") in head or path.suffix.lower() in (".docx", ".xlsx", ".pptx"):
        return "this is an Office document locked with a password; save a copy without the password"
    return "this is an old Office file (.doc, .xls, .ppt); save it as .docx or PDF"


def _looks_like_text(head: bytes) -> bool:
    if head.startswith(_BOMS):
        return True
    control = sum(byte < 32 and byte not in b"\t\n\r\f\v\x1b" for byte in head)
    return 0 not in head and control <= len(head) // 100


def _unknown(path: Path, why: str) -> UnreadableDocument:
    suffix = path.suffix.lower()
    if suffix in (".pdf", ".docx"):
        return DamagedFile(
            f"{path.name}: named {suffix} but {why}; it may be damaged, get a fresh copy of the file"
        )
    return UnsupportedFormat(f"{path.name}: {why}; PDF, DOCX, HTML, Markdown and plain text are read")


def _text_type(path: Path, head: bytes) -> str:
    if _HTML_START.match(head.removeprefix(_BOMS[0])):
        return HTML
    if _XML_START.match(head.removeprefix(_BOMS[0])):
        if re.search(rb"<html[\s>]", head, re.I):
            return HTML
        raise UnsupportedFormat(f"{path.name}: this is XML; XML documents are not read yet")
    suffix = path.suffix.lower()
    if suffix == ".xml":
        raise UnsupportedFormat(f"{path.name}: this is XML; XML documents are not read yet")
    if suffix in (".pdf", ".docx"):
        raise _unknown(path, "holds plain text without that format's header")
    return _TEXT_SUFFIXES.get(suffix, TEXT)
