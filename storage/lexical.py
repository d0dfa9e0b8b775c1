"""Search by words: SQLite's FTS5 with BM25.

A question is taken as a bag of words, never as a query in FTS5's own language: every word is quoted, so no
text can be a syntax error or reach another column. Scripts without spaces between words are found by the
dense search only.

BM25 costs a microsecond for every reference that holds one of the words, which is nothing in thousands of
references and a second in a million. So only the rarest words, that together stand in no more than
`MOST_ROWS` references, find any; what they and the search by meaning have found is then scored by all words
(`storage.bm25`).
"""

import re
import time
from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa

from storage import bm25
from storage.visible import Visible

MOST_TERMS = 64
MOST_ROWS = 5_000  # references that one question may rank by words
MOST_COUNTED = 10_000  # references a word is looked up in to learn how rare it is
NARROW = 20_000  # ids: within so few all words are looked up, however frequent elsewhere
_COUNTED_SECONDS = 300.0  # how long it is remembered in how many references a word stands
# title, heading, body: what all references of a document or section share says little about which of them
# answers, and the search by meaning knows it too (docs/log.md)
WEIGHTS = (0.1, 0.2, 2.0)

_WORD = re.compile(r"[^\W_]+")
_STOP_LINES = (
    "a an and any are as at be been but by can could did do does for from had has have how i if",
    "in into is it its may me my no not of on or our please shall should so such tell than that",
    "the their them there these they this those to under was we were what when where which who",
    "whom whose why will with would you your",
)
STOP_WORDS = frozenset(word for line in _STOP_LINES for word in line.split())

_TEXTS = sa.text("SELECT rowid, title, heading, body FROM reference_fts WHERE rowid IN :ids").bindparams(
    sa.bindparam("ids", expanding=True)
)
_RANKED = sa.text(
    "SELECT rowid, rank FROM reference_fts "
    "WHERE reference_fts MATCH :expression AND rank MATCH :weights ORDER BY rank"
)
_COUNT = sa.text(
    "SELECT count(*) FROM (SELECT 1 FROM reference_fts WHERE reference_fts MATCH :word LIMIT :most)"
)
_ALL = sa.text("SELECT count(*) FROM reference")
_WITHIN = sa.text(
    "SELECT rowid FROM reference_fts WHERE reference_fts MATCH :word AND rowid BETWEEN :first AND :last"
)
_STEP = 256


class Lexical:
    """Not safe to share between threads: `Search` holds a lock around it.

    weights: of title, heading and body. narrow: up to so many ids, see `NARROW`.
    """

    def __init__(
        self,
        most_rows: int = MOST_ROWS,
        weights: tuple[float, float, float] = WEIGHTS,
        narrow: int = NARROW,
    ) -> None:
        self._most_rows, self._weights, self._narrow = most_rows, weights, narrow
        self._most_counted = max(most_rows + 1, MOST_COUNTED)
        self._counts: dict[str, int] = {}
        self._references = 0
        self._counted_at = 0.0

    def search(
        self, connection: sa.Connection, text: str, visible: Visible, limit: int
    ) -> list[tuple[int, float]]:
        """(reference id, score) of the best references that are visible, best first; larger is better.

        The ranking is walked from its top until `limit` are found, so invisible references cost no places.
        """
        words = terms(text)
        self._count(connection, words)
        rare = self._rare(words)
        if len(rare) < len(words) and visible.span <= self._narrow:
            return _within(connection, words, visible, limit)
        return _ranked(connection, rare, visible, limit, self._weights)

    def scores(self, connection: sa.Connection, text: str, ids: Sequence[int]) -> dict[int, float]:
        """BM25 of these references by all words of `text`, rare and frequent; only those that hold one."""
        words = terms(text)
        self._count(connection, words)
        asked: dict[str, float] = {}
        for word in words:
            for stem in bm25.stems(word):
                asked[stem] = bm25.rarity(min(self._counts[word], self._references), self._references)
        rows = connection.execute(_TEXTS, {"ids": list(ids)}).all()
        found = bm25.scores(asked, [row[1:] for row in rows], self._weights)
        return {row[0]: score for row, score in zip(rows, found, strict=True) if score > 0}

    def _count(self, connection: sa.Connection, words: Sequence[str]) -> None:
        """In how many references each word stands, up to `_most_counted`."""
        if not self._references or time.monotonic() - self._counted_at > _COUNTED_SECONDS:
            self._counts.clear()
            self._references = connection.execute(_ALL).scalar_one()
            self._counted_at = time.monotonic()
        for word in words:
            if word not in self._counts:  # counting ends where a word is too frequent
                given = {"word": f'"{word}"', "most": self._most_counted}
                self._counts[word] = connection.execute(_COUNT, given).scalar_one()

    def _rare(self, words: Sequence[str]) -> list[str]:
        """The words that may be ranked, in the order of `words`."""
        left = self._most_rows
        chosen = set()
        for word in sorted(words, key=self._counts.__getitem__):
            left -= self._counts[word]
            if left < 0:
                break
            chosen.add(word)
        return [word for word in words if word in chosen]


