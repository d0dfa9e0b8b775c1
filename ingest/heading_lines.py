"""What form of heading a line has by its looks: "ARTICLE IV", "2.1 Term", "(b) Notices. The ...", "METHODS".

Conservative: a heading that is missed costs a word of context, a sentence mistaken for one misleads every
reference below it. Knows one line and the one after it; how headings nest, `ingest.headings` decides.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_MAX_LINE = 110
_MAX_CAPITALS = 70
_MAX_TITLE = 80


class Kind(StrEnum):
    """How a heading is numbered, or why it is one without a number."""

    EXHIBIT = "exhibit"  # also schedule, annex, attachment, appendix
    ARTICLE = "article"  # also chapter, part, title
    SECTION = "section"  # also clause, §
    NUMBER = "number"  # 1. and 1.1
    ROMAN = "roman"
    LETTER = "letter"
    SMALL_LETTER = "(a)"
    SMALL_ROMAN = "(i)"
    SMALL_NUMBER = "(1)"
    CLINICAL = "clinical"
    CAPITALS = "capitals"
    RECITALS = "recitals"


@dataclass(frozen=True)
class Form:
    """number: (2, 1) of "2.1", (4,) of "IV"; empty without one. words: the heading's own, as printed.

    titled: whether there is more than the number. whole: whether the line holds nothing else.
    """

    kind: Kind
    number: tuple[int, ...]
    words: str
    titled: bool
    whole: bool


_CLINICAL = re.compile(
    r"""(?:
    (?:FULL\s+PRESCRIBING\s+INFORMATION|BOXED\s+WARNING|INDICATIONS?\s+(?:AND|&)\s+USAGE|
    DOSAGE\s+(?:AND|&)\s+ADMINISTRATION|DOSAGE\s+FORMS?\s+(?:AND|&)\s+STRENGTHS?|CONTRAINDICATIONS?|
    WARNINGS?(?:\s+(?:AND|&)\s+PRECAUTIONS?)?|PRECAUTIONS|ADVERSE\s+REACTIONS?|DRUG\s+INTERACTIONS?|
    USE\s+IN\s+SPECIFIC\s+POPULATIONS|OVERDOSAGE|DESCRIPTION|CLINICAL\s+PHARMACOLOGY|
    NONCLINICAL\s+TOXICOLOGY|CLINICAL\s+STUDIES|HOW\s+SUPPLIED(?:/STORAGE\s+AND\s+HANDLING)?|
    PATIENT\s+COUNSELING\s+INFORMATION|MECHANISM\s+OF\s+ACTION|PHARMACOKINETICS)|
    (?i:abstract|background|introduction|objectives?|(?:materials?\s+and\s+)?methods|study\s+design|
    statistical\s+(?:analysis|methods)|(?:eligibility|inclusion|exclusion)\s+criteria|results|discussion|
    indications?(?:\s+and\s+usage)?|dosage\s+and\s+administration|contraindications|adverse\s+(?:reactions|events)|
    warnings\s+and\s+precautions|drug\s+interactions|clinical\s+pharmacology|clinical\s+studies|
    (?:primary|secondary)\s+(?:endpoints?|outcomes?|objectives?)|study\s+population|sample\s+size|
    conclusions?|limitations|references|bibliography|acknowledge?ments?)
    )\s*:?""",
    re.X,
)
_RECITALS = re.compile(
    r"(?:RECITALS?|Recitals?|WHEREAS|W\s?I\s?T\s?N\s?E\s?S\s?S\s?E\s?T\s?H|PREAMBLE|Preamble)\s*:?"
)
_ARTICLE = re.compile(
    r"(?P<words>(?:ARTICLE|Article|CHAPTER|Chapter|PART|Part|TITLE)\s+(?P<n>[IVXLC]{1,7}|\d{1,3}|[A-Z]))\b"
    r"[.:—–-]?(?P<rest>.*)"
)
_SECTION = re.compile(
    r"(?P<words>(?:(?:SECTION|Section|SEC\.|Sec\.|CLAUSE|Clause)\s*|§\s*)"
    r"(?P<n>\d{1,4}(?:[.-]\d{1,4})*)[a-z]?(?:\([a-z0-9]{1,4}\))*)(?:[.:—–-]+(?=\s|$)|(?=\s|$))(?P<rest>.*)"
)
_EXHIBIT = re.compile(
    r"(?P<words>(?:EXHIBIT|Exhibit|SCHEDULE|Schedule|ANNEX|Annex|ATTACHMENT|Attachment|APPENDIX|Appendix)"
    r"\s+(?P<n>[A-Z0-9][A-Z0-9.-]{0,5}?))(?:[.:—–-]*(?=\s|$))(?P<rest>.*)"
)
_FILED = re.compile(
    r"(?i:exhibit)\s+\d{1,3}\.\d{1,3}\b.*|(?i:ex)-\d.*"
)  # the number of a filing, no part of the text
_NUMBERED = re.compile(r"(?P<words>(?P<n>\d{1,3}(?:\.\d{1,3}){0,4})(?P<dot>\.?))\s+(?P<rest>\S.*)")
_ROMAN = re.compile(r"(?P<words>(?P<n>[IVX]|[IVXLC]{2,6})\.)\s+(?P<rest>\S.*)")
_LETTER = re.compile(r"(?P<words>(?P<n>[A-Z])\.)\s+(?P<rest>\S.*)")
_PAREN = re.compile(r"(?P<words>\((?P<n>[a-z]{1,2}|[ivx]{2,5}|\d{1,2})\))\s+(?P<rest>\S.*)")
_CONTENTS = re.compile(
    r".*(?:\t|\.{3,}|…|\. \. )[\s.]*[\divxlc-]{1,7}|.*\d-\d{1,3}"
)  # a line of a table of contents
_PAGE_NUMBER = re.compile(r"(?=.*[^\W\d_]{3}).*[\s.…](\d{1,3})")
_CONTENTS_AFTER = 4  # lines with page numbers
_ENDS_IN_NUMBER = re.compile(r".*\s[\d-]{1,7}")
_SENTENCE_INSIDE = re.compile(r"[.;!?]\s+\S")
_RUN_IN = re.compile(r"(?P<title>[^.:]{3,80}?)(?:[.:](?=\s+[“\"'(\[]?[A-Z“\"(\[])|\s?[—–](?=\s?[A-Z]))")
_RUNS_ON = re.compile(r"[:—]\s+\S")
_DEFINED = re.compile(
    r"(?P<term>[“\"][^”\"]{2,60}[”\"])\s+(?:means|shall mean|is defined|(?:has|shall have) the meaning)"
)
_PERSON = re.compile(r"\b[A-Z][\w'’-]+ [A-Z]{1,3}\b(?:,|$)|\bet al\b")  # authors of a cited work
_CITES = re.compile(
    r"(?:See|Id|Cf|But|Accord|Compare|E\.g|Ibid|Supra|Infra|Note|Dr|Mr|Mrs|Ms|St|No|Nos|Inc|Co|v)\b"
)
_ABBREVIATED = re.compile(r"\b(?:v|vs|Inc|Corp|Co|Ltd|No|Nos|Mr|Mrs|Ms|Dr|St|U\.S|[A-Z])$")
_MINOR_WORDS = "a an and as at but by for from in into of on or per the to under upon with vs via"
_MINOR = frozenset(_MINOR_WORDS.split())
_COMPANY = re.compile(
    r"[\s,](?:INC|L\.?L\.?C|LTD|LIMITED|CORP|CORPORATION|L\.?P|LLP|N\.A|CO|COMPANY|PLC|GMBH|S\.A)\.?[\s,]*$"
)
_NAME = re.compile(r"[A-Z'’-]+ [A-Z]\. [A-Z'’-]+\W*")  # WILLIAM S. FREEMAN
_NO_TITLES = """
    AND|BETWEEN|BY AND BETWEEN|AMONG|BY AND AMONG|IN WITNESS WHEREOF|NOW, THEREFORE|SO ORDERED
    TO|FROM|DATE|RE|IT IS SO ORDERED|CONFIDENTIAL|CONFIDENTIAL TREATMENT REQUESTED|EXECUTION COPY|REDACTED
    SIGNATURE PAGE FOLLOWS
