"""Where a text may be cut, and how well: before a heading, at a paragraph, sentence, clause or word.

Knows English legal and medical abbreviations and the full stops of Chinese and Japanese; knows nothing of
tokens. Offsets are code points; a cut at `i` separates text[:i] from text[i:].
"""

import re
import unicodedata
from collections.abc import Iterable
from enum import IntEnum


class Cut(IntEnum):
    """How good a place is, best last."""

    CHARACTER = 0
    WORD = 1
    CLAUSE = 2
    SENTENCE = 3
    PARAGRAPH = 4
    HEADING = 5


_SENTENCE = re.compile(
    r"[.!?…][\"'”’»)\]]*\s+(?=[\"'“‘«(\[]*[A-Z0-9À-ÖØ-Þ§•●▪■□☐¶]|[^\x00-\u024f])|[。！？｡][”’」』）]*\s*"
)
_CLAUSE = re.compile(r"[;:,)\]—–][\"”’]?\s+|[，；：、]")
_SPACE = re.compile(r"\s+")
_BLANK_LINE = re.compile(r"\n[ \t]*\n\s*")
_ITEM = re.compile(
    r"""\n[\ \t]{0,40}(?=
    [•●▪■□☐➢✓◦‣] | [-–*][ ]
    | \(?(?:[a-z]|[ivx]{1,5}|\d{1,2})[.)][ ]
    | \((?:[A-Za-z]|[ivxIVX]{1,5}|\d{1,2})\)
    | \d{1,3}(?:\.\d{1,3})+\.?\s
    )""",
    re.X,
)
_AFTER_STOP = re.compile(r"[.:;!?][\"”’)]*\s*\Z")

# A full stop after one of these ends a word, not a sentence.
_ABBREVIATED = """
    v vs no nos art arts sec secs § §§ ch cl para paras pp p vol ed eds cf e.g i.e viz al et ex rel seq
    id op cit supra infra inc ltd co corp llc l.l.c plc bros dept dist div gov govt ass'n assoc int'l
    nat'l comm'n u.s u.s.c u.s.c.a c.f.r f f.2d f.3d f.4th s.ct s ct l.ed l fed reg cir app cal fla ill
    tex pa mass mich minn wis ariz ark colo conn del ga ind kan ky la md mo mont neb nev okla ore tenn va
    vt wash wyo n.y n.j n.c n.d n.h n.m s.c s.d w.va r.i d.c dr mr mrs ms messrs prof hon sr jr st gen
    col capt lt sgt rev esq jan feb mar apr jun jul aug sep sept oct nov dec fig figs tab tbl eq ref refs
    approx avg max min mg kg mcg ml dl mm cm hr hrs wk wks mos yr yrs tabs inj i.v i.m p.o b.i.d t.i.d
    q.i.d q.d p.r.n sp spp ave blvd rd ste tel ext exh sched am pm a.m p.m stat civ proc crim evid r rule
    bankr supp
"""
# These may well end the sentence ("10 mg. The patients"): the next word decides.
_MAY_END = "mg kg mcg ml dl mm cm hr hrs wk wks mos yr yrs am pm a.m p.m inc ltd co corp llc u.s"
_OPENERS = """
    the a an this that these those if when where in on for each any all no such it we you he she they as
    at patients subjects upon to by with after before during although however therefore there
"""
_ABBREVIATIONS = frozenset(_ABBREVIATED.split())
_UNITS = frozenset(_MAY_END.split())
_NEW_SENTENCE = frozenset(_OPENERS.split())
_LAST_WORD = re.compile(r"([^\s(\[“‘\"]+)\.[\"'”’»)\]]*\s+\Z")
_SECTION_NUMBER = re.compile(r"(?:\d{1,3}\.)*\d{1,3}[a-z]?|[ivxlc]{1,6}|[a-z]")


def cuts(text: str, headings: Iterable[tuple[int, int]] = ()) -> dict[int, Cut]:
    """Places where `text` may be cut better than between characters, each after its white space.

    headings: (start, end) of heading lines; nothing is cut inside them or behind them, so that a heading
    stays with what follows it.
    """
    found: dict[int, Cut] = {}
    for pattern, cut in ((_SPACE, Cut.WORD), (_CLAUSE, Cut.CLAUSE)):
        found.update(dict.fromkeys((m.end() for m in pattern.finditer(text)), cut))
    for match in _SENTENCE.finditer(text):
        if not _is_abbreviated(text, match.start(), match.end()):
            found[match.end()] = Cut.SENTENCE
    for match in _ITEM.finditer(text):
        good = _AFTER_STOP.search(text, max(0, match.start() - 4), match.start())
        found[match.end()] = Cut.PARAGRAPH if good else Cut.SENTENCE
    found.update(dict.fromkeys((m.end() for m in _BLANK_LINE.finditer(text)), Cut.PARAGRAPH))
    for start, end in headings:
        space = _SPACE.match(text, end)
        behind = space.end() if space else end
        for offset in range(start + 1, behind + 1):
            found.pop(offset, None)
        found[start] = Cut.HEADING
    found.pop(0, None)
    found.pop(len(text), None)
    return found


def _is_abbreviated(text: str, stop: int, end: int) -> bool:
    if text[stop] != ".":
        return False
    match = _LAST_WORD.search(text, max(0, stop - 30), end)
    if match is None:
        return False
    raw = match.group(1)
    word = raw.lower()
    line_start = text.rfind("\n", 0, stop) + 1
    if not text[line_start : match.start(1)].strip() and _SECTION_NUMBER.fullmatch(word):
        return True  # "2.1. Definitions" at the start of a line
    if len(raw) == 1 and raw.isalpha() and raw.isupper():
        return True  # an initial
    if word not in _ABBREVIATIONS:
        return False
    following = re.match(r"[\"'“‘«(\[]*([^\W\d_]+)", text[end : end + 40])
    follows_sentence = following is not None and following.group(1).lower() in _NEW_SENTENCE
    return not (word in _UNITS and follows_sentence)


def is_character_border(text: str, offset: int) -> bool:
    """Whether a reader sees two characters left and right of `offset`, not one that is composed of both."""
    if offset <= 0 or offset >= len(text):
        return True
    before, after = text[offset - 1], text[offset]
    if after < "\u0300" and before < "\u0300":
        return not (before == "\r" and after == "\n")
    if unicodedata.category(after) in ("Mn", "Me", "Mc") or after in "\u200d\u200c":
        return False
    if before == "\u200d":
        return after.isspace()
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":
        return False
    if "\U0001f1e6" <= after <= "\U0001f1ff" and "\U0001f1e6" <= before <= "\U0001f1ff":
        run = offset - 1
        while run >= 0 and "\U0001f1e6" <= text[run] <= "\U0001f1ff":
            run -= 1
        return (offset - 1 - run) % 2 == 0
    return not ("\u1160" <= after <= "\u11ff" and "\u1100" <= before <= "\u11ff")  # Hangul jamo
