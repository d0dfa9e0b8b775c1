"""EML, a mail as it travels (RFC 5322, MIME): its headers, its text, then its attachments as more sections.

Plain text is preferred to HTML. Attachments that this room can read are read in memory by their own readers,
with their pages as sections; other mails inside a mail likewise. What is not read is named in a warning: it
counts as missing where it is a document that failed, not where nobody reads its kind (a signature).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from email import message_from_bytes, policy
from email.message import Message
from typing import Any

from ingest.document import EML, PICTURES, DocumentInfo, Heading, Page, PageWarning, Read
from ingest.errors import DamagedFile, UnreadableDocument, UnsupportedFormat
from ingest.limits import Limits
from ingest.media import sniff
from ingest.readers.clean import clean, one_line
from ingest.readers.decoding import decode
from ingest.readers.dispatch import read_as
from ingest.readers.flow import Block, read_flow
from ingest.readers.html import blocks_of
from ingest.readers.source import Held, Source
from ingest.readers.text import paragraphs

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_TEXTS = ("text/plain", "text/html")
_MOST_ATTACHMENTS = 100  # of a mail and of all mails inside it
_DEEPEST = 5  # mails inside mails
_DEEPEST_PART = 50


@dataclass
class _Parts:
    """bodies: text to show, in order. attached: everything else, whole mails included."""

    bodies: list[Message] = field(default_factory=list)
    attached: list[Message] = field(default_factory=list)


def read_eml(path: Source, password: str | None, limits: Limits, step: Callable[[], None]) -> Read:
    """Yield the information and sections of a mail and its attachments.

    A password is of no use here. step is called while an attached page is recognised. Raises DamagedFile
    for what has neither headers nor text.
    """
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    reader = _Reader(limits, step)
    reader.mail(message, depth=0)
    if not reader.pages:
        raise DamagedFile(f"{path.name}: a mail without headers and text; get a fresh copy of the file")
    named = {"author": _header(message, "From"), "date": _header(message, "Date")}
    metadata = {name: text for name, text in named.items() if text}
    yield DocumentInfo(EML, _header(message, "Subject") or None, len(reader.pages), False, metadata)
    yield from reader.pages
    yield from reader.warnings


class _Reader:
    """Collects the sections of a mail and of everything in it, numbered through."""

    def __init__(self, limits: Limits, step: Callable[[], None]) -> None:
        self.pages: list[Page] = []
        self.warnings: list[PageWarning] = []
        self._limits, self._step = limits, step
        self._left = _MOST_ATTACHMENTS

    def mail(self, message: Message, depth: int, name: str = "") -> None:
        parts = _Parts()
        _collect(message, parts, 0)
        blocks = [*_head(message), *(block for body in parts.bodies for block in _body(body))]
        self._take(read_flow(EML, None, {}, blocks), name)
        for part in parts.attached:
            self._attachment(part, depth)

    def _attachment(self, part: Message, depth: int) -> None:
        inner = _inner(part)
        name = _name(part, inner)
        self._left -= 1
        if self._left < 0:
            if self._left == -1:
                self._warn(f"only the first {_MOST_ATTACHMENTS} attachments were read")
            return
        if inner is None:
            held = Held(name, _payload(part))
            try:
                kind = sniff(held)
                if kind != EML:
                    items = list(read_as(held, kind, None, self._limits, step=self._step))
                    if kind in PICTURES and not any(isinstance(i, Page) and i.text.strip() for i in items):
                        self._warn(f"attachment not read: {name}: a picture without text", missing=False)
                        return
                    self._take(iter(items), name)
                    return
                inner = message_from_bytes(held.read_bytes(), policy=policy.default)
            except UnsupportedFormat as error:
                self._warn(f"attachment not read: {error}", missing=False)
                return
            except UnreadableDocument as error:
                self._warn(f"attachment not read: {error}")
                return
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - parsers raise anything; the mail around it can be read
                self._warn(f"attachment not read: {name}: its parser failed ({type(error).__name__})")
                return
        if depth + 1 >= _DEEPEST:
            self._warn(f"attachment not read: {name}: mails are nested more than {_DEEPEST} deep")
            return
        self.mail(inner, depth + 1, name)

    def _take(self, items: Read, name: str) -> None:
        """Pages of a part, renumbered; `name` heads the first. All or, if its reader fails, none."""
        first = len(self.pages)
        pages: list[Page] = []
        warnings: list[PageWarning] = []
        for item in items:
            if isinstance(item, Page):
                pages.append(_moved(item, first + len(pages) + 1, name, is_first=not pages))
            elif isinstance(item, PageWarning):
                page = item.page and first + item.page
                warnings.append(PageWarning(page, f"{name}: {item.message}" if name else item.message))
        self.pages += pages
        self.warnings += warnings

    def _warn(self, message: str, missing: bool = True) -> None:
        self.warnings.append(PageWarning(max(len(self.pages), 1) if missing else None, message))


def _moved(page: Page, number: int, name: str, is_first: bool) -> Page:
    """A page of an attachment as a section of the mail: no boxes, for there is no picture of it."""
    if not name:
        return replace(page, number=number, label=str(number))
    text, shift = page.text, 0
    headings = [Heading(0, 1, name)] if is_first else []
    if is_first:
        text, shift = f"{name}\n\n{page.text}", len(name) + 2
    headings += [Heading(h.start + shift, h.level + 1, h.text) for h in page.headings]
    return Page(number, str(number), text, headings=tuple(headings))


def _collect(part: Message, parts: _Parts, depth: int) -> None:
    kind = part.get_content_type()
    if depth > _DEEPEST_PART:
        return
    if kind == "message/rfc822":
        parts.attached.append(part)
    elif part.is_multipart():
        children = [child for child in _children(part) if isinstance(child, Message)]
        if kind == "multipart/alternative":
            _choose(children, parts, depth)
        else:
            for child in children:
                _collect(child, parts, depth + 1)
    elif part.get_content_disposition() == "attachment" or (kind not in _TEXTS and not _is_decoration(part)):
        parts.attached.append(part)
    elif kind in _TEXTS:
        (
            parts.attached if _header(part, "Content-Disposition") and _file_name(part) else parts.bodies
        ).append(part)


_TEXTS = ("text/plain", "text/html")


def _is_decoration(part: Message) -> bool:
    """A picture that the HTML text shows in its middle, such as a logo."""
    return part.get_content_maintype() == "image" and part.get("Content-ID") is not None


def _choose(children: list[Message], parts: _Parts, depth: int) -> None:
    """Of the same text in several forms the plain one, unless it is empty; attachments of all."""
    found: list[_Parts] = []
    for child in children:
        found.append(_Parts())
        _collect(child, found[-1], depth + 1)
        parts.attached += found[-1].attached
    forms = [one.bodies for one in found if any(list(_body(body)) for body in one.bodies)]
    plain = [bodies for bodies in forms if all(b.get_content_type() == "text/plain" for b in bodies)]
    parts.bodies += (plain or forms or [[]])[0]


def _children(part: Message) -> list[Any]:
    payload = part.get_payload()
    return payload if isinstance(payload, list) else []


def _inner(part: Message) -> Message | None:
    """The mail that is attached as a mail."""
    children = _children(part)
    return children[0] if part.get_content_type() == "message/rfc822" and children else None


def _head(message: Message) -> Iterator[Block]:
    lines = [f"{name}: {text}" for name in _HEADERS if (text := _header(message, name))]
    if lines:
        yield Block("\n".join(lines))


def _body(part: Message) -> Iterator[Block]:
    data = _payload(part)
    try:
        charset = part.get_content_charset()
    except (LookupError, ValueError):
        charset = None
    text = decode(data, charset)
    if part.get_content_type() == "text/html":
        yield from blocks_of(text)
    else:
        yield from paragraphs(clean(text))


def _payload(part: Message) -> bytes:
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def _name(part: Message, inner: Message | None) -> str:
    name = _file_name(part)
    if not name and inner is not None:
        name = f"{_header(inner, 'Subject') or 'mail'}.eml"
    return name or f"attachment ({one_line(part.get_content_type(), 60)})"


def _file_name(part: Message) -> str:
    try:
        return one_line(part.get_filename() or "", 200)
    except (LookupError, ValueError, IndexError, AttributeError, TypeError):
        return ""


def _header(message: Message, name: str) -> str:
    try:
        return one_line(str(message.get(name) or ""), 2000)
    except Exception:  # noqa: BLE001 - the header parsers of email raise anything over broken headers
        return ""
