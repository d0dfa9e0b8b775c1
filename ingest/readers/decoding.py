"""Bytes of a text file to a string: by byte order mark, declared encoding, UTF-8 or Windows-1252, in turn."""

import codecs

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(data: bytes, declared: str | None = None) -> str:
    """The text of `data`; what cannot be decoded becomes U+FFFD."""
    for mark, marked in _BOMS:
        if data.startswith(mark):
            return data.decode(marked, "replace")
    for encoding in (declared, "utf-8"):
        try:
            if encoding is not None and codecs.lookup(encoding)._is_text_encoding:
                return data.decode(encoding)
        except (LookupError, UnicodeDecodeError, ValueError):
            continue
    return data.decode("cp1252", "replace")
