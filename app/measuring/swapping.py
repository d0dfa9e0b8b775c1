"""Another value of the same kind, for a passage that is edited to see whether the answer follows.

A date becomes another date in the same spelling, a number another number of as many digits, a name of several
words the name that answers another such question (who, where, what) of the same data set. What is none of
these has no other value here. Pure text: knows no model and no store.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.measuring.questions import Question
from app.measuring.scoring import normalised

Kind = Literal["date", "number", "name"]

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
UNITS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_MONTH = "|".join(MONTHS)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_YEAR = r"(?:1\d|20)\d\d"
_DATE = re.compile(
    rf"(?:the )?(?:{_DAY}(?: day)?(?: of)? )?(?:{_MONTH})(?: {_DAY})?(?: ?,? ?{_YEAR})?|(?:in )?{_YEAR}",
    re.IGNORECASE,
)
_NUMERAL = re.compile(rf"(?<!\w)\d+(?:[.,]\d+)*(?!\w)|\b(?:{'|'.join(UNITS + TENS)})\b", re.IGNORECASE)
_SCALE = re.compile(r"(?: ?%| (?:percent|per cent|hundred|thousand|million|billion)\b)+", re.IGNORECASE)
_FEW_WORDS = 2  # beside a number; a longer answer is a sentence, of which the number is one part
# of one word are also defined terms such as "the Customer", which name nobody
_NAME = re.compile(r"(?:the )?[A-ZÀ-Þ][\w.'’-]+(?: (?:of |the |and |& )*[A-ZÀ-Þ][\w.'’-]*)+")
_NAME_WORDS = 6
_ASKING = {"who": "who", "whom": "who", "companies": "who", "where": "where", "what": "what", "when": "when"}
_EDGES = " \t\n.,;:()"


@dataclass(frozen=True)
class Value:
    """What is swapped of an answer. of: data set and question word, within which names are exchanged."""

    kind: Kind
    text: str
    of: tuple[str, str]


def value_of(question: Question, answer: str) -> Value | None:
    """The date, number or name that `answer` is; None if it is something else."""
    text = " ".join(answer.split()).strip(_EDGES)
    words = re.findall(r"\w+", question.text.lower())
    of = question.dataset, next((_ASKING[word] for word in words if word in _ASKING), "what")
    if _DATE.fullmatch(text):
        return Value("date", text, of)
    numerals = list(_NUMERAL.finditer(text))
    if len(numerals) == 1:
        scale = _SCALE.match(text, numerals[0].end())
        value = text[numerals[0].start() : scale.end() if scale else numerals[0].end()]
        beside = text.replace(value, " ")
        return Value("number", value, of) if len(beside.split()) <= _FEW_WORDS else None
    if _NAME.fullmatch(text) and len(text.split()) <= _NAME_WORDS and not any(c.isdigit() for c in text):
        return Value("name", text, of)
    return None


def another(value: Value, names: Sequence[Value], generator: random.Random) -> str | None:
    """A different value of the same kind; None if there is no other name. names: to draw from."""
    if value.kind == "name":
        others = sorted({each.text for each in names if each.of == value.of} - {value.text})
        others = [each for each in others if not _within(each, value.text) and not _within(value.text, each)]
        return _cased(generator.choice(others), value.text) if others else None
    change = _other_date if value.kind == "date" else _other_number
    while (found := change(value.text, generator)) == value.text:
        pass
    return found


def edited(text: str, value: str, new: str) -> str:
    """`text` with the value wherever it stands, however it is spaced."""
    words = r"\s+".join(re.escape(word) for word in value.split())
    return re.sub(rf"(?<!\w){words}(?!\w)", lambda _: new, text, flags=re.IGNORECASE)


def _other_date(text: str, generator: random.Random) -> str:
    month = generator.choice(MONTHS)
    text = re.sub(_MONTH, lambda found: _cased(month, found[0]), text, flags=re.IGNORECASE)
    text = re.sub(
        rf"(?<!\d){_YEAR}(?!\d)",
        lambda found: str(int(found[0]) + generator.choice((-1, 1)) * generator.randint(2, 9)),
        text,
    )
    return re.sub(r"(?<!\d)(\d{1,2})(st|nd|rd|th)?(?!\d)", lambda found: _other_day(found, generator), text)


def _other_day(found: re.Match[str], generator: random.Random) -> str:
    day = generator.randint(4, 20)  # all of which end in "th"
    return f"{day}{'th' if found[2] else ''}"


def _other_number(text: str, generator: random.Random) -> str:
    """The same punctuation and as many digits, the first not 0; a word for a word."""

    def change(found: re.Match[str]) -> str:
        if not found[0][0].isdigit():
            alike = UNITS if found[0].lower() in UNITS else TENS
            return _cased(generator.choice(alike), found[0])
        first = str(generator.randint(2, 9))
        return first + re.sub(r"\d", lambda _: str(generator.randint(1, 9)), found[0][1:])

    return _NUMERAL.sub(change, text)


def _cased(text: str, like: str) -> str:
    return text.upper() if like.isupper() and len(like) > 1 else text


def _within(one: str, other: str) -> bool:
    return normalised(one) in normalised(other)
