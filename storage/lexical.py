"""Search by words: SQLite's FTS5 with BM25.

A question is taken as a bag of words, never as a query in FTS5's own language: every word is quoted, so no
text can be a syntax error or reach another column. Scripts without spaces between words are found by the
dense search only.
"""

import re
from collections.abc import Callable

import sqlalchemy as sa

MOST_TERMS = 64
_WEIGHTS = "bm25(0.5, 1.0, 2.0)"  # title, heading, body: a title repeats on all references of a document

_WORD = re.compile(r"[^\W_]+")
_STOP_LINES = (
    "a an and any are as at be been but by can could did do does for from had has have how i if",
    "in into is it its may me my no not of on or our please shall should so such tell than that",
    "the their them there these they this those to under was we were what when where which who",
    "whom whose why will with would you your",
)
STOP_WORDS = frozenset(word for line in _STOP_LINES for word in line.split())

_RANKED = sa.text(
    "SELECT rowid, rank FROM reference_fts "
    "WHERE reference_fts MATCH :expression AND rank MATCH :weights ORDER BY rank"
)
_STEP = 256


def terms(text: str) -> list[str]:
    """Distinct words in order of appearance, without stop words unless there is nothing else."""
    words = list(dict.fromkeys(word.casefold() for word in _WORD.findall(text)))
    return ([word for word in words if word not in STOP_WORDS] or words)[:MOST_TERMS]


def search(
    connection: sa.Connection, text: str, visible: Callable[[int], bool], limit: int
) -> list[tuple[int, float]]:
    """(reference id, BM25) of the best references that are `visible`, best first; larger is better.

    The ranking is walked from its top until `limit` are found, so invisible references cost no places.
    """
    words = terms(text)
    if not words:
        return []
    expression = " OR ".join(f'"{word}"' for word in words)
    found: list[tuple[int, float]] = []
    parameters = {"expression": expression, "weights": _WEIGHTS}
    rows = connection.execute(_RANKED, parameters, execution_options={"yield_per": _STEP})
    for reference_id, rank in rows:
        if visible(reference_id):
            found.append((reference_id, -rank))
            if len(found) == limit:
                rows.close()
                break
    return found
