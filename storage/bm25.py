"""Okapi BM25 of chosen references, by all words of a question.

FTS5 (`storage.lexical`) ranks whatever holds one of the words, which takes as long as the words are frequent.
Here a few references that are known already are scored, in a time that does not grow with the store. Words
are cut and stemmed as FTS5's 'porter unicode61 remove_diacritics 2' does (letters that are not Latin apart),
and count by column as in its bm25(). Two things differ: a frequent word is worth little but never nothing
(Lucene's inverse document frequency), and the mean length is that of the references at hand, since all are
cut to one size.
"""

import math
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

import Stemmer

SATURATION, LENGTH = 1.2, 0.75  # k1 and b, as in FTS5
STEMMED = range(3, 65)  # letters of a word that FTS5 stems

_WORD = re.compile(r"[^\W_]+")


class _Porter(threading.local):
    """One for each thread: a stemmer may not be shared."""

    def __init__(self) -> None:
        self.stemmer = Stemmer.Stemmer("porter")


_porter = _Porter()


def stems(text: str) -> list[str]:
    """The words of a text in order, without accents, lower case, by Porter's stems."""
    folded = unicodedata.normalize("NFD", text.lower())
    if not folded.isascii():
        folded = "".join(each for each in folded if not unicodedata.combining(each))
    words = _WORD.findall(folded)
    found = _porter.stemmer.stemWords(words)
    return [stem if len(word) in STEMMED else word for word, stem in zip(words, found, strict=True)]


def rarity(holding: int, references: int) -> float:
    """Inverse document frequency, in nats: of a word that `holding` of `references` references hold."""
    return math.log1p((references - holding + 0.5) / (holding + 0.5))


def scores(
    asked: Mapping[str, float], texts: Sequence[Sequence[str]], weights: Sequence[float]
) -> list[float]:
    """One for each reference; larger is better, 0 where it holds none of the words.

    asked: stems with their rarity. texts: the columns of each reference. weights: of the columns.
    """
    once = {column: stems(column) for column in {column for columns in texts for column in columns}}
    cut = [[once[column] for column in columns] for columns in texts]
    lengths = [sum(map(len, columns)) for columns in cut]
    counted = [[Counter(filter(asked.__contains__, column)) for column in columns] for columns in cut]
    mean = sum(lengths) / max(1, len(lengths)) or 1.0
    found = []
    for columns, length in zip(counted, lengths, strict=True):
        norm = SATURATION * (1 - LENGTH + LENGTH * length / mean)
        total = 0.0
        for stem, worth in asked.items():
            times = sum(weight * column[stem] for weight, column in zip(weights, columns, strict=True))
            total += worth * times * (SATURATION + 1) / (times + norm)
        found.append(total)
    return found
