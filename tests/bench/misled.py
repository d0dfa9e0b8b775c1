"""Do memories of the wrong documents mislead? What is answered where nothing of the right one is read.

The answerable questions of `assets/eval`, asked of all documents but the right one. Mode product is what
the product says then: it may decline by what the search found, before the model reads anything, and the model
may. The other modes are the model alone, which has to read: the five best references that the search finds,
as memories, or as text in its prompt, or none of them. An answer is, the first that holds:

* `declined`: it has the fixed sentence;
* `right`: its F1 with a right answer is at least a half, so what was read did not keep it from that;
* `misled`: it states a number or a name, or has three words in a row, of what was read, which do not stand in
  the question;
* `own`: none of these; it says something else than what was read.

Mode none reads nothing and is judged by the same references: what of them is in an answer then is there by
chance. The product is judged by all that it read while it answered; no memory is written before a question
needs it, so the search alone orders what is found.

    python -m tests.bench.misled --limit 120
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from app.answering.abstaining import ABSTENTION
from app.answering.answer import Mode
from app.answering.asking import REPETITION_PENALTY, Asker, passage_text
from app.measuring.evaluating import sample, usable
from app.measuring.open_book import COLLECTION, Library
from app.measuring.questions import Question, read_contexts, read_questions
from app.measuring.scoring import f1
from app.profiles import profile
from engine.embedding import SentenceEmbedder
from engine.format import MEMORIES_PER_CHUNK
from engine.opening import open_engine
from engine.protocol import Embedder, Engine, GenerateOptions, KeyedMemory, Message, Token
from engine.registry import DEFAULT_MODEL
from storage.records import ReferenceRow
from storage.store import Store
from tests.bench.hallucination import ask, options, report, unsupported
from tests.bench.mixing import always, taken

MAX_TOKENS = 64
DEPTH = 60  # references looked at for five that are not of the right document
REPORT_EVERY = 25
Asking = Literal["product", Mode]
VERDICTS = ("declined", "right", "misled", "own")


def verdict(said: str, question: str, golds: Iterable[str], read: Sequence[str]) -> str:
    """One of VERDICTS. read: the texts of the references."""
    if ABSTENTION in said:
        return "declined"
    if f1(said, golds) >= 0.5:
        return "right"
    stated = set(unsupported(said, [], question)) - set(unsupported(said, read, question))
    copied = taken(said, read, [question]) in ("meant", "mixed")
    return "misled" if stated or copied else "own"


def figures(verdicts: Sequence[str]) -> dict[str, Any]:
    """Shares of all answers, 0..1."""
    counted = Counter(verdicts)
    return {"n": len(verdicts), **{name: round(counted[name] / len(verdicts), 4) for name in VERDICTS}}


def others(store: Store, embedder: Embedder, library: Library, question: Question) -> list[ReferenceRow]:
    """The best references of other documents."""
    search = store.search(embedder.name, embedder.dimension)
    hits = search.hybrid(question.text, embedder.embed([question.text])[0], COLLECTION, k=DEPTH)
    mine = library.document_id(question)
    rows = [row for hit in hits for row in store.references.get([hit.reference_id])]
    return [row for row in rows if row.document_id != mine][:MEMORIES_PER_CHUNK]


def answer(engine: Engine, question: Question, read: Sequence[ReferenceRow], mode: Mode) -> str:
    """What the model says."""
    text, memories_for = question.text, None
    if mode == "text":
        text = "".join(shown(row) for row in read) + text
    elif mode == "memory":
        written = engine.write([row.token_ids.tolist() for row in read])
        keyed = [KeyedMemory(row.id, memory) for row, memory in zip(read, written, strict=True)]
        memories_for = always(keyed)
    messages = [Message("system", profile("general").system), Message("user", text)]
    events = engine.generate(messages, memories_for, GenerateOptions(MAX_TOKENS, REPETITION_PENALTY))
    return "".join(event.text for event in events if isinstance(event, Token)).strip()


def of_product(asker: Asker, question: Question, documents: Sequence[str]) -> tuple[str, list[str]]:
    """What the product says, asked of these documents, and the texts of what it read."""
    answer = ask(asker, question.text, "memory", documents)
    read = {memory.reference_id: memory.text for stretch in answer.reads for memory in stretch.memories}
    return answer.answer, list(read.values())


def shown(row: ReferenceRow) -> str:
    """As it stands in a prompt."""
    return passage_text(row.document_name, row.heading_path, row.text)


def main() -> None:
    arguments = options(__doc__)
    folder = Path(str(resources.files("assets").joinpath("eval")))
    contexts = read_contexts(folder / "contexts.jsonl")
    answerable = [
        each for each in usable(read_questions(folder / "questions.jsonl"), contexts) if each.answers
    ]
    questions = sample(answerable, arguments.limit, arguments.seed)
    cache = Path(tempfile.gettempdir()) / "attest-models"
    engine, embedder = open_engine(DEFAULT_MODEL, adapter=arguments.adapter, cache=cache), SentenceEmbedder()
    with tempfile.TemporaryDirectory(prefix="attest-eval-") as home, Store.open(Path(home)) as store:
        library = Library(store, engine, embedder, contexts.values(), report)
        asker = Asker(store, engine, lambda: embedder)
        documents = {library.document(key) for key in contexts}
        modes: tuple[Mode, ...] = get_args(Mode)
        found: dict[Asking, list[str]] = {"product": [], **{mode: [] for mode in modes}}
        for number, question in enumerate(questions, 1):
            golds = [each.text for each in question.answers]
            wrong = sorted(documents - {library.document_id(question)})
            said, texts = of_product(asker, question, wrong)
            found["product"].append(verdict(said, question.text, golds, texts))
            read = others(store, embedder, library, question)
            texts = [row.text for row in read]
            for mode in modes:
                said = answer(engine, question, read, mode)
                found[mode].append(verdict(said, question.text, golds, texts))
            if number % REPORT_EVERY == 0 or number == len(questions):
                report(f"{number} of {len(questions)} questions")
    engine_info = {"backend": engine.info.backend, "adapter": engine.info.adapter}
    for asking, verdicts in found.items():
        print(json.dumps({"misled_by": asking, **figures(verdicts), "engine": engine_info}), flush=True)


if __name__ == "__main__":
    main()