"""
_NO_HEADING = frozenset(words.strip() for words in _NO_TITLES.replace("\n", "|").split("|"))
_ROMAN_DIGITS = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}


def line_form(line: str, following: str = "") -> Form | None:
    """The form of a stripped line that is a heading, begins with one, or begins with a number; else None.

    following: the next line, on which a heading at the start of a paragraph may end.
    """
    if len(line) < 3 or not any(character.isalpha() for character in line) or _CONTENTS.fullmatch(line):
        return None
    if _FILED.fullmatch(line):
        return None
    short = len(line) <= _MAX_LINE and line[-1] not in ",;"
    if short and _RECITALS.fullmatch(line):
        return Form(Kind.RECITALS, (), line, True, True)
    if short and _CLINICAL.fullmatch(line):
        return Form(Kind.CLINICAL, (), line, True, True)
    for kind, pattern in _PATTERNS:
        if match := pattern.fullmatch(line):
            return _numbered(kind, match, line, following, short)
    if (
        short
        and is_capitals(line)
        and not (_COMPANY.search(line) or _NAME.fullmatch(line))
        and line.partition(":")[0].strip(" .*_") not in _NO_HEADING
    ):
        return Form(Kind.CAPITALS, (), line, True, True)
    return None


_PATTERNS = (
    (Kind.ARTICLE, _ARTICLE),
    (Kind.EXHIBIT, _EXHIBIT),
    (Kind.SECTION, _SECTION),
    (Kind.NUMBER, _NUMBERED),
    (Kind.ROMAN, _ROMAN),
    (Kind.LETTER, _LETTER),
    (Kind.SMALL_LETTER, _PAREN),
)


def _numbered(kind: Kind, match: re.Match[str], line: str, following: str, short: bool) -> Form | None:
    words, rest = match["words"], match["rest"].strip()
    number = _value(match["n"])
    if kind is Kind.SMALL_LETTER:
        kind = Kind.SMALL_NUMBER if match["n"].isdigit() else kind
        kind = Kind.SMALL_ROMAN if len(match["n"]) > 1 else kind
    if kind in (Kind.ARTICLE, Kind.EXHIBIT):
        # "Article 5 hereof", "Part D plans": nothing but a title may follow on the line
        return Form(kind, number, line, bool(rest), True) if short and is_title(rest) else None
    undotted = kind is Kind.NUMBER and not match["dot"] and len(number) == 1 and not rest.isupper()
    if undotted and not re.match(
        rf"{match['n']}\.1\.?\s", following
    ):  # "5 Governance." perhaps, but not "12 patients were", "2020 Annual Report"
        is_short_title = short and rest[-1] == "." and is_title(rest)
        return Form(kind, number, line, True, False) if is_short_title else None
    if kind is Kind.NUMBER and short and _ENDS_IN_NUMBER.fullmatch(rest):
        return None  # a table of contents, or a row of figures
    if not rest:
        return Form(kind, number, words, False, True) if kind is Kind.SECTION else None
    goes_on = following[:1].islower() and not rest.isupper()  # the line is the first of a sentence
    if (
        short
        and not goes_on
        and not _RUNS_ON.search(rest)
        and is_title(rest)
        and (rest[0].isalpha() or kind is Kind.SECTION)
    ):
        return Form(kind, number, line, True, True)
    if title := _run_in(f"{rest} {following}"):
        start = line.index(rest, len(words))
        return Form(kind, number, f"{line[:start]}{title}", True, False)
    if kind is Kind.SECTION and not re.match(r"[.:—–-]", line[len(words) :]):
        return None  # "Section 5 of this Agreement": a sentence that begins with a reference
    return Form(kind, number, words, False, False)


def _run_in(text: str) -> str:
    """The title that a paragraph begins with: "Status" of "Status. The undersigned ..."."""
    if defined := _DEFINED.match(text):
        return defined["term"]
    match = _RUN_IN.match(text)
    if match is None:
        return ""
    title = " ".join(match["title"].split())
    if _PERSON.search(title) or _CITES.match(title) or _ABBREVIATED.search(title) or not title[:1].isalpha():
        return ""
    return title if is_title(title.replace(";", ",")) else ""


def is_title(text: str) -> bool:
    """Nothing, capitals, or words that start with capitals like a title; never a whole sentence."""
    text = text.strip()
    if not text:
        return True
    if len(text) > _MAX_TITLE or _SENTENCE_INSIDE.search(text):
        return False
    words = [word.strip("()[]“”\"'’.,:;/&-–—") for word in text.split()]
    words = [word for word in words if word and word[0].isalpha()]
    if not words or not words[0][0].isupper() or not words[-1][0].isupper():
        return False
    major = [word for word in words if word.lower() not in _MINOR]
    capitalised = sum(word[0].isupper() for word in major)
    return len(words) <= 12 and capitalised >= 0.7 * len(major) and (capitalised > 1 or len(words) <= 3)


def contents_lines(lines: Sequence[str]) -> set[int]:
    """Lines that belong to a table of contents: four or more close together end in rising page numbers."""
    numbered = [(i, int(m[1])) for i, line in enumerate(lines) if (m := _PAGE_NUMBER.fullmatch(line))]
    found: set[int] = set()
    run: list[int] = []
    last = 0
    for index, number in [*numbered, (len(lines) + 9, 0)]:
        if run and (index - run[-1] > 3 or not last <= number <= last + 60):
            if len(run) >= _CONTENTS_AFTER:
                found.update(range(max(run[0] - 2, 0), run[-1] + 1))
            run = []
        run.append(index)
        last = number
    return found


def is_capitals(line: str) -> bool:
    """Whether a line is short and in capitals."""
    letters = [c for c in line if c.isalpha()]
    words = [word for word in line.split() if sum(c.isalpha() for c in word) >= 2]
    if len(letters) < 5 or len(line) > _MAX_CAPITALS or not words:
        return False
    if not all(c.isupper() for c in letters) or len(letters) < 0.6 * len(line.replace(" ", "")):
        return False
    return len(words) >= 2 or len(letters) >= 8


def _value(number: str) -> tuple[int, ...]:
    if number[0].isdigit():
        return tuple(int(part) for part in re.split(r"[.-]", number) if part.isdigit())
    if len(number) > 1 and set(number.lower()) <= _ROMAN_DIGITS.keys():
        digits = [_ROMAN_DIGITS[letter] for letter in number.lower()]
        signed = zip(digits, [*digits[1:], 0], strict=True)
        return (sum(-digit if digit < after else digit for digit, after in signed),)
    # One letter may be either: its place in the alphabet; `ingest.headings` knows what came before
    return (ord(number[0].lower()) - 96,)
