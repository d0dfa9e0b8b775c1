"""Which references does a question find? Recall at 5 of every way to retrieve, over one library, in one run.

A question counts as found if one of its five references overlaps the place of a right answer. `assets/eval`
is never used to choose anything, nor are the held-out documents of `--data`; constants are chosen with
--training.

    python -m tests.bench.retrieval                                        assets/eval
    python -m tests.bench.retrieval --data ../shared/data --seed 2         others, of held-out documents
    python -m tests.bench.retrieval --data ../shared/data --training       of documents that are learnt from

    meaning, words          either search alone
    hybrid                  both by reciprocal rank: what was there before
    fused                   `storage.search`, by score
    fused, words in N %     the same where only so many references may be found by words
    recalled                `app.answering.recalling`, all candidates' memories written
    read                    the candidates read in one pass (`engine.attend`), by the same heads' attention
    internal                all memories by the model's own queries, without any search or embedder
    internal and fused      the same with the search's score beside it, as in `recalled`

The last four need --recall. --find looks for the heads that find, and writes them into an adapter's folder:
those whose score, alone, sets a right reference above a wrong one most often.

Prints one JSON object per way: {"way", "n", "recall_at_5", "error" (standard), "datasets"}.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app import settings
from app.answering.asking import Asker
from app.answering.recalling import CANDIDATES, WEIGHT, ordered, standard, usable
from app.measuring.open_book import COLLECTION, Library
from app.measuring.questions import Context, Question, read_contexts, read_questions
from app.service import Service
from engine.adapter import Adapter
from engine.memory import ExplicitMemory
from engine.protocol import Message
from engine.recall import Heads, save, scores
from storage.database import Database
from storage.lexical import WEIGHTS, Lexical
from storage.records import Hit, ReferenceRow
from storage.search import fuse
from storage.store import Store
from storage.visible import Visible
from tests.bench.retrieval_set import drawn

K = 5
HEADS = 16  # that are kept
DEPTH = 50  # candidates of either search
PLAIN_WEIGHTS = (0.5, 1.0, 2.0)  # of words before they were fused by score
RANK_CONSTANT = 60
LEAST = 1e-7  # attention below it tells nothing
CUTS = (0.1, 0.02, 0.006)  # shares of the references that may be found by words: 0.006 is 5,000 of 833,333

Ranking = list[tuple[int, float]]


class Searched:
    """What both searches find for the questions of a library.

    golds: per question, ids of the references that overlap the place of a right answer.
    """

    def __init__(self, home: Path, questions: Sequence[Question], contexts: dict[str, Context]) -> None:
        with Service(settings.load(), shared=False) as service:
            self.engine, embedder = service.models()
        self.store = Store.open(home)
        self.questions = questions
        library = Library(self.store, self.engine, embedder, contexts.values(), _report)
        self.golds = [set(library.holding(question)) for question in questions]
        self.vectors = embedder.embed([question.text for question in questions])
        self.asker = Asker(self.store, self.engine, lambda: embedder)
        self._search = self.store.search(embedder.name, embedder.dimension)
        self._hits: dict[int, list[Hit]] = {}
        self._database = Database(home / "attest.db")
        with self._database.read() as connection:
            self.references = connection.exec_driver_sql("SELECT count(*) FROM reference").scalar_one()

    def hits(self, i: int) -> list[Hit]:
        """The product's own, of all candidates."""
        if i not in self._hits:
            text, vector = self.questions[i].text, self.vectors[i]
            found = self._search.hybrid(text, vector, COLLECTION, k=2 * DEPTH, candidates=DEPTH)
            self._hits[i] = found
        return self._hits[i]

    def candidates(self, i: int) -> tuple[list[Message], list[ReferenceRow], list[float]]:
        """The prompt without documents, and what `recalling` would order, all its memories written."""
        hits = self.hits(i)[:CANDIDATES]
        rows = self.store.references.get([hit.reference_id for hit in hits])
        self.asker.memories.get(rows)
        messages = self.asker._messages(self.questions[i].text, (), COLLECTION, [])
        return messages, rows, [hit.score for hit in hits]

    def words(self, lexical: Lexical, i: int) -> Ranking:
        with self._database.read() as connection:
            last = connection.exec_driver_sql("SELECT max(id) FROM reference").scalar_one()
            visible = Visible(np.ones(last + 1, np.bool_))
            return lexical.search(connection, self.questions[i].text, visible, DEPTH)

    def scores(self, lexical: Lexical, i: int, keys: Sequence[int]) -> dict[int, float]:
        with self._database.read() as connection:
            return lexical.scores(connection, self.questions[i].text, keys)

    @cached_property
    def everything(self) -> tuple[list[int], list[ExplicitMemory]]:
        """All references and their memories, written where they are missing."""
        with self._database.read() as connection:
            rows = connection.exec_driver_sql("SELECT id FROM reference ORDER BY id")
            keys = [key for (key,) in rows]
        held: list[ExplicitMemory] = []
        for first in range(0, len(keys), DEPTH):
            rows_of = self.store.references.get(keys[first : first + DEPTH])
            held += [each.memory for each in self.asker.memories.get(rows_of)]
        return keys, held

    def cosines(self, i: int, keys: Sequence[int]) -> dict[int, float]:
        with self._database.read() as connection:
            return self._search._vectors.cosines(connection, self.vectors[i], keys)


