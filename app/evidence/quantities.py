"""Numbers in a text, with what they count, as values that can be compared however they are written.

EUR 1,000.00, €1000 and 1.000,00 euros are one amount, 500 mg and 0.5 g one mass, thirty days and 30 days one
time. Only what is always so is converted: 24 hours are not a day, nor are 30 business days 30 days. Knows the
currencies of the world (CLDR, by Babel), number words in English only.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from typing import Literal

from babel import Locale
from babel.numbers import get_currency_name

Kind = Literal["amount", "percentage", "measure", "number"]


@dataclass(frozen=True)
class Quantity:
    """[start, end) of the text. number: as written. value: with its scale ("5 million") and, for units that
    are multiples of each other, in the base unit. units: what it is counted in, several if the sign is
    shared ("$"); empty if nothing is said. words: number written as words.
    """

    start: int
    end: int
    kind: Kind
    number: Decimal
    value: Decimal
    units: frozenset[str]
    words: bool = False

    def within(self, others: Iterable["Quantity"], text: str) -> bool:
        """Whether one of the others, which `text` holds, is the same: in the same unit, or bare in a text
        that has the unit at the head of a table.
        """
        for other in others:
            if not self.units:
                if self.number in (other.number, other.value) or self.value == other.value:
                    return True
            elif self.units & other.units:
                if self.value == other.value:
                    return True
            elif not other.units and self.number == other.number and _heads(self.units, text):
                return True
        return False


_MASS = {"kg": "1000", "g": "1", "mg": "0.001", "mcg": "0.000001", "µg": "0.000001", "μg": "0.000001"}
_MASS |= {"ug": "0.000001", "ng": "0.000000001", "kilograms": "1000", "kilogram": "1000", "grams": "1"}
_MASS |= {"gram": "1", "milligrams": "0.001", "milligram": "0.001", "micrograms": "0.000001"}
_MASS |= {"microgram": "0.000001"}
_VOLUME = {"l": "1", "L": "1", "dL": "0.1", "dl": "0.1", "mL": "0.001", "ml": "0.001", "µL": "0.000001"}
_VOLUME |= {"litres": "1", "litre": "1", "liters": "1", "liter": "1", "millilitres": "0.001"}
_VOLUME |= {"milliliters": "0.001", "millilitre": "0.001", "milliliter": "0.001"}
_LENGTH = {"km": "1000", "m": "1", "cm": "0.01", "mm": "0.001", "kilometres": "1000", "kilometers": "1000"}
_LENGTH |= {"metres": "1", "meters": "1", "metre": "1", "meter": "1", "centimetres": "0.01"}
_LENGTH |= {"centimeters": "0.01", "millimetres": "0.001", "millimeters": "0.001"}
# counted, never converted: 24 hours are not always a day, and a business day is another thing than a day
_COUNTED = """
    second minute hour day week month year mile acre hectare foot inch ounce unit mmol mmHg kPa IU °C °F bpm
