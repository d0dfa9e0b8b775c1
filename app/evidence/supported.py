"""What an answer states that can be looked up, and in which of the cited passages it stands.

Looked up are quoted words, dates, amounts of money, percentages, numbers with and without a unit, and names:
the parts of a sentence that a professional must not get wrong. Each is compared with the cited passages,
their headings and the names of their documents, as a value (app/evidence/dates.py,
app/evidence/quantities.py) or word for word, never by meaning. Found means that it stands there, not that the
sentence around it is right. Not found means that the model took it from elsewhere or made it up, and that it
is to be checked.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from app.answering.answer import Citation, Claim, ClaimKind
from app.evidence.dates import Date, dates
from app.evidence.quantities import Quantity, in_ranges, quantities
from ingest.sentences import Cut, cuts
from storage.records import ReferenceRow

_QUOTED = re.compile(r"“([^“”\n]+)”|\"([^\"\n]+)\"|«([^«»\n]+)»|„([^„“”\n]+)[“”]")
_ELLIPSIS = re.compile(r"\s*(?:…|\.\.\.|\[\s*(?:…|\.\.\.)\s*\])\s*")
# COVID-19, 10-K, NCT01234567, 9.2.1, 12(b): what numbers and letters make together is a name
_CODE = re.compile(
    r"(?<![\w.])(?:[A-Z][A-Za-z]*[-–]?\d[\w]*(?:[-–]\w+)*|\d+(?:[.-]\d+){2,}|\d+-[A-Z]+\b|\d+(?:\.\d+)*(?:\([a-z0-9]{1,4}\))+)"
)
_CAPITALISED = r"(?:(?:[A-Z]\.)+|[A-ZÀ-ÖØ-Þ]\w*(?:[.&'’-]\w+)*)"
_LINK = r"(?: (?:(?:of|for|de|di|du|des|van|von|der) (?:the )?|& )?)"
_NAME = re.compile(rf"(?<!\w){_CAPITALISED}(?:{_LINK}{_CAPITALISED})*")
# numbers that the model set, not the document: "1." before an item, "[2]" as if it cited
_LISTING = re.compile(r"^[ \t]*(?:\(?\d{1,2}[.)])(?=\s)|\[\d{1,2}\]", re.MULTILINE)
_BEGINNING = re.compile(r"\W*(?:\w{1,2}[.)]\s+)?\W*")  # of a sentence or an item of a list
_WORD = re.compile(r"[^\W_]+")
_SMALL = 10  # below it, a number word that counts nothing ("one of the parties") states nothing
_TITLES = frozenset(("mr", "mrs", "ms", "dr", "prof", "hon"))
# capitalised because a sentence begins, not because something is called so
_OPENING = """
    a an the this that these those it its he she they we you i his her their our your my one yes no not maybe
    there here what which who whose whom how why where when while if unless until in on at by for from to of
    with without under over after before during since between among and or but so as because although though
    however therefore also both either neither each every all any some most many other such is are was were do
    does did has have can could may might must shall should will would
