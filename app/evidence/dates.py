"""Dates in a text, as days that can be compared however they are written.

3 March 2021, March 3rd, 2021, 2021-03-03 and 3.3.2021 are one day. 03/04/2021 is two, until another date of
the same text shows whether its day or its month comes first: nothing is guessed. Knows the months of some
languages (CLDR, by Babel). Weekdays, "tomorrow" and "within a year" are no dates here.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from babel.dates import get_month_names

Reading = tuple[int | None, int | None, int | None]  # year, month, day; None where it is not said

LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pt")


@dataclass(frozen=True)
class Date:
    """[start, end) of the text. readings: what it may mean, more than one if that is open. written: its
    numbers in their order, where it has numbers only.
    """

    start: int
    end: int
    readings: frozenset[Reading]
    written: tuple[int, int, int] | None = None

    def within(self, others: Iterable["Date"]) -> bool:
        """Whether one of the others says as much: the same numbers, or a day that no reading contradicts."""
        for other in others:
            if self.written is not None and self.written == other.written:
                return True
            if len(other.readings) == 1:
                (known,) = other.readings
                if all(_says(known, reading) for reading in self.readings):
                    return True
        return False


def _says(known: Reading, wanted: Reading) -> bool:
    return all(want is None or have == want for have, want in zip(known, wanted, strict=True))


@cache
def _months() -> dict[str, int]:
    """By name as it is written: in capitals, capitalised, and in small letters where it is no other word."""
    found: dict[str, int] = {"Sept": 9, "SEPT": 9}
    for language in LANGUAGES:
        for width in ("wide", "abbreviated"):
            for number, name in get_month_names(width, locale=language).items():
                name = name.rstrip(".")
                forms = [name.capitalize(), name.upper()]
                if language != "en" and len(name) > 3:
                    forms.append(name)
                found |= {form: number for form in forms if form not in found}
    return found


@cache
def _date_patterns() -> tuple[re.Pattern[str], ...]:
    month = "(?P<month>" + "|".join(sorted(map(re.escape, _months()), key=len, reverse=True)) + r")\b\.?"
    day = r"(?P<day>[0-3]?\d)(?:\s?(?:st|nd|rd|th|er|ST|ND|RD|TH)\b|[.º])?"
    year = r"(?P<year>[12]\d{3})(?![\d.,]*\d)"
    return (
        re.compile(r"(?<![\w.-])(?P<year>[12]\d{3})-(?P<month>[01]\d)-(?P<day>[0-3]\d)(?![\d-])"),
        re.compile(rf"(?<!\w){month}\s+{day}\b(?:,?\s+{year})?"),
        re.compile(
            rf"(?<![\w.,]){day}\s*(?:day\s+of\s+|of\s+|de\s+|-)?{month}(?:,?\s*(?:de\s+|del\s+|-)?{year})?"
        ),
        re.compile(rf"(?<!\w){month},?\s+(?:of\s+|de\s+)?{year}"),
        re.compile(
            r"(?<![\w./-])(?P<a>\d{1,2})(?P<mark>[/.-])(?P<b>\d{1,2})(?P=mark)(?P<year>[12]\d{3})(?![\d/])"
        ),
        re.compile(r"(?<![\w./-])(?P<a>\d{1,2})/(?P<b>\d{1,2})/(?P<year>\d\d)(?![\d/])"),
    )


def dates(text: str) -> list[Date]:
    """In their order, none overlapping another."""
    found: list[Date] = []
    for pattern in _date_patterns():
        for match in pattern.finditer(text):
            if not any(match.start() < each.end and each.start < match.end() for each in found):
                date = _date(match)
                if date is not None:
                    found.append(date)
    return sorted(_settled(found), key=lambda date: date.start)


def _date(match: re.Match[str]) -> Date | None:
    parts = match.groupdict()
    year = None if parts.get("year") is None else int(parts["year"])
    if "a" in parts:
        if year is not None and year < 100:
            year += 2000 if year < 50 else 1900
        a, b = int(parts["a"]), int(parts["b"])
        readings = frozenset(
            (year, month, day) for day, month in ((a, b), (b, a)) if 1 <= month <= 12 and 1 <= day <= 31
        )
        return Date(*match.span(), readings, (a, b, year or 0)) if readings else None
    month = _months()[parts["month"]] if not parts["month"].isdigit() else int(parts["month"])
    day = None if parts.get("day") is None else int(parts["day"])
    if not 1 <= month <= 12 or (day is not None and not 1 <= day <= 31):
        return None
    end = match.end() - (match[0].endswith(".") and year is None)
    return Date(match.start(), end, frozenset({(year, month, day)}))


def _settled(found: list[Date]) -> list[Date]:
    """Numbers in the order that the text's own unmistakable dates have, if they agree."""
    sure = [date.written for date in found if date.written and len(date.readings) == 1]
    orders = {"day" if a > 12 else "month" for a, b, _ in sure if a != b}
    if len(orders) != 1:
        return found
    day_first = orders == {"day"}
    return [
        Date(date.start, date.end, frozenset({_in_order(*date.written, day_first)}), date.written)
        if date.written and len(date.readings) > 1
        else date
        for date in found
    ]


def _in_order(a: int, b: int, year: int, day_first: bool) -> Reading:
    return (year, b, a) if day_first else (year, a, b)
