"""Whether a hyphen at the end of a line belongs to the word.

PDFium marks such hyphens; typeset pages break "enforce-ment", word processors only break at the hyphen of
"royalty-free". The document itself says which: the word is looked up among all the words it uses elsewhere.
"""

import re
from collections.abc import Iterable

MARK = "\ufffe"

_WORD = re.compile(r"[^\W\d_]{2,}")
_COMPOUND = re.compile(r"[^\W\d_]+-[^\W\d_]+")
_BROKEN = re.compile(rf"([^\W\d_]+){MARK}([^\W\d_]+)")
_BEFORE = re.compile(r"[^\W\d_]+\Z")
_AFTER = re.compile(r"[^\W\d_]+")


class Hyphenation:
    """What the pages of one document say about its hyphens. Pages: text with `MARK` at broken lines."""

    def __init__(self, pages: Iterable[str]) -> None:
        self._words: set[str] = set()
        self._compounds: set[str] = set()
        broken: list[tuple[str, str]] = []
        for page in pages:
            lowered = page.lower()
            self._words.update(_WORD.findall(lowered))
            self._compounds.update(_COMPOUND.findall(lowered))
            broken += _BROKEN.findall(lowered)
        soft = sum(self._evidence(*pair) is True for pair in broken)
        hard = sum(self._evidence(*pair) is False for pair in broken)
        self._usually_soft = soft > hard

    def is_soft(self, text: str, at: int) -> bool:
        """Whether the hyphen at `text[at]` only breaks a word, so that the word continues without it."""
        before = _BEFORE.search(text, max(0, at - 60), at)
        after = _AFTER.match(text, at + 1, at + 61)
        if not before or not after or not after.group()[0].islower():
            return False
        evidence = self._evidence(before.group().lower(), after.group().lower())
        return self._usually_soft if evidence is None else evidence

    def _evidence(self, before: str, after: str) -> bool | None:
        if f"{before}-{after}" in self._compounds:
            return False
        return True if before + after in self._words else None