def ways(searched: Searched) -> Iterator[tuple[str, Callable[[int], list[int]]]]:
    plain = Lexical(10**9, PLAIN_WEIGHTS)

    def meaning(i: int) -> Ranking:
        hits = [hit for hit in searched.hits(i) if hit.dense_rank is not None]
        hits.sort(key=lambda hit: hit.dense_rank or 0)
        return [(hit.reference_id, hit.cosine or 0.0) for hit in hits]

    def reciprocal(i: int) -> list[int]:
        scores: dict[int, float] = {}
        for ranking in (meaning(i), searched.words(plain, i)):
            for rank, (key, _) in enumerate(ranking, 1):
                scores[key] = scores.get(key, 0.0) + 1 / (RANK_CONSTANT + rank)
        return sorted(scores, key=lambda key: -scores[key])

    def cut(share: float) -> Callable[[int], list[int]]:
        lexical = Lexical(max(1, round(share * searched.references)), WEIGHTS, narrow=0)

        def found(i: int) -> list[int]:
            near = dict(meaning(i))
            keys = list(near | dict(searched.words(lexical, i)))
            fused = fuse(keys, list(near), searched.cosines(i, keys), searched.scores(lexical, i, keys))
            return [hit.reference_id for hit in fused]

        return found

    yield "meaning", lambda i: [key for key, _ in meaning(i)]
    yield "words", lambda i: [key for key, _ in searched.words(plain, i)]
    yield "hybrid", reciprocal
    yield "fused", lambda i: [hit.reference_id for hit in searched.hits(i)]
    for share in CUTS:
        yield f"fused, words in {100 * share:g} %", cut(share)


def with_the_model(searched: Searched) -> Iterator[tuple[str, Callable[[int], list[int]]]]:
    engine, memories = searched.engine, searched.asker.memories

    def recalled(i: int) -> list[int]:
        messages, rows, scores = searched.candidates(i)
        return [rows[at].id for at in ordered(engine, memories.written(rows), messages, rows, scores)]

    def read(i: int) -> list[int]:
        messages, rows, scores = searched.candidates(i)
        attention = engine.attend(messages, [each.memory for each in memories.written(rows)]).last
        layers = engine.format.layers
        chosen = [attention[:, layers.index(layer), head] for layer, head in usable(engine)]
        drawn = standard(np.log(np.stack(chosen, axis=1) + LEAST)).mean(axis=1)
        combined = standard(np.array(scores)) + WEIGHT * drawn
        return [rows[at].id for at in np.argsort(-combined, kind="stable")]

    def drawn_by_all(i: int) -> npt.NDArray[np.float64]:
        """(references,): what each would draw, the mean over the heads that find."""
        messages, _, _ = searched.candidates(i)
        held = searched.everything[1]
        drawn = scores(engine.queries(messages), held, engine.format.layers, usable(engine))
        return standard(drawn).mean(axis=1)

    def internal(i: int) -> list[int]:
        order = np.argsort(-drawn_by_all(i), kind="stable")
        return [searched.everything[0][at] for at in order]

    def with_the_search(i: int) -> list[int]:
        found = {hit.reference_id: hit.score for hit in searched.hits(i)}
        of_all = np.array([found.get(key, 0.0) for key in searched.everything[0]])
        order = np.argsort(-(standard(of_all) + WEIGHT * drawn_by_all(i)), kind="stable")
        return [searched.everything[0][at] for at in order]

    yield "recalled", recalled
    yield "read", read
    yield "internal", internal
    yield "internal and fused", with_the_search


