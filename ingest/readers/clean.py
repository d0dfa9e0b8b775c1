"""Makes text from any source valid: no control characters, no lone surrogates, one kind of line break.

Works on arrays of code points so that boxes can follow their characters (`clean_codes`), or on strings.
"""

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint32]

_REPLACEMENT = 0xFFFD
# Codes 0x80-0x9F are control characters in Unicode; where a document has them, it means Windows-1252.
_WINDOWS = np.array(
    [ord(bytes([c]).decode("cp1252", "replace")) for c in range(0x80, 0xA0)],
    dtype=np.uint32,
)
# Canonical equivalents, which fonts that list both names give for the plain character, and plain hyphens.
_EQUIVALENTS = {
    0x37E: 0x3B,
    0x387: 0xB7,
    0x2126: 0x3A9,
    0x212A: 0x4B,
    0x212B: 0xC5,
    0x2010: 0x2D,
    0x2011: 0x2D,
}


def clean_codes(codes: Codes) -> tuple[Codes, npt.NDArray[np.bool_]]:
    """Replaced code points and which of them to keep, both (n,).

    Carriage returns before line feeds, control characters, zero-width spaces and byte order marks go; form
    feeds, vertical tabs and Unicode line separators become line feeds; no-break spaces become spaces; a Greek
    question mark becomes the semicolon that it is.
    """
    codes = codes.copy()
    following = np.append(codes[1:], 0)
    keep = ~((codes == 0x0D) & (following == 0x0A))
    codes[np.isin(codes, (0x0B, 0x0C, 0x0D, 0x85, 0x2028, 0x2029))] = 0x0A
    codes[np.isin(codes, (0xA0, 0x2007, 0x202F))] = 0x20
    for code, plain in _EQUIVALENTS.items():
        codes[codes == code] = plain
    windows = (codes >= 0x80) & (codes < 0xA0)
    codes[windows] = _WINDOWS[codes[windows] - 0x80]
    codes[((codes >= 0xD800) & (codes < 0xE000)) | (codes > 0x10FFFF)] = _REPLACEMENT
    keep &= ~((codes < 0x20) & (codes != 0x0A) & (codes != 0x09))
    keep &= ~np.isin(codes, (0x7F, 0x200B, 0x2060, 0xFEFF))
    keep &= ~(((codes & 0xFFFE) == 0xFFFE) | ((codes >= 0xFDD0) & (codes <= 0xFDEF)))
    return codes, keep


def join_surrogates(codes: Codes) -> tuple[Codes, npt.NDArray[np.bool_]]:
    """Pairs of UTF-16 surrogates as one code point on the first of each pair, and which codes to keep."""
    keep = np.ones(len(codes), dtype=np.bool_)
    high = (codes[:-1] >= 0xD800) & (codes[:-1] < 0xDC00)
    low = (codes[1:] >= 0xDC00) & (codes[1:] < 0xE000)
    first = np.flatnonzero(high & low)
    if first.size:
        codes = codes.copy()
        codes[first] = 0x10000 + ((codes[first] - 0xD800) << 10) + (codes[first + 1] - 0xDC00)
        keep[first + 1] = False
    return codes, keep


def to_text(codes: Codes) -> str:
    """Code points as a string."""
    return codes.astype("<u4").tobytes().decode("utf-32-le", "replace")


def to_codes(text: str) -> Codes:
    """Inverse of `to_text`; lone surrogates survive."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint32)


def clean(text: str) -> str:
    """`clean_codes` for a string; soft hyphens, which a string never shows, go too."""
    codes, keep = clean_codes(to_codes(text))
    return to_text(codes[keep & (codes != 0xAD)])


def one_line(text: str, limit: int = 300) -> str:
    """Cleaned, white space collapsed, at most `limit` characters: for titles, labels and headings."""
    return " ".join(clean(text).split())[:limit].strip()
