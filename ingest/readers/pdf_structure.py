"""What pypdf knows of a PDF beside its text: title, metadata, printed page labels, outline.

None of it is needed to read the pages, so nothing here fails: what cannot be read in time or at all is left
out and said in `Structure.warnings`.
"""

import io
import logging
import re
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from pypdf import PdfReader

from ingest.readers.clean import one_line
from ingest.readers.source import Source

_SECONDS = 20  # pypdf takes minutes over some broken cross-reference tables that PDFium repairs at once
_MAX_ENTRIES = 20_000
_MAX_LEVEL = 9
_MAX_METADATA = 1000
_USELESS_TITLE = re.compile(r"(untitled|document|title|doc|slide|page)?[\s_-]*\d*", re.I)
_PROGRAM = re.compile(r"^microsoft\s+\w+\s+-\s+", re.I)


@dataclass(frozen=True)
class OutlineEntry:
    """page: 0-based. level: 1 is the outermost."""

    page: int
    level: int
    title: str


@dataclass(frozen=True)
class Structure:
    """labels: one a page. outline: ordered by page, and within a page as the outline lists them."""

    title: str | None
    metadata: dict[str, str]
    labels: list[str]
    outline: list[OutlineEntry]
    warnings: list[str] = field(default_factory=list)


class _OutOfTime(BaseException):
    """Not an Exception, so that no parser in between catches it."""


def read_structure(path: Source, password: str | None, count: int) -> Structure:
    """Structure of a PDF of `count` pages that PDFium has opened with `password`."""
    logging.disable(logging.CRITICAL)  # pypdf's complaints quote the document
    warnings.simplefilter("ignore")
    problems: list[str] = []
    metadata: dict[str, str] = {}
    labels: list[str] = []
    outline: list[OutlineEntry] = []
    try:
        with _at_most(_SECONDS):
            reader = PdfReader(io.BytesIO(path.read_bytes()), password=password)
            metadata = _metadata(reader)
            labels = _labels(reader, count)
            outline = _outline(reader, count)
    except _OutOfTime:
        problems.append(f"page labels and outline took more than {_SECONDS} s to read and were left out")
    except MemoryError:
        problems.append("page labels and outline need too much memory to read and were left out")
    except Exception as error:  # noqa: BLE001 - pypdf raises anything on broken files; PDFium can go on
        problems.append(f"page labels and outline are damaged and were left out ({type(error).__name__})")
    if len(labels) != count:
        if labels:
            problems.append("page labels do not match the pages and were left out")
        labels = [str(number) for number in range(1, count + 1)]
    title = _title(metadata.get("title", ""))
    return Structure(title, metadata, labels, sorted(outline, key=lambda e: e.page), problems)


def _metadata(reader: PdfReader) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in (reader.metadata or {}).items():
        value = value.get_object() if hasattr(value, "get_object") else value
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        if isinstance(name, str) and isinstance(value, str) and len(found) < 50:
            text = one_line(value, _MAX_METADATA)
            if text:
                found[one_line(name.lstrip("/").lower(), 100)] = text
    return found


def _title(raw: str) -> str | None:
    title = _PROGRAM.sub("", raw).strip()
    if _USELESS_TITLE.fullmatch(title) or not any(character.isalpha() for character in title):
        return None
    return one_line(title)


def _labels(reader: PdfReader, count: int) -> list[str]:
    labels = [one_line(str(label), 40) for label in reader.page_labels]
    return [label or str(number) for number, label in enumerate(labels, 1)][: count + 1]


def _outline(reader: PdfReader, count: int) -> list[OutlineEntry]:
    entries: list[OutlineEntry] = []

    def walk(items: list[Any], level: int) -> None:
        for item in items:
            if len(entries) >= _MAX_ENTRIES:
                return
            if isinstance(item, list):
                walk(item, level + 1)
                continue
            page = reader.get_destination_page_number(item)
            title = one_line(str(item.title or ""))
            if page is not None and 0 <= page < count and title:
                entries.append(OutlineEntry(page, min(level, _MAX_LEVEL), title))

    walk(reader.outline, 1)
    return entries


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise _OutOfTime in the block after `seconds`, where the system has timers."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
