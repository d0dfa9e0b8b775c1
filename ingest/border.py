"""The language spoken between a reading process and its parent: length-prefixed JSON headers and raw bytes.

Each message is two big-endian uint32 (header bytes, payload bytes), a UTF-8 JSON object with a "kind", and
the payload: character boxes as little-endian float32, a PNG, or a part of a file. "working" says only that a
long page goes on. Nothing executable crosses (no pickle): the process has parsed an untrusted file, so the
parent checks every size, type and shape.
"""

import json
import struct
from typing import Any, BinaryIO

import numpy as np

from ingest.document import MEDIA_TYPES, DocumentInfo, Heading, Page, PageWarning

Message = tuple[dict[str, Any], bytes]

_LENGTHS = struct.Struct(">II")
_MAX_BYTES = 256 * 2**20


class BorderViolation(ValueError):
    """The other side sent something that this language does not have."""


def send(stream: BinaryIO, header: dict[str, Any], payload: bytes = b"") -> None:
    """Write one message and flush it."""
    encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    stream.write(_LENGTHS.pack(len(encoded), len(payload)))
    stream.write(encoded)
    stream.write(payload)
    stream.flush()


def receive(stream: BinaryIO) -> Message | None:
    """Next message, or None at the end of the stream.

    Raises BorderViolation for a message that is cut off, too large or not JSON.
    """
    lengths = stream.read(_LENGTHS.size)
    if not lengths:
        return None
    if len(lengths) < _LENGTHS.size:
        raise BorderViolation("cut off inside a message's lengths")
    header_bytes, payload_bytes = _LENGTHS.unpack(lengths)
    if header_bytes + payload_bytes > _MAX_BYTES:
        raise BorderViolation("a message is too large")
    encoded, payload = stream.read(header_bytes), stream.read(payload_bytes)
    if len(encoded) < header_bytes or len(payload) < payload_bytes:
        raise BorderViolation("cut off inside a message")
    try:
        header = json.loads(encoded)
    except ValueError:
        raise BorderViolation("a header is not JSON") from None
    if not isinstance(header, dict):
        raise BorderViolation("a header is not an object")
    return header, payload


def pack(item: DocumentInfo | Page | PageWarning) -> Message:
    """An item as a message."""
    match item:
        case DocumentInfo():
            header: dict[str, Any] = {
                "kind": "info",
                "media_type": item.media_type,
                "title": item.title,
                "page_count": item.page_count,
                "encrypted": item.encrypted,
                "metadata": item.metadata,
            }
            return header, b""
        case PageWarning():
            return {"kind": "warning", "page": item.page, "message": item.message}, b""
        case Page():
            header = {
                "kind": "page",
                "number": item.number,
                "label": item.label,
                "text": item.text,
                "width": item.width,
                "height": item.height,
                "boxes": item.boxes is not None,
                "headings": [[h.start, h.level, h.text] for h in item.headings],
                "confidence": item.confidence,
                "margins": [list(span) for span in item.margins],
            }
            boxes = b"" if item.boxes is None else np.ascontiguousarray(item.boxes, dtype="<f4").tobytes()
            return header, boxes


def unpack(header: dict[str, Any], payload: bytes) -> DocumentInfo | Page | PageWarning:
    """Inverse of `pack`, believing nothing.

    Raises BorderViolation if a field is missing, has another type, or the boxes do not match the text.
    """
    try:
        match header["kind"]:
            case "info":
                return _info(header)
            case "warning":
                return PageWarning(_optional(header["page"], int), _typed(header["message"], str))
            case "page":
                return _page(header, payload)
            case kind:
                raise BorderViolation(f"unknown kind of message {str(kind)[:40]!r}")
    except BorderViolation:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise BorderViolation(f"a message has a wrong field ({type(error).__name__})") from None


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise BorderViolation(f"a field is not {kind.__name__}")
    return value


def _optional(value: Any, kind: type) -> Any:
    return None if value is None else _typed(value, kind)


def _info(header: dict[str, Any]) -> DocumentInfo:
    if header["media_type"] not in MEDIA_TYPES:
        raise BorderViolation("unknown media type")
    metadata = {_typed(k, str): _typed(v, str) for k, v in _typed(header["metadata"], dict).items()}
    return DocumentInfo(
        header["media_type"],
        _optional(header["title"], str),
        _typed(header["page_count"], int),
        _typed(header["encrypted"], bool),
        metadata,
    )


def _page(header: dict[str, Any], payload: bytes) -> Page:
    text = _typed(header["text"], str)
    text.encode()  # JSON can spell lone surrogates; nothing behind the border could store them
    boxes = None
    if _typed(header["boxes"], bool):
        if len(payload) != 16 * len(text):
            raise BorderViolation("boxes do not match the text")
        boxes = np.frombuffer(payload, dtype="<f4").reshape(-1, 4)  # (characters, 4)
    headings = []
    for start, level, title in _typed(header["headings"], list):
        if not 0 <= _typed(start, int) <= len(text) or _typed(level, int) < 1:
            raise BorderViolation("a heading lies outside its page")
        headings.append(Heading(start, level, _typed(title, str)))
    confidence = _optional(header["confidence"], float)
    if confidence is not None and not 0 <= confidence <= 1:
        raise BorderViolation("a confidence is no share")
    return Page(
        _typed(header["number"], int),
        _typed(header["label"], str),
        text,
        _optional(header["width"], float),
        _optional(header["height"], float),
        boxes,
        tuple(headings),
        confidence,
        _margins(header["margins"], len(text)),
    )


def _margins(spans: Any, length: int) -> tuple[tuple[int, int], ...]:
    found, after = [], 0
    for start, end in _typed(spans, list):
        if not after <= _typed(start, int) < _typed(end, int) <= length:
            raise BorderViolation("margins overlap or lie outside their page")
        found.append((start, end))
        after = end
    return tuple(found)