def heads_that_find(searched: Searched) -> tuple[Heads, dict[str, Any]]:
    """The best heads of all, by the mean share of pairs that each sets right, and how they were found."""
    engine = searched.engine
    every = tuple((layer, head) for layer in engine.format.layers for head in range(_heads(searched)))
    shares = []
    for i, gold in enumerate(searched.golds):
        messages, rows, _ = searched.candidates(i)
        held = [each.memory for each in searched.asker.memories.written(rows)]
        drawn = scores(engine.queries(messages), held, engine.format.layers, every)
        right = np.array([row.id in gold for row in rows])
        if right.any() and not right.all():
            shares.append((drawn[right][:, None] > drawn[~right][None]).mean(axis=(0, 1)))
    mean = np.mean(shares, axis=0)
    best = np.argsort(-mean, kind="stable")[:HEADS]
    datasets = sorted({question.dataset for question in searched.questions})
    found = {
        "questions": len(shares),
        "auc": [round(float(mean[at]), 4) for at in best],
        "datasets": datasets,
    }
    return tuple(every[at] for at in best), found


def _heads(searched: Searched) -> int:
    return searched.engine.queries([Message("user", "?")]).shape[1]


def judged(searched: Searched, way: str, found: Callable[[int], list[int]]) -> dict[str, object]:
    """Recall at 5 over all questions and by data set."""
    right = np.array(
        [bool(set(found(i)[:K]) & gold) for i, gold in enumerate(searched.golds)], dtype=np.float64
    )
    datasets = np.array([question.dataset for question in searched.questions])
    return {
        "way": way,
        "n": len(right),
        "recall_at_5": round(float(right.mean()), 4),
        "error": round(float(right.std(ddof=1) / np.sqrt(len(right))), 4),
        "datasets": {name: round(float(right[datasets == name].mean()), 3) for name in sorted(set(datasets))},
    }


def _report(line: str) -> None:
    print(line, file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="draw questions from these data sets; else assets/eval")
    parser.add_argument("--training", action="store_true", help="of documents that are learnt from")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--datasets", nargs="+", help="only questions of these; the library stays whole")
    parser.add_argument("--home", type=Path, help="a folder to keep the library in")
    parser.add_argument("--recall", action="store_true", help="also the ways that need the model")
    parser.add_argument("--find", type=Path, metavar="ADAPTER", help="find heads, on --training only")
    arguments = parser.parse_args()
    if arguments.data is None:
        folder = Path("assets/eval")
        questions = [each for each in read_questions(folder / "questions.jsonl") if each.answers]
        contexts = read_contexts(folder / "contexts.jsonl")
    else:
        found = drawn(arguments.data, held_out=not arguments.training, seed=arguments.seed)
        questions, contexts = found.questions, found.contexts
    if arguments.datasets:
        questions = [question for question in questions if question.dataset in arguments.datasets]
    with tempfile.TemporaryDirectory(prefix="attest-retrieval-") as home:
        searched = Searched(arguments.home or Path(home), questions, contexts)
        if arguments.find is not None:
            if not arguments.training:
                parser.error("heads are found on --training, never on what is measured")
            heads, found_how = heads_that_find(searched)
            save(arguments.find, Adapter.open(arguments.find).hash, heads, found_how)
            print(json.dumps({"heads": heads, **found_how}), flush=True)
            return
        for way, found_by in (*ways(searched), *(with_the_model(searched) if arguments.recall else ())):
            print(json.dumps(judged(searched, way, found_by)), flush=True)


if __name__ == "__main__":
    main()
