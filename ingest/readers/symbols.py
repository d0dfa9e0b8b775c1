"""Characters of the Symbol and Wingdings fonts, which PDFs and Word files place in the private use area.

In Symbol, U+F0B3 is the sign of "18 years or older": losing it changes a protocol. Tables: Adobe's symbol.txt
mapping, the part that occurs in running text.
"""

_BASE = 0xF000
_SYMBOL = {
    **dict(zip(range(0x61, 0x7B), "αβχδεφγηιϕκλμνοπθρστυϖωξψζ", strict=True)),
    **dict(zip(range(0x41, 0x5B), "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ", strict=True)),
    **{0xA2: "′", 0xA3: "≤", 0xA5: "∞", 0xAB: "↔", 0xAC: "←", 0xAD: "↑", 0xAE: "→", 0xAF: "↓"},
    **{0xB0: "°", 0xB1: "±", 0xB2: "″", 0xB3: "≥", 0xB4: "×", 0xB5: "∝", 0xB7: "•", 0xB8: "÷"},
    **{0xB9: "≠", 0xBA: "≡", 0xBB: "≈", 0xBC: "…", 0xD0: "∠", 0xD2: "®", 0xD3: "©", 0xD4: "™"},
    **{0xD6: "√", 0xDB: "⇔", 0xDE: "⇒", 0xE5: "∑", 0x2D: "−", 0x22: "∀", 0xC6: "∅", 0xCE: "∈"},
}
_WINGDINGS = {
    **dict.fromkeys((0x6C, 0x6E, 0x71, 0x72, 0x76, 0x77, 0x9E, 0x9F, 0xA0, 0xA7, 0xA8, 0xB7), "•"),
    **{0xA1: "○", 0xA2: "○", 0xD8: "➢", 0xE0: "→", 0xDF: "←", 0xE8: "→", 0xFB: "✗", 0xFC: "✓", 0xFE: "☑"},
    **{0xFD: "☒", 0x6F: "☐", 0x2D: "–"},
}
_ANY_FONT = {0xB7: "•", 0xA7: "•", 0x2D: "–"}


def is_private(code: int) -> bool:
    """Whether the code point is where these fonts put their characters."""
    return _BASE + 0x20 <= code <= _BASE + 0xFF


def symbol(code: int, font: str) -> str | None:
    """The Unicode character that `font` draws for a private code point, None if unknown."""
    name = font.lower()
    table = _ANY_FONT
    if "wingding" in name:
        table = _WINGDINGS
    elif "symbol" in name:
        table = _SYMBOL
    # 0x20-0x7E of any other font with private codes is that font's own ASCII.
    found = table.get(code - _BASE)
    return found if found is not None else _ANY_FONT.get(code - _BASE)
