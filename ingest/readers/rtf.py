"""RTF 1.9.1: paragraphs, headings by style or outline level, lists, table rows, notes, in any code page.

Deleted and hidden text, field codes, pictures, headers and footers are left out. The library that exists
drops footnotes and writes tables as it writes text, so the groups are walked here.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ingest.document import RTF, PageWarning, Read
from ingest.readers.clean import clean, one_line
from ingest.readers.flow import Block, read_flow
from ingest.readers.source import Source
from ingest.readers.symbols import symbol
from ingest.readers.tables import Rows, table

_TOKEN = re.compile(
    r"\\([A-Za-z]{1,32})(-?\d{1,10})?[ ]?|\\'([0-9A-Fa-f]{2})|\\([^A-Za-z])|([{}])|([^\\{}\r\n]+)", re.S
)
_SKIPPED_WORDS = """
    aftncn aftnsep aftnsepc annotation colorschememapping colortbl comment datastore falt filetbl fldinst
    footer footerf footerl footerr ftncn ftnsep ftnsepc generator header headerf headerl headerr latentstyles
    listoverridetable listtable mmathPr nesttableprops nonesttables objdata panose pict pntxta pntxtb rxe
    shppict sn sp sv tc themedata txe xe xmlnstbl
"""
_SKIPPED = frozenset(_SKIPPED_WORDS.split())
_KEPT = frozenset({"shpinst", "shptxt", "nestcell"})  # although marked as what old readers may ignore
_INFO = frozenset({"title", "author", "subject"})
_TEXT_OF = {
    "line": "\n", "tab": "\t", "emdash": "—", "endash": "–", "emspace": " ", "enspace": " ", "qmspace": " ",
    "bullet": "•", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”",
    "nestcell": " ", "nestrow": " ",
}  # fmt: skip
_SIGN = {"~": " ", "_": "-", "{": "{", "}": "}", "\\": "\\"}
_CODE_PAGES = {
    77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gbk", 136: "cp950", 161: "cp1253",
    162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874",
    238: "cp1250", 254: "cp437", 255: "cp850",
}  # fmt: skip
_SYMBOL_CHARSET = 2
_HEADING = re.compile(r"heading (\d)", re.I)


@dataclass
class _State:
    """What a group inherits. target: "text", "skip", "fonts", "styles", "note" or a name of `_INFO`."""

    target: str = "text"
    font: int = -1
    unicode_skip: int = 1
    hidden: bool = False
    style: int = 0
    outline: int | None = None
    in_table: bool = False
    is_listed: bool = False


def read_rtf(path: Source) -> Read:
    """Yield the information and sections of a Rich Text document; a warning if it ends early."""
    reader = _Reader(path.read_bytes().decode("latin-1"))
    blocks = list(reader.blocks())
    title = reader.info.get("title") or next((one_line(b.text) for b in blocks if b.level == 1), None)
    pages = 1
    for item in read_flow(RTF, title, reader.info, blocks):
        pages = getattr(item, "number", pages)
        yield item
    if not reader.ended:
        # said of the last section, so that the document counts as partly read
        yield PageWarning(pages, "the file ends early; text after this may be missing")


class _Reader:
    """Walks the groups once."""

    def __init__(self, text: str) -> None:
        self._source = text
        self.info: dict[str, str] = {}
        self.ended = False  # whether the outermost group was closed
        self._state = _State()
        self._stack: list[_State] = []
        self._code_page = "cp1252"
        self._fonts: dict[int, tuple[str, str]] = {}  # number: code page, name
        self._font_default = -1
        self._styles: dict[int, int] = {}  # number: heading level
        self._bytes = bytearray()
        self._text: list[str] = []
        self._side: list[str] = []  # text of fonts, styles, information
        self._cell: list[str] = []
        self._rows, self._heads, self._is_head = Rows(), 0, False
        self._notes: list[str] = []
        self._outer: list[str] = []  # the paragraph around a note that is open

    def blocks(self) -> Iterator[Block]:
        position, skip, ignorable = 0, 0, False
        while match := _TOKEN.search(self._source, position):
            position = match.end()
            word, number, code, sign, brace, plain = match.groups()
            if code is None and not (plain and skip):
                self._decode()
            if brace:
                skip = 0
                if brace == "{":
                    self._stack.append(self._state)
                    self._state = replace(self._state)
                elif not self._stack:
                    break
                else:
                    self._close_group()
                    if not self._stack:
                        self.ended = True
                        break
            elif word:
                skip = 0
                value = int(number) if number else None
                if word == "bin":
                    position += max(value or 0, 0)
                elif word == "u" and value is not None:
                    self._put(chr(value % 65536))
                    skip = self._state.unicode_skip
                else:
                    yield from self._word(word, value, ignorable)
            elif code or plain:
                text = chr(int(code, 16)) if code else plain
                passed = min(skip, len(text))
                skip -= passed
                self._bytes += text[passed:].encode("latin-1")
            elif sign in "\r\n":
                yield from self._end_paragraph()
            elif sign in _SIGN:
                if skip:
                    skip -= 1
                else:
                    self._put(_SIGN[sign])
            ignorable = sign == "*"
        self._decode()
        yield from self._end_paragraph()
        yield from self._end_table()
        for at, note in enumerate(self._notes, 1):
            yield Block(f"[{at}] {note}", tight=True)

    def _word(self, word: str, value: int | None, ignorable: bool) -> Iterator[Block]:
        state = self._state
        if word in _SKIPPED or (ignorable and word not in _KEPT):
            state.target = "skip"
        elif state.target == "skip":
            return
        elif word in ("fonttbl", "stylesheet", "info"):
            state.target = {"fonttbl": "fonts", "stylesheet": "styles", "info": "info"}[word]
        elif state.target == "info":
            state.target = word if word in _INFO else "skip"
        elif word == "footnote":
            self._notes.append("")
            self._put(f"[{len(self._notes)}]")
            state.target, self._outer, self._text = "note", self._text, []
        elif word in _TEXT_OF:
            self._put(_TEXT_OF[word])
        elif word in ("par", "sect", "page"):
            yield from self._end_paragraph()
        elif word == "cell":
            self._cell.append(self._taken())
            self._rows.add(" ".join(" ".join(self._cell).split()))
            self._cell = []
        elif word == "row":
            before = len(self._rows.rows)
            self._rows.end_row()
            if self._is_head and self._heads == before:
                self._heads = len(self._rows.rows)
        else:
            self._property(word, value)

    def _property(self, word: str, value: int | None) -> None:
        state = self._state
        match word:
            case "pard":
                state.style, state.outline, state.in_table, state.is_listed = 0, None, False, False
            case "plain":
                state.hidden = False
            case "v" | "deleted":
                state.hidden = value != 0
            case "uc":
                state.unicode_skip = min(max(value or 0, 0), 20)
            case "f" if value is not None:
                state.font = value
            case "deff" if value is not None:
                self._font_default = state.font = value
            case "fcharset" if value is not None:
                name = self._fonts.get(state.font, ("", ""))[1]
                page = "symbol" if value == _SYMBOL_CHARSET else _CODE_PAGES.get(value, "")
                self._fonts[state.font] = page, name
            case "ansicpg" if value is not None:
                self._code_page = _known(f"cp{value}") or self._code_page
            case "mac":
                self._code_page = "mac_roman"
            case "s" if value is not None:
                state.style = value
            case "outlinelevel" if value is not None:
                state.outline = value if 0 <= value < 9 else None
                if state.target == "styles" and state.outline is not None:
                    self._styles.setdefault(state.style, state.outline + 1)
            case "intbl":
                state.in_table = True
            case "pntext" | "listtext":
                self._stack[-1].is_listed = bool(self._stack)
            case "trowd":
                self._is_head = False
            case "trhdr":
                self._is_head = True

    def _close_group(self) -> None:
        closed, self._state = self._state, self._stack.pop()
        outer = self._state.target
        match closed.target:
            case "fonts":
                code_page, _ = self._fonts.get(closed.font, ("", ""))
                self._fonts[closed.font] = code_page, "".join(self._side).strip(" ;")
                self._side = []
            case "styles":
                name = "".join(self._side).strip(" ;")
                if found := _HEADING.fullmatch(name):
                    self._styles[closed.style] = int(found.group(1))
                self._side = []
            case "note" if outer != "note":
                self._notes[-1] = " ".join(self._taken().split())
                self._text, self._outer = self._outer, []
            case name if name in _INFO and outer == "info":
                if text := one_line(_joined(self._side), 1000):
                    self.info[name] = text
                self._side = []

    def _decode(self) -> None:
        """Bytes that have come so far, in the code page of their font."""
        if not self._bytes:
            return
        data, self._bytes = bytes(self._bytes), bytearray()
        font = self._state.font if self._state.font >= 0 else self._font_default
        page, name = self._fonts.get(font, ("", ""))
        if page == "symbol" and self._state.target in ("text", "note"):
            text = data.decode("latin-1")
            self._put("".join(symbol(0xF000 + ord(c), name) or c for c in text))
        else:
            self._put(data.decode(_known(page) or self._code_page, "replace"))

    def _put(self, text: str) -> None:
        target = self._state.target
        if target in ("text", "note"):
            if not self._state.hidden:
                self._text.append(text)
        elif target != "skip":
            self._side.append(text)

    def _taken(self) -> str:
        lines = clean(_joined(self._text)).split("\n")
        self._text = []
        return "\n".join(line.strip() for line in lines).strip()

    def _end_paragraph(self) -> Iterator[Block]:
        state = self._state
        if state.target == "note":
            self._text.append(" ")
            return
        if state.target != "text":
            return
        if state.in_table:
            self._cell.append(self._taken())
            return
        yield from self._end_table()
        if text := self._taken():
            level = state.outline + 1 if state.outline is not None else self._styles.get(state.style)
            listed, state.is_listed = state.is_listed, False
            yield Block(text.replace("\t", " ", 1) if listed else text, level, tight=listed and level is None)

    def _end_table(self) -> Iterator[Block]:
        self._rows.end_row()
        yield from table(self._rows.rows, self._heads or None)
        self._rows, self._heads, self._cell = Rows(), 0, []


def _known(encoding: str) -> str | None:
    try:
        return encoding if encoding and codecs.lookup(encoding)._is_text_encoding else None
    except (LookupError, ValueError):
        return None


def _joined(parts: list[str]) -> str:
    """One string; surrogates that \\u wrote one by one become the characters they are."""
    return "".join(parts).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