"""
_OPENERS = frozenset(_OPENING.split())


@dataclass(frozen=True)
class _Source:
    """A cited passage. spelt: its words between spaces, case and punctuation aside."""

    text: str
    spelt: str
    dates: list[Date]
    quantities: list[Quantity]


def claims(answer: str, passages: Mapping[int, str], *, broken_off: bool = False) -> list[Claim]:
    """What `answer` states, in its order, and the numbers of the passages that hold it.

    passages: by citation number, the text with its headings and its document's name. broken_off: the answer
    ended because it was long enough, so that its last word may be half of one, and states nothing.
    """
    kept = [at for at, character in enumerate(answer) if not _is_soft_hyphen(answer, at)]
    if len(kept) < len(answer):  # looked up without them, and found where they stand
        joined = "".join(answer[at] for at in kept)
        return [
            replace(each, start=kept[each.start], end=kept[each.end - 1] + 1)
            for each in claims(joined, passages, broken_off=broken_off)
        ]
    sources = {n: _source(text) for n, text in passages.items()}
    found: list[Claim] = []

    def claim(start: int, end: int, kind: ClaimKind, holds: list[int]) -> None:
        found.append(Claim(start, end, kind, holds))

    taken = [match.span() for match in _LISTING.finditer(answer)]
    for match in _QUOTED.finditer(answer):
        inside = next(group for group in range(1, 5) if match[group] is not None)
        parts = [spelt(part) for part in _ELLIPSIS.split(match[inside])]
        if any(part.strip() for part in parts):
            taken.append(match.span())
            start, end = match.span(inside)
            claim(start, end, "quotation", _where(sources, *parts))
    for date in dates(answer):
        if _free(date.start, date.end, taken):
            taken.append((date.start, date.end))
            held = [n for n, source in sources.items() if date.within(source.dates)]
            claim(date.start, date.end, "date", held)
    for match in _CODE.finditer(answer):
        if _free(*match.span(), taken):
            taken.append(match.span())
            claim(*match.span(), "name", _where(sources, spelt(match[0])))
    for quantity in quantities(answer, taken):
        taken.append((quantity.start, quantity.end))
        if not (quantity.words and quantity.kind == "number" and quantity.value < _SMALL):
            held = [n for n, source in sources.items() if quantity.within(source.quantities, source.text)]
            claim(quantity.start, quantity.end, quantity.kind, held)
    for start, end in _names(answer):
        if _free(start, end, taken):
            claim(start, end, "name", _where(sources, spelt(answer[start:end])))
    if broken_off:
        found = [each for each in found if each.end < len(answer.rstrip())]
    return sorted(found, key=lambda each: each.start)


def cited_texts(cited: Iterable[Citation], rows: Iterable[ReferenceRow]) -> dict[int, str]:
    """By citation number: its passage behind its document's name, title and headings.

    rows: references that were retrieved, those of the citations among them.
    """
    known = list(rows)
    texts = {}
    for each in cited:
        above = [each.document_name]
        for row in known:
            if (row.document_id, row.page) == (each.document_id, each.page) and _overlap(row, each):
                above += [row.title or "", *row.heading_path]
        texts[each.n] = "\n".join([*dict.fromkeys(filter(None, above)), each.text])
    return texts


def _overlap(row: ReferenceRow, cited: Citation) -> bool:
    return row.start < cited.end and cited.start < row.end


def _free(start: int, end: int, taken: list[tuple[int, int]]) -> bool:
    return not any(start < b and a < end for a, b in taken)


def _is_soft_hyphen(text: str, at: int) -> bool:
    """One that joins a word, and does not break it at the end of a line."""
    return text[at] == "\u00ad" and text[at + 1 : at + 2] != "\n"


def _source(text: str) -> _Source:
    text = "".join(character for at, character in enumerate(text) if not _is_soft_hyphen(text, at))
    days = dates(text)
    found = quantities(text, [(day.start, day.end) for day in days])
    # a hyphen at a line's end may join a word or belong to it: both spellings are there
    return _Source(text, spelt(text) + spelt(text.replace("\n", " ")), days, in_ranges(found, text))


def _where(sources: Mapping[int, _Source], *parts: str) -> list[int]:
    return [n for n, source in sources.items() if all(part in source.spelt for part in parts)]


def spelt(text: str) -> str:
    """Its words between spaces: no case, no punctuation, no possessive, no hyphen at a line's end."""
    if not text.isascii():
        text = "".join(map(_apart, text))
    text = unicodedata.normalize("NFKC", text).casefold()
    text = re.sub(r"(?<=\w)(?:-|\u00ad)\n\s*(?=[a-zß-ÿ])|\u00ad", "", text)
    words = _WORD.findall(re.sub(r"['’]s\b", "", text))
    return f" {' '.join(words)} " if words else " "


def _apart(character: str) -> str:
    """With spaces around it, if it is no letter but spelt in letters, as № and ℃ are."""
    lettered = not character.isalnum() and any(map(str.isalnum, unicodedata.normalize("NFKC", character)))
    return f" {character} " if lettered else character


def _names(answer: str) -> Iterator[tuple[int, int]]:
    """Runs of capitalised words. One that begins a sentence counts if it is all that the sentence says, if
    another capitalised word follows it, or if it has a second capital.
    """
    ends = [*sorted(at for at, cut in cuts(answer).items() if cut >= Cut.SENTENCE), len(answer)]
    for start, end in zip([0, *ends], ends, strict=False):
        sentence = answer[start:end]
        words = _WORD.findall(sentence)
        if len(words) > 2 and sentence.upper() == sentence:
            continue  # capitals tell nothing here
        for match in _NAME.finditer(sentence):
            begins = _BEGINNING.fullmatch(sentence[: match.start()].rpartition("\n")[2]) is not None
            at, name = match.start(), match[0]
            while (word := _WORD.match(name)) and word[0].lower() in _OPENERS | _TITLES:
                rest = name[word.end() :].lstrip(" .'’")
                at, name, begins = at + len(name) - len(rest), rest, begins and word[0].lower() in _TITLES
            alone = spelt(name) == spelt(sentence)
            plain = len(name.split()) == 1 and name[1:] == name[1:].lower()
            if len(name) > 1 and name[0].isupper() and not (begins and plain and not alone):
                yield start + at, start + at + len(name)