"""
_UNIT: dict[str, tuple[str, Decimal]] = {
    **{name: ("mass", Decimal(factor)) for name, factor in _MASS.items()},
    **{name: ("volume", Decimal(factor)) for name, factor in _VOLUME.items()},
    **{name: ("length", Decimal(factor)) for name, factor in _LENGTH.items()},
    **{form: (name, Decimal(1)) for name in _COUNTED.split() for form in (name, name + "s")},
    **{form: ("business day", Decimal(1)) for form in ("business day", "business days")},
    **{form: ("business day", Decimal(1)) for form in ("working day", "working days")},
    **{form: ("day", Decimal(1)) for form in ("calendar day", "calendar days")},
    **{form: ("hour", Decimal(1)) for form in ("h", "hr", "hrs")},
    **{form: ("foot", Decimal(1)) for form in ("feet", "ft")},
    **{form: ("%", Decimal(1)) for form in ("%", "percent", "per cent", "per centum", "Prozent")},
    **{form: ("percentage point", Decimal(1)) for form in ("percentage point", "percentage points")},
}
_PER = r"(?:\s?/\s?|\s+per\s+)(?:kg|m2|m²|dL|dl|mL|ml|L|l)\b"  # what a dose or a concentration is counted by

_DOLLARS = frozenset({"USD", "CAD", "AUD", "NZD", "SGD", "HKD"})
_SIGNS = {"US$": {"USD"}, "U.S.$": {"USD"}, "C$": {"CAD"}, "CA$": {"CAD"}, "A$": {"AUD"}, "$": _DOLLARS}
_SIGNS |= {"€": {"EUR"}, "£": {"GBP"}, "¥": {"JPY", "CNY"}, "₹": {"INR"}, "Rs.": {"INR"}, "Fr.": {"CHF"}}
_COMMON = {"dollar": _DOLLARS, "dollars": _DOLLARS, "U.S. dollars": {"USD"}, "pounds sterling": {"GBP"}}
_COMMON |= {"yen": {"JPY"}, "Euro": {"EUR"}, "Euros": {"EUR"}, "rupees": {"INR"}, "Dollars": _DOLLARS}
_COMMON |= {"U.S. Dollars": {"USD"}, "US Dollars": {"USD"}}

_SCALE = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_SHORT_SCALE = {"k": 3, "K": 3, "m": 6, "M": 6, "mn": 6, "MM": 6, "bn": 9, "B": 9}  # behind a currency only

_ONES = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen
"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: value for value, word in enumerate(_ONES.split())}
_WORDS |= {word: 10 * value for value, word in enumerate(_TENS.split(), 2)}
_NUMBER_WORD = "|".join([*_WORDS, "hundred", "thousand", "million", "billion"])
_NEAR = 40  # characters before a number that may name its currency
_DIGITS = r"\d{1,3}(?:[,.'’\u00a0\u202f]\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)?|\.\d+"
# not within a word or a longer number; a minus counts where nothing stands before it
_NUMBER = re.compile(rf"(?:(?<![\w)\]])[-−](?=\d))?(?<![\w])(?<!\d[.,/])(?:{_DIGITS})")
_REPEATED = re.compile(r"\s*\(\d[\d.,]*(?=\))")
_RANGE = re.compile(r"\s*(?:[-–—/,]|to|or|and|bis|à)\s*(?:or\s+|and\s+)?")
_SPELT = re.compile(rf"\b(?:{'|'.join(_WORDS)})(?:(?:[\s-]+(?:and\s+)?)(?:{_NUMBER_WORD}))*\b", re.IGNORECASE)


@cache
def _currencies() -> dict[str, frozenset[str]]:
    """By sign, code and name."""
    found: dict[str, frozenset[str]] = {}
    for code in map(str, Locale("en").currencies):
        found[code] = frozenset({code})
        for count in (1, 2):
            found[get_currency_name(code, count=count, locale="en")] = frozenset({code})
    named = {**_SIGNS, **_COMMON}
    return found | {sign: frozenset(codes) for sign, codes in named.items()}


def _alternatives(names: Iterable[str]) -> str:
    """A pattern of any of them, the longest first, each whole."""
    ranked = sorted(names, key=len, reverse=True)
    return "|".join(re.escape(name) + (r"(?!\w)" if name[-1].isalnum() else "") for name in ranked)


@cache
def _around() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Before a number a currency; behind it a scale, a currency, a unit."""
    currency = _alternatives(_currencies())
    return (
        re.compile(rf"(?<!\w)(?P<name>{currency})\s?$"),
        re.compile(rf"[\s-]?(?P<name>{_alternatives([*_SCALE, *_SHORT_SCALE])})"),
        re.compile(rf"\)?[\s-]?(?P<name>{currency})"),
        re.compile(rf"\)?[\s\u00a0-]*(?P<name>{_alternatives(_UNIT)})(?P<per>{_PER})?"),
    )


def quantities(text: str, taken: Iterable[tuple[int, int]] = ()) -> list[Quantity]:
    """In their order. taken: stretches to leave out, such as dates."""
    spans = list(taken)
    comma = _decimal_comma(text)
    found = []
    for start, end, number, words in _numbers(text, comma):
        if not any(start < b and a < end for a, b in spans):
            found.append(_quantity(text, start, end, number, words))
    return found


def in_ranges(found: list[Quantity], text: str) -> list[Quantity]:
    """The same, with the units of "5, 10 or 20 mg" given to each of its numbers."""
    spread: list[Quantity] = []
    for each in reversed(found):
        behind = spread[-1] if spread else None
        bare = behind is not None and behind.number and behind.units and not each.units
        if behind and bare and _RANGE.fullmatch(text[each.end : behind.start]):
            value = each.number * behind.value / behind.number
            each = replace(each, kind=behind.kind, value=value, units=behind.units)
        spread.append(each)
    return spread[::-1]


