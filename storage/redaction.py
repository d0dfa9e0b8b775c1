"""Blacks out, in kept conversations, what quotes a document that is being deleted.

What people asked and what the model wrote may repeat a document word for word, in any conversation. Every
run of `RUN` bytes that a kept text shares with a page, a name or a title of the document is covered: in
questions, titles and notes the run itself, in an answer the whole sentence. So are its names. White
space counts as equal, whatever it is made of: a line's end in a page is a blank in an answer. A character
gives way to one bar, so offsets into a text stay what they were.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from storage.schema import AnswerDocument, Conversation, Document, KeptAnswer, Page

RUN = 40
BAR = "\u2588"
_BLOCK = RUN // 2
_SPACE = re.compile(rb"\s+")
_SHORTEST_NAME = 4  # "a.md"
_BASE = np.uint64(0x100000001B3)  # of the rolling hash, modulo 2^64; what it finds is compared byte by byte

Span = tuple[int, int]


def black_out(connection: sa.Connection, document_id: str, now: float) -> None:
    """Cover every quote of the document and note in its answers that it is gone; its rows are still there."""
    connection.execute(
        sa.update(AnswerDocument).where(AnswerDocument.document_id == document_id).values(deleted_at=now)
    )
    conversations = connection.execute(sa.select(Conversation.id, Conversation.title)).all()
    if not conversations:
        return
    answers = connection.execute(
        sa.select(KeptAnswer.id, KeptAnswer.question, KeptAnswer.text, KeptAnswer.note, KeptAnswer.body)
    ).all()
    kept = [row.title for row in conversations]
    for row in answers:
        kept += [row.question, row.text, row.note, *_strings(row.body)]
    quotes = Quotes(kept, *_words_of(connection, document_id))
    for row in conversations:
        if (title := quotes.covered(row.title)) != row.title:
            change = sa.update(Conversation).where(Conversation.id == row.id)
            connection.execute(change.values(title=title))
    for row in answers:
        sentences = [(mark["start"], mark["end"]) for mark in row.body.get("sentences", ())]
        values = {
            "question": quotes.covered(row.question),
            "text": quotes.covered(row.text, sentences or [(0, len(row.text))]),
            "note": quotes.covered(row.note),
            "body": _covered(row.body, quotes),
        }
        if any(values[name] != getattr(row, name) for name in values):
            connection.execute(sa.update(KeptAnswer).where(KeptAnswer.id == row.id).values(**values))


class Quotes:
    """What any of the texts `kept` shares with `sources`.

    A shared run covers one block of half its length, on a multiple of that, of the kept text; so only these
    blocks are looked up among all windows of the sources, and a find is grown to both sides.
    """

    def __init__(self, kept: Iterable[str], sources: Iterable[str], names: Iterable[str]) -> None:
        self._names = [name for name in names if len(name) >= _SHORTEST_NAME]
        blocks = {
            data[at : at + _BLOCK] for text in kept for data, _ in _forms(text) for at in _block_starts(data)
        }
        wanted = np.unique(_hashes(b"".join(blocks))[::_BLOCK]) if blocks else np.empty(0, np.uint64)
        self._places: dict[bytes, list[tuple[bytes, int]]] = {}
        for source in sources if blocks else ():
            for data in {source.encode(), _SPACE.sub(b" ", source.encode())}:
                for at in np.flatnonzero(np.isin(_hashes(data), wanted)).tolist():
                    block = data[at : at + _BLOCK]
                    if block in blocks:
                        self._places.setdefault(block, []).append((data, at))

    def covered(self, text: str, wholes: Sequence[Span] = ()) -> str:
        """`text` with what it quotes covered, together with those of the spans `wholes` that it lies in."""
        spans = [*self._runs(text), *self._named(text)]
        for start, end in list(spans):
            spans += [whole for whole in wholes if whole[0] < end and start < whole[1]]
        if not spans:
            return text
        letters = list(text)
        for start, end in spans:
            letters[start:end] = BAR * (min(end, len(text)) - start)
        return "".join(letters)

    def _named(self, text: str) -> Iterator[Span]:
        for name in self._names:
            for found in re.finditer(re.escape(name), text):
                yield found.span()

    def _runs(self, text: str) -> Iterator[Span]:
        raw = text.encode()
        for data, positions in _forms(text):
            for at in _block_starts(data):
                for source, place in self._places.get(data[at : at + _BLOCK], ()):
                    start, end = _grown(data, at, source, place)
                    if end - start >= RUN:
                        first, last = positions[start], positions[end - 1] + 1
                        yield (
                            len(raw[:first].decode(errors="ignore")),
                            len(raw[:last].decode(errors="replace")),
                        )


def _covered(value: Any, quotes: Quotes) -> Any:
    if isinstance(value, str):
        return quotes.covered(value)
    if isinstance(value, dict):
        return {name: _covered(each, quotes) for name, each in value.items()}
    return [_covered(each, quotes) for each in value] if isinstance(value, list) else value


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)


def _words_of(connection: sa.Connection, document_id: str) -> tuple[list[str], list[str]]:
    """All texts of the document, and its names."""
    document = connection.execute(
        sa.select(Document.name, Document.title, Document.former_names).where(Document.id == document_id)
    ).one()
    names = [document.name, *document.former_names]
    pages = connection.execute(sa.select(Page.text).where(Page.document_id == document_id)).scalars()
    return [*pages, *names, document.title or ""], names


def _forms(text: str) -> list[tuple[bytes, Sequence[int]]]:
    """The text as it is, and with every run of white space as one blank; and where its bytes lie in it."""
    raw = text.encode()
    spaces = [found.span() for found in _SPACE.finditer(raw)]
    left_out = {position for start, end in spaces for position in range(start + 1, end)}
    positions = [position for position in range(len(raw)) if position not in left_out]
    return [(raw, range(len(raw))), (_SPACE.sub(b" ", raw), positions)]


def _block_starts(data: bytes) -> range:
    return range(0, len(data) - _BLOCK + 1, _BLOCK)


def _hashes(data: bytes) -> npt.NDArray[np.uint64]:
    """(bytes - _BLOCK + 1,) a hash of every window of `_BLOCK` bytes."""
    letters = np.frombuffer(data, np.uint8).astype(np.uint64)
    count = max(len(letters) - _BLOCK + 1, 0)
    found = np.zeros(count, np.uint64)
    for offset in range(_BLOCK):
        found = found * _BASE + letters[offset : offset + count]
    return found


def _grown(data: bytes, at: int, source: bytes, place: int) -> Span:
    """The run that both share around data[at : at + _BLOCK]."""
    start, end = at, at + _BLOCK
    while start > 0 and place > 0 and data[start - 1] == source[place - 1]:
        start, place = start - 1, place - 1
    beyond = place + end - start
    while end < len(data) and beyond < len(source) and data[end] == source[beyond]:
        end, beyond = end + 1, beyond + 1
    return start, end
