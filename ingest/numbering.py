"""Numbered headings in sequence: which level "7." has after "6. Term", "6.1 Renewal" and "NOTICES".

Each open numbering remembers its last number. A number that goes on closes what its predecessor opened; a
first one begins a numbering below what is open; any other is doubtful. Knows forms of lines, no text.
"""

from dataclasses import dataclass, replace

from ingest.heading_lines import Form, Kind

_DEEPEST = 6
_GAP = 3  # headings in a row that may be missed
_UNNUMBERED = frozenset({Kind.CAPITALS, Kind.CLINICAL, Kind.RECITALS})
_OUTER = frozenset({Kind.EXHIBIT, Kind.ARTICLE})
_SMALL = frozenset({Kind.SMALL_LETTER, Kind.SMALL_ROMAN, Kind.SMALL_NUMBER})
_LISTINGS = ("references", "bibliography", "literature cited", "works cited")
_BOTH = {9: 1, 22: 5, 24: 10}  # letters that are Roman digits: i, v, x


@dataclass(frozen=True)
class _Open:
    """One heading that is open. name: what tells "PART" from "ARTICLE"."""

    kind: Kind
    number: tuple[int, ...]
    level: int
    name: str = ""


class Numbering:
    """Levels of headings, found one after the other through a document."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._closed: dict[tuple[Kind, int], _Open] = {}  # numberings that an unnumbered heading interrupted
        self._listing = False

    def restart(self) -> None:
        """Something outside closes every heading; numbers may still go on."""
        self._close_to(0)

    def level(self, form: Form) -> int | None:
        """Level of the heading, 1 is the outermost; None if it is none after what came before."""
        if form.kind in _OUTER:
            return self._outer(form)
        if form.kind in _UNNUMBERED:
            return self._unnumbered(form)
        if self._listing and form.kind is Kind.NUMBER:
            return None  # a cited work
        form = self._disambiguated(form)
        place = self._continued(form)
        if place is None:
            place = self._child(form) if len(form.number) > 1 else self._begun(form)
        return place

    def _outer(self, form: Form) -> int:
        self._listing = False
        name = form.words.split()[0].lower()
        if form.kind is Kind.EXHIBIT:
            self._open.clear()
            self._closed.clear()
            return self._push(form, 1, name)
        for index, heading in enumerate(self._open):
            if heading.kind is Kind.ARTICLE and heading.name == name:
                self._close_to(index)
                return self._push(form, heading.level, name)
        outer = [heading for heading in self._open if heading.kind in _OUTER]
        self._close_to(len(outer))
        self._closed.clear()
        return self._push(form, self._top() + 1, name)

    def _unnumbered(self, form: Form) -> int:
        self._listing = form.words.lower().rstrip(" :") in _LISTINGS
        for index, heading in enumerate(self._open):
            if heading.kind in _UNNUMBERED:
                self._close_to(index)
                return self._push(form, heading.level)
        numbered = next(
            (i for i, heading in enumerate(self._open) if heading.kind not in _OUTER), len(self._open)
        )
        if form.kind is Kind.CLINICAL and numbered < len(self._open):
            whole = [heading for heading in self._open if heading.kind not in _SMALL]
            self._close_to(len(whole))
            return self._push(form, self._top() + 1)
        self._close_to(numbered)
        return self._push(form, self._top() + 1)

    def _disambiguated(self, form: Form) -> Form:
        """ "I." after "H." is a letter, and "(v)" after "(iv)" is no letter."""
        value = form.number[0]
        if form.kind is Kind.ROMAN and form.words[1] == ".":
            if self._last(Kind.LETTER) == value - 1:
                return replace(form, kind=Kind.LETTER)
            return replace(form, number=(_BOTH[value],))
        if form.kind is Kind.SMALL_LETTER and value in _BOTH and self._last(Kind.SMALL_LETTER) != value - 1:
            return replace(form, kind=Kind.SMALL_ROMAN, number=(_BOTH[value],))
        return form

    def _last(self, kind: Kind) -> int | None:
        known = [heading.number[-1] for heading in self._open if heading.kind is kind]
        closed = self._closed.get((kind, 1))
        return known[-1] if known else closed.number[-1] if closed else None

    def _continued(self, form: Form) -> int | None:
        """Level of a number that goes on where one of its kind stopped."""
        gap = _GAP if form.titled else 1
        for index in range(len(self._open) - 1, -1, -1):
            if _goes_on(self._open[index], form, gap):
                level = self._open[index].level
                self._close_to(index, keep=False)
                return self._push(form, level)
        closed = self._closed.get((form.kind, len(form.number)))
        if closed is not None and _goes_on(closed, form, gap):
            while self._open and self._open[-1].level >= closed.level:
                self._open.pop()
            return self._push(form, closed.level)
        return None

    def _child(self, form: Form) -> int | None:
        """Level of "2.1": below "2.", "Section 2" or "ARTICLE II", else beside others of its depth."""
        if not form.titled and form.number[-1] != 1:
            return None
        for index in range(len(self._open) - 1, -1, -1):
            if self._open[index].number == form.number[:-1] and self._open[index].kind not in _SMALL:
                self._close_to(index + 1)
                return self._push(form, self._open[index].level + 1)
        if not form.titled:
            return None
        for index, heading in enumerate(self._open):
            if heading.kind is form.kind and len(heading.number) >= len(form.number):
                self._close_to(index)
                return self._push(form, heading.level)
        kept = [heading for heading in self._open if heading.kind in _OUTER | _UNNUMBERED]
        self._close_to(len(kept))
        return self._push(form, self._top() + len(form.number) - 1)

    def _begun(self, form: Form) -> int | None:
        """Level of a number that goes on from none: a new numbering, or headings were missed."""
        first = form.number[-1] == 1
        if not form.titled or not (first or form.whole or form.kind is Kind.SECTION or form.kind in _SMALL):
            return None
        for index, heading in enumerate(self._open):
            if heading.kind is form.kind and len(heading.number) == 1:
                self._close_to(index)
                return self._push(form, heading.level)
        if form.kind not in _SMALL:
            recitals = next((i for i, h in enumerate(self._open) if h.kind is Kind.RECITALS), len(self._open))
            small = next((i for i, h in enumerate(self._open) if h.kind in _SMALL), len(self._open))
            self._close_to(min(recitals, small))
        return self._push(form, self._top() + 1)

    def _push(self, form: Form, level: int, name: str = "") -> int:
        level = min(level, _DEEPEST)
        while self._open and self._open[-1].level >= level:
            self._open.pop()
        self._open.append(_Open(form.kind, form.number, level, name))
        return level

    def _close_to(self, count: int, keep: bool = True) -> None:
        """Close all but the outermost `count`; keep: remember where their numbering stopped."""
        if keep:
            for heading in self._open[count:]:
                if heading.number:
                    self._closed[heading.kind, len(heading.number)] = heading
        del self._open[count:]

    def _top(self) -> int:
        return self._open[-1].level if self._open else 0


def _goes_on(heading: _Open, form: Form, gap: int) -> bool:
    return (
        heading.kind is form.kind
        and len(heading.number) == len(form.number)
        and heading.number[:-1] == form.number[:-1]
        and heading.number[-1] < form.number[-1] <= heading.number[-1] + gap
    )