def _numbers(text: str, comma: bool) -> Iterator[tuple[int, int, Decimal, bool]]:
    found = [(*m.span(), _decimal(m[0], comma), False) for m in _NUMBER.finditer(text)]
    for match in _SPELT.finditer(text):
        value = _spelt(match[0])
        if value is not None:
            found.append((*match.span(), Decimal(value), True))
    return iter(sorted(found, key=lambda each: each[:2]))


def _decimal_comma(text: str) -> bool:
    """Whether the text writes 1.000,00 for a thousand, as its own numbers show."""
    return re.search(r"\d\.\d{3},\d|\d\.\d{3}\.\d{3}(?!\d)", text) is not None


def _decimal(written: str, comma: bool) -> Decimal:
    sign = -1 if written[0] in "-−" else 1
    digits = re.sub(r"['’\u00a0\u202f−-]", "", written)
    last = max(digits.rfind(","), digits.rfind("."))
    if last < 0:
        return sign * Decimal(digits)
    mark, whole, part = digits[last], re.sub("[,.]", "", digits[:last]), digits[last + 1 :]
    one_kind = digits.count(mark) == len(re.findall("[,.]", digits))
    groups = len(part) == 3 and whole and one_kind and not digits.startswith("0")
    if groups and (digits.count(mark) > 1 or (mark == ",") != comma):
        return sign * Decimal(whole + part)
    return sign * Decimal(f"{whole}.{part}")


def _spelt(words: str) -> int | None:
    """The value of English number words; None if they are not one number ("five ten")."""
    total = current = 0
    last = 0  # what may still be added must be smaller
    for word in re.split(r"[\s-]+", words.lower()):
        if word == "and":
            continue
        if word in ("hundred", "thousand", "million", "billion"):
            scale = {"hundred": 100, **{name: 10**power for name, power in _SCALE.items()}}[word]
            if scale == 100:
                current = (current or 1) * 100
                last = 100
            else:
                total += (current or 1) * scale
                current, last = 0, 0
            continue
        value = _WORDS[word]
        if last and (value >= last or (last < 100 and not (last >= 20 and value < 10))):
            return None
        current += value
        last = value or 1
    return total + current


def _quantity(text: str, start: int, end: int, number: Decimal, words: bool) -> Quantity:
    before, scale_after, currency_after, unit_after = _around()
    sign = before.search(text[max(0, start - _NEAR) : start])
    codes = _currencies()[sign["name"]] if sign else frozenset()
    value, stop = number, end
    scale = scale_after.match(text, end)
    behind = currency_after.match(text, scale.end() if scale else end)
    if scale and (scale["name"] in _SCALE or codes or behind):
        power = _SCALE.get(scale["name"]) or _SHORT_SCALE[scale["name"]]
        value, stop = number * 10**power, scale.end()
    else:
        behind = currency_after.match(text, end)
    if sign is None and behind is not None:
        codes, stop = _currencies()[behind["name"]], behind.end()
    if codes:
        first = start - min(start, _NEAR) + sign.start() if sign else start
        return Quantity(first, stop, "amount", number, value, codes, words)
    repeated = _REPEATED.match(text, stop) if words else None  # thirty (30) days
    unit = unit_after.match(text, repeated.end() if repeated else stop)
    if unit is None:
        return Quantity(start, stop, "number", number, value, frozenset(), words)
    name, factor = _UNIT[unit["name"]]
    if unit["per"]:
        name += "/" + re.sub(r"\s|/|per\b", "", unit["per"]).lower()
    kind: Kind = "percentage" if name == "%" else "measure"
    last = stop if repeated or text[stop] == ")" else unit.end()  # of "(30) days" the number is marked
    return Quantity(start, last, kind, number, value * factor, frozenset({name}), words)


def _heads(units: frozenset[str], text: str) -> bool:
    """Whether the text names the unit as a table's head does: (mg), in days, USD | 45."""
    names = [name for name, (unit, _) in _UNIT.items() if unit in units]
    names += [name for name, codes in _currencies().items() if codes & units]
    each = _alternatives(names)
    return (
        re.search(rf"\((?:[^()\n]{{0,20}}\W)?(?:{each})\)|\bin (?:{each})|(?<!\w)(?:{each})\s*[|:\t]", text)
        is not None
    )