def terms(text: str) -> list[str]:
    """Distinct words in order of appearance, without stop words unless there is nothing else."""
    words = list(dict.fromkeys(word.casefold() for word in _WORD.findall(text)))
    return ([word for word in words if word not in STOP_WORDS] or words)[:MOST_TERMS]


def _ranked(
    connection: sa.Connection,
    words: list[str],
    visible: Visible,
    limit: int,
    weights: tuple[float, float, float],
) -> list[tuple[int, float]]:
    if not words:
        return []
    expression = " OR ".join(f'"{word}"' for word in words)
    found: list[tuple[int, float]] = []
    parameters = {"expression": expression, "weights": f"bm25{weights}"}
    rows = connection.execute(_RANKED, parameters, execution_options={"yield_per": _STEP})
    for reference_id, rank in rows:
        if reference_id in visible:
            found.append((reference_id, -rank))
            if len(found) == limit:
                rows.close()
                break
    return found


def _within(
    connection: sa.Connection, words: list[str], visible: Visible, limit: int
) -> list[tuple[int, float]]:
    """Ranked by what the words found are worth among the visible; FTS5 would weigh them among all."""
    scores = np.zeros(visible.span)
    for word in words:
        given = {"word": f'"{word}"', "first": visible.first, "last": visible.first + visible.span - 1}
        rows = np.array(connection.execute(_WITHIN, given).scalars().all(), dtype=np.int64)
        rows = rows[visible.flags[rows]]
        scores[rows - visible.first] += bm25.rarity(len(rows), visible.count)
    best = np.argsort(-scores, kind="stable")[:limit]
    return [(visible.first + int(at), float(scores[at])) for at in best if scores[at] > 0]


def forget(connection: sa.Connection, document_id: str) -> None:
    """Take a document's references out of the index; before their rows go.

    Where SQLite can (3.45 and later), their words leave the index's segments at once, in a time that does
    not grow with the index. Elsewhere they are only marked there, until `purge`.
    """
    if purges_at_once(connection):
        connection.exec_driver_sql(
            "INSERT INTO reference_fts (reference_fts, rank) VALUES ('secure-delete', 1)"
        )
    connection.execute(_FORGET, {"document": document_id})


def purge(connection: sa.Connection) -> None:
    """Rewrite the index without what `forget` marked, if it had to mark: seconds for a million references."""
    if not purges_at_once(connection):
        connection.exec_driver_sql("INSERT INTO reference_fts (reference_fts) VALUES ('optimize')")


def purges_at_once(connection: sa.Connection) -> bool:
    """Whether this SQLite's FTS5 has a reliable 'secure-delete': 3.42 has it, 3.45 mended it."""
    version = connection.dialect.server_version_info
    return version is not None and version >= (3, 45)


_FORGET = sa.text(
    "DELETE FROM reference_fts WHERE rowid IN (SELECT id FROM reference WHERE document_id = :document)"
)
