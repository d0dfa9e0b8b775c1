"""DOC, Word 97 to 2003: the text that its piece table lists ([MS-DOC] 2.4.1), as paragraphs and table rows.

olefile opens the compound file. Field codes, comments, headers and footers are left out; foot- and endnotes
follow the text. Numbers that Word counts when it displays a document are not in the text and so not here.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import olefile

from ingest.document import DOC, Read
from ingest.errors import DamagedFile, PasswordRequired, TooLarge, UnsupportedFormat
from ingest.readers.clean import clean, one_line
from ingest.readers.doc_properties import Paragraphs, Properties
from ingest.readers.flow import Block, read_flow
from ingest.readers.source import Source
from ingest.readers.tables import Row, cells, table

_MAGIC = 0xA5EC
_WORD_97 = 0x00C1  # nFib of the oldest version with this layout
_ENCRYPTED, _TABLE_1 = 0x0100, 0x0200  # flags at offset 10
_PAPX, _CLX = 13, 33  # places of fcPlcfBtePapx and fcClx among the pairs of FibRgFcLcb97
_MOST_CHARACTERS = 50_000_000
_LONGEST_HEADING = 200  # heading styles are also used to make whole paragraphs bold
_PARAGRAPH, _CELL, _PAGE, _LINE = "\r", "\x07", "\f", "\v"
_FIELD_BEGIN, _FIELD_SEPARATOR, _FIELD_END = "\x13", "\x14", "\x15"
_FIELD_MARK = re.compile("[\x13-\x15]")
_NOTE, _NO_BREAK_HYPHEN, _MASK = "\x02", "\x1e", "\x00"
_PROPERTIES = {"title": "title", "author": "author", "subject": "subject"}


def read_doc(path: Source) -> Read:
    """Yield the information and sections of an old Word document.

    Raises DamagedFile, PasswordRequired, TooLarge, or UnsupportedFormat for versions before Word 97.
    """
    try:
        with path.open("rb") as file, olefile.OleFileIO(file) as ole:
            main = ole.openstream("WordDocument").read()
            flags = _fib(path, main)
            side = ole.openstream("1Table" if flags & _TABLE_1 else "0Table").read()
            metadata = _metadata(ole)
        text = _Text(path, main, side)
    except (OSError, struct.error, IndexError, ValueError, KeyError) as error:
        raise DamagedFile(
            f"{path.name}: this Word document is damaged ({type(error).__name__}); open it in Word or "
            "LibreOffice and save it as .docx"
        ) from None
    blocks = [*text.blocks(text.body), *text.notes()]
    yield from read_flow(DOC, metadata.get("title"), metadata, blocks)


def _fib(path: Source, main: bytes) -> int:
    """Flags of the file information block ([MS-DOC] 2.5.1), if it is one that can be read."""
    magic, version = struct.unpack_from("<HH", main, 0)
    if magic != _MAGIC:
        raise ValueError("not a file information block")
    if version < _WORD_97:
        raise UnsupportedFormat(
            f"{path.name}: written by a Word older than Word 97; open it in LibreOffice and save it as .docx"
        )
    flags: int = struct.unpack_from("<H", main, 10)[0]
    if flags & _ENCRYPTED:
        raise PasswordRequired(
            f"{path.name}: this Word document is locked with a password; save a copy without the password"
        )
    return flags


@dataclass(frozen=True)
class _Piece:
    """Characters [first, last) of the document lie at `offset` of the main stream, `width` bytes each."""

    first: int
    last: int
    offset: int
    width: int


class _Text:
    """All text, one code unit a character so that places stay what the file counts, and where it lies."""

    def __init__(self, path: Source, main: bytes, side: bytes) -> None:
        at = 32
        (words,) = struct.unpack_from("<H", main, at)
        at += 2 + 2 * words
        (longs,) = struct.unpack_from("<H", main, at)
        # 2.5.4: characters of the text, footnotes, headers, (unused), comments, endnotes
        body, feet, heads, _, comments, ends = struct.unpack_from("<6i", main, at + 2 + 4 * 3)
        if min(body, feet, heads, comments, ends) < 0:
            raise ValueError("a negative length")
        pairs = at + 2 + 4 * longs + 2
        start, size = struct.unpack_from("<II", main, pairs + 8 * _CLX)
        self._pieces = _pieces(path, side[start : start + size])
        self._text = _without_fields("".join(_characters(main, piece) for piece in self._pieces))
        start, size = struct.unpack_from("<II", main, pairs + 8 * _PAPX)
        self._paragraphs = Paragraphs(main, side[start : start + size])
        self.body = range(min(body, len(self._text)))
        after = body + feet + heads + comments
        self._noted = [range(body, body + feet), range(after, after + ends)]
        # Word counts notes when it displays them; with notes of one kind only their order tells the numbers.
        numbered = [part for part in self._noted if part]
        marks = self._text.count(_NOTE, 0, body)
        self._are_numbered = len(numbered) == 1 and marks == self._text.count(
            _NOTE, numbered[0].start, numbered[0].stop
        )

    def blocks(self, part: range) -> Iterator[Block]:
        """Paragraphs end with a carriage return, cells and rows with a cell mark."""
        rows: list[Row] = []
        heads = 0
        row: list[str] = []
        held: list[str] = []  # paragraphs of the cell that is open
        start, note = part.start, 0
        for at in part:
            character = self._text[at]
            if character not in (_PARAGRAPH, _CELL, _PAGE):
                continue
            raw = self._text[start:at]
            text = self._plain(raw, note)
            note += raw.count(_NOTE)
            found = self._at(at)
            ends_row = found.ends_row or (not self._paragraphs and start == at and bool(row) and not held)
            start = at + 1
            if character == _CELL and ends_row:
                rows.append(cells(row))
                heads += found.is_header and heads == len(rows) - 1
                row = []
            elif character == _CELL:
                row.append(" ".join(" ".join([*held, text]).split()))
                held = []
            elif found.in_table:
                held.append(text)
            else:
                yield from table(rows, heads or None)
                rows, heads = [], 0
                if text:
                    yield Block(text, found.level if len(text) <= _LONGEST_HEADING else None)
        yield from table([*rows, cells([*row, *held])] if row or held else rows, heads or None)
        if last := self._plain(self._text[start : part.stop], note):
            yield Block(last)

    def notes(self) -> Iterator[Block]:
        """Foot- and endnotes, each behind the number that stands in the text."""
        for part in self._noted:
            yield from self.blocks(range(part.start, min(part.stop, len(self._text))))

    def _at(self, place: int) -> Properties:
        low, high = 0, len(self._pieces) - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._pieces[middle].last <= place else (low, middle)
        piece = self._pieces[low]
        return self._paragraphs.at(piece.offset + (place - piece.first) * piece.width)

    def _plain(self, text: str, note: int) -> str:
        if self._are_numbered and _NOTE in text:
            first, *others = text.split(_NOTE)
            text = first + "".join(f"[{note + at}]{other}" for at, other in enumerate(others, 1))
        text = text.replace(_NO_BREAK_HYPHEN, "-").replace(_LINE, "\n")
        return clean(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")).strip()


def _pieces(path: Source, clx: bytes) -> list[_Piece]:
    """The piece table (2.9.38 Clx, 2.9.177 Pcd, 2.9.73 FcCompressed)."""
    at = 0
    while clx[at] == 1:  # properties of pieces
        at += 3 + struct.unpack_from("<H", clx, at + 1)[0]
    if clx[at] != 2:
        raise ValueError("no piece table")
    (size,) = struct.unpack_from("<I", clx, at + 1)
    entries = clx[at + 5 : at + 5 + size]
    count = (len(entries) - 4) // 12
    if count < 1:
        raise ValueError("no pieces")
    places = struct.unpack_from(f"<{count + 1}I", entries, 0)
    if places[0] != 0 or any(first > last for first, last in pairwise(places)):
        raise ValueError("pieces out of order")
    if places[-1] > _MOST_CHARACTERS:
        raise TooLarge(f"{path.name}: more than {_MOST_CHARACTERS} characters of text; split the file")
    pieces = []
    for number, (first, last) in enumerate(pairwise(places)):
        (place,) = struct.unpack_from("<I", entries, 4 * (count + 1) + 8 * number + 2)
        compressed = place & 0x40000000
        place &= 0x3FFFFFFF
        pieces.append(_Piece(first, last, place // 2 if compressed else place, 1 if compressed else 2))
    return pieces


def _characters(main: bytes, piece: _Piece) -> str:
    data = main[piece.offset : piece.offset + (piece.last - piece.first) * piece.width]
    if len(data) < (piece.last - piece.first) * piece.width:
        raise ValueError("a piece lies outside of the file")
    if piece.width == 1:
        return data.decode("cp1252", "replace")
    units = np.frombuffer(data, dtype="<u2").astype("<u4")
    return units.tobytes().decode("utf-32-le", "surrogatepass")


def _without_fields(text: str) -> str:
    """Fields without their codes (begin to separator); what goes is masked, so that places stay."""
    if _FIELD_BEGIN not in text:
        return text
    parts: list[str] = []
    in_code: list[bool] = []  # of each open field
    start = 0
    for match in _FIELD_MARK.finditer(text):
        at, mark = match.start(), match.group()
        parts.append(_MASK * (at - start) if any(in_code) else text[start:at])
        parts.append(_MASK)
        start = at + 1
        if mark == _FIELD_BEGIN:
            in_code.append(True)
        elif in_code and mark == _FIELD_SEPARATOR:
            in_code[-1] = False
        elif in_code:
            in_code.pop()
    parts.append(text[start:])
    return "".join(parts)


def _metadata(ole: olefile.OleFileIO) -> dict[str, str]:
    found = ole.get_metadata()
    page = getattr(found, "codepage", None)
    named = {}
    for name, attribute in _PROPERTIES.items():
        value = getattr(found, attribute, None)
        if isinstance(value, bytes):
            value = value.decode("utf-8" if page == 65001 else "cp1252", "replace")
        if isinstance(value, str) and (text := one_line(value, 1000)):
            named[name] = text
    return named
