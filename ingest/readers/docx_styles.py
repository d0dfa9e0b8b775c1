"""What Word adds to a paragraph without writing it: its heading level and the number in front of it.

"2.1(a)" of a contract is not in the text: it is counted from numbering definitions (ECMA-376 part 1, 17.9).
Knows elements of the styles and numbering parts only.
"""

import re
from dataclasses import dataclass
from typing import Any

from docx.oxml.ns import qn

_VAL, _ILVL, _NUM_ID = qn("w:val"), qn("w:ilvl"), qn("w:numId")
_HEADING = re.compile(r"heading (\d)")
_PLACE = re.compile(r"%([1-9])")
_ROMAN_HIGH = (
    (1000, "m"),
    (900, "cm"),
    (500, "d"),
    (400, "cd"),
    (100, "c"),
    (90, "xc"),
    (50, "l"),
    (40, "xl"),
)
_ROMAN = (*_ROMAN_HIGH, (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))
_MAX_BASES = 20
_BODY_LEVEL = 9


@dataclass(frozen=True)
class Form:
    """level: 1..9 of a heading, else None. numbering: (list id, list level) of a numbered paragraph."""

    level: int | None = None
    numbering: tuple[str, int] | None = None


class Styles:
    """Heading level and numbering by paragraph style, inherited from the styles it is based on."""

    def __init__(self, root: Any) -> None:
        self._elements = {style.get(qn("w:styleId")): style for style in root.iter(qn("w:style"))}
        self._forms: dict[str | None, Form] = {}

    def form(self, paragraph: Any) -> Form:
        """Form of a paragraph: its own properties before its style's."""
        properties = paragraph.find(qn("w:pPr"))
        if properties is None:
            return Form()
        style = properties.find(qn("w:pStyle"))
        base = self._of_style(style.get(_VAL) if style is not None else None)
        level = _outline_level(properties)
        return Form(base.level if level is None else level or None, _numbering(properties, base.numbering))

    def _of_style(self, style_id: str | None) -> Form:
        if style_id not in self._forms:
            self._forms[style_id] = self._resolve(style_id)
        return self._forms[style_id]

    def _resolve(self, style_id: str | None) -> Form:
        chain: list[Any] = []
        while style_id in self._elements and len(chain) < _MAX_BASES:
            style = self._elements[style_id]
            chain.append(style)
            base = style.find(qn("w:basedOn"))
            style_id = base.get(_VAL) if base is not None else None
        level: int | None = None
        numbering: tuple[str, int] | None = None
        for style in reversed(chain):
            name = style.find(qn("w:name"))
            label = (name.get(_VAL) or "").lower() if name is not None else ""
            if match := _HEADING.fullmatch(label):
                level = int(match.group(1)) or None
            elif label == "title":
                level = 1
            properties = style.find(qn("w:pPr"))
            if properties is not None:
                outline = _outline_level(properties)
                level = level if outline is None else outline or None
                numbering = _numbering(properties, numbering)
        return Form(level, numbering)


def _outline_level(properties: Any) -> int | None:
    """1..9, 0 for body text, None if not said."""
    element = properties.find(qn("w:outlineLvl"))
    value = _number(element)
    if value is None:
        return None
    return value + 1 if 0 <= value < _BODY_LEVEL else 0


def _numbering(properties: Any, inherited: tuple[str, int] | None) -> tuple[str, int] | None:
    element = properties.find(qn("w:numPr"))
    if element is None:
        return inherited
    list_id, level = element.find(_NUM_ID), _number(element.find(_ILVL))
    if list_id is None:
        return (inherited[0], level or 0) if inherited else None
    if list_id.get(_VAL) in (None, "0"):  # 0 takes numbering away
        return None
    return list_id.get(_VAL), level if level is not None else (inherited[1] if inherited else 0)


@dataclass
class _Level:
    format: str
    pattern: str
    start: int


class Numbering:
    """Counts numbered paragraphs in the order of the document."""

    def __init__(self, root: Any) -> None:
        self._levels: dict[str, dict[int, _Level]] = {}
        self._abstract: dict[str, str] = {}
        self._counters: dict[str, dict[int, int]] = {}
        self._restarts: dict[str, dict[int, int]] = {}
        if root is None:
            return
        for definition in root.iter(qn("w:abstractNum")):
            levels = {_number_of(level, _ILVL): _level(level) for level in definition.iter(qn("w:lvl"))}
            self._levels[definition.get(qn("w:abstractNumId"))] = levels
        for instance in root.iter(qn("w:num")):
            target = instance.find(qn("w:abstractNumId"))
            if target is not None:
                self._abstract[instance.get(_NUM_ID)] = target.get(_VAL)
            for override in instance.iter(qn("w:lvlOverride")):
                start = _number(override.find(qn("w:startOverride")))
                if start is not None:
                    restarts = self._restarts.setdefault(instance.get(_NUM_ID), {})
                    restarts[_number_of(override, _ILVL)] = start

    def label(self, numbering: tuple[str, int]) -> str:
        """The text in front of the next paragraph of this list and level: "2.1", "(a)", "•" or ""."""
        list_id, at = numbering
        definition = self._abstract.get(list_id, "")
        levels = self._levels.get(definition, {})
        if at not in levels:
            return ""
        if levels[at].format == "bullet":
            return "•"
        counters = self._counters.setdefault(definition, {})
        if at in (restarts := self._restarts.get(list_id, {})):
            counters[at] = restarts.pop(at)
        else:
            counters[at] = counters[at] + 1 if at in counters else levels[at].start
        for deeper in [level for level in counters if level > at]:
            del counters[deeper]

        def counted(match: re.Match[str]) -> str:
            level = int(match.group(1)) - 1
            known = levels.get(level)
            value = counters.setdefault(level, known.start if known else 1)
            return _written(value, known.format if known else "decimal")

        return _PLACE.sub(counted, levels[at].pattern).strip()


def _level(element: Any) -> _Level:
    form, pattern = element.find(qn("w:numFmt")), element.find(qn("w:lvlText"))
    start = _number(element.find(qn("w:start")))
    return _Level(
        form.get(_VAL, "decimal") if form is not None else "decimal",
        (pattern.get(_VAL) or "") if pattern is not None else "",
        1 if start is None else start,
    )


def _written(value: int, form: str) -> str:
    match form:
        case "none":
            return ""
        case "lowerLetter" | "upperLetter" if value > 0:
            letters = chr(ord("a") + (value - 1) % 26) * min((value - 1) // 26 + 1, 10)
            return letters.upper() if form == "upperLetter" else letters
        case "lowerRoman" | "upperRoman" if 0 < value < 4000:
            roman = _roman(value)
            return roman.upper() if form == "upperRoman" else roman
        case "decimalZero":
            return f"{value:02d}"
    return str(value)


def _roman(value: int) -> str:
    digits = ""
    for worth, letters in _ROMAN:
        digits += letters * (value // worth)
        value %= worth
    return digits


def _number(element: Any) -> int | None:
    return None if element is None else _to_int(element.get(_VAL))


def _number_of(element: Any, name: str) -> int:
    return _to_int(element.get(name)) or 0


def _to_int(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None
