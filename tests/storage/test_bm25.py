"""Words of chosen references, scored as FTS5 would if it could be asked about a few."""

import math
import sqlite3
from pathlib import Path

import pytest

from storage import bm25
from storage.store import Store
from tests.storage.conftest import DIMENSION, EMBEDDER, AddDocument, vector_of

TOKENIZER = "porter unicode61 remove_diacritics 2"
TEXTS = (
    "Termination of the Agreement's terms; terminating, terminated (see § 12.3)",
    "Naïve café Ångström ÉTUDES naïveté",
    "dosage dosages dosed 5 mg/kg x2 COVID-19 a_b under_score",
    "generalizations relational conditional rational skies dying lying agreed plastered hopping falling",
    "żółć Łódź Ħ",
)


@pytest.fixture(scope="module")
def samples() -> list[str]:
    files = sorted(Path("assets/samples").rglob("*.txt")) + sorted(Path("docs").glob("*.md"))
    return [*TEXTS, *(file.read_text(encoding="utf-8") for file in files)]


def fts5(texts: list[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE VIRTUAL TABLE t USING fts5(body, tokenize = '{TOKENIZER}')")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5vocab(t, 'instance')")
    connection.executemany("INSERT INTO t (body) VALUES (?)", [(text,) for text in texts])
    return connection


def test_words_are_cut_and_stemmed_as_fts5_does(samples: list[str]) -> None:
    connection = fts5(samples)
    for number, text in enumerate(samples, 1):
        theirs = connection.execute("SELECT term FROM words WHERE doc = ? ORDER BY offset", (number,))
        assert bm25.stems(text) == [term for (term,) in theirs]


def test_scores_are_those_of_fts5(samples: list[str]) -> None:
    """But for the inverse document frequency, which is given here as FTS5 has it."""
    connection = fts5(samples)
    for word in ("term", "dosage", "the", "memories"):
        asked = dict.fromkeys(bm25.stems(word))
        found = connection.execute("SELECT rowid, -bm25(t) FROM t WHERE t MATCH ?", (f'"{word}"',)).fetchall()
        rarity = max(1e-6, math.log((len(samples) - len(found) + 0.5) / (len(found) + 0.5)))
        scores = bm25.scores(dict.fromkeys(asked, rarity), [(text,) for text in samples], (1.0,))
        assert {n: score for n, score in enumerate(scores, 1) if score} == pytest.approx(dict(found))


def test_a_word_in_every_reference_is_worth_little_but_not_nothing() -> None:
    assert 0 < bm25.rarity(1000, 1000) < bm25.rarity(10, 1000) < bm25.rarity(1, 1000)


def test_what_is_found_by_meaning_is_scored_by_words_too_frequent_to_find_by(
    store: Store, add_document: AddDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    passages = (
        [f"clause {n}" for n in range(30)] + ["clause renewal clause"] + [f"renewal {n}" for n in range(30)]
    )
    add_document("a.txt", passages)
    search = store.search(EMBEDDER, DIMENSION)
    monkeypatch.setattr(search._words, "_most_rows", 5)
    monkeypatch.setattr(search._words, "_narrow", 0)
    hits = search.hybrid("clause renewal", vector_of("nothing of these"), k=80, candidates=80)
    by_words = sorted(hits, key=lambda hit: hit.lexical_rank or len(hits))
    (best,) = store.references.get([by_words[0].reference_id])
    assert best.text == "clause renewal clause"
    assert all(hit.bm25 for hit in hits)
    assert hits.index(by_words[0]) < 5
