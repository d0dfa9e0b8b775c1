"""`attest bench evidence`: is what the product shows as evidence faithful?

Questions with known answers, about documents that nothing was trained or calibrated on, over a library of all
contexts. Each reads five memories, one of which holds the only answer (`app.measuring.planting`), and that
answer is teacher-forced:

* read: the share of attention on each memory, with heads weighted as the adapter says, and as the plain mean.
* needed: nats of the whole answer's log-probability that are lost when it is written without the memory; the
  question has read all five, as in what the product shows (`engine.protocol.Engine.needed`).
* planted: how often the memory that holds the answer has the most of either.
* AUC: over all pairs of a question and a memory, how well a score finds those that are needed by more than
  half a nat: weighted read, plain read, and the retriever's score. Also for more than one and two nats.
* Spearman's correlation of read with needed within each question, and the linear datamodelling score (Park
  and others, arXiv 2303.14186): over random subsets of the five, each memory kept with probability one half,
  the rank correlation of the summed reads of those kept with the answer's log-probability; means over
  questions.
* swapped: the passage is edited and the answer generated again (`app.measuring.swapped`).
* abstention: see `app.measuring.abstention`.

Standard errors are of bootstraps over questions.
"""

import tempfile
from collections.abc import Iterable, Iterator
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from app.answering.asking import Asker
from app.errors import AttestError, MemoryRefused, for_people
from app.measuring.ablation import SUBSETS, measured
from app.measuring.abstention import abstained, balanced, kind_figures, kinds
from app.measuring.evaluating import REPORT_EVERY
from app.measuring.faithfulness import NEEDED, figures
from app.measuring.open_book import Library, Report
from app.measuring.planting import planted
from app.measuring.questions import read_contexts, read_questions
from app.measuring.ranks import Figure, rounded, standard_error
from app.measuring.swapped import by_kind, followed, swapped
from app.service import Service
from app.settings import Settings
from storage.store import Store

QUESTIONS = 200
Each = TypeVar("Each")


def bench_evidence(
    settings: Settings,
    report: Report,
    *,
    questions: int = QUESTIONS,
    seed: int = 0,
    data: Path | None = None,
) -> dict[str, Any]:
    """See docs/interface.md. data: a folder with `questions.jsonl` and `contexts.jsonl`, in place of
    `assets/eval`. questions: at most so many are planted, swapped, and asked on each side of a kind of
    abstention. Raises AttestError.
    """
    data = data or Path(str(resources.files("assets") / "eval"))
    contexts = read_contexts(data / "contexts.jsonl")
    given = read_questions(data / "questions.jsonl")
    answerable = [each for each in given if each.answers and each.context_id in contexts]
    with Service(settings, shared=False) as service:
        engine, embedder = service.models()
    if engine.info.refusal is not None:
        raise MemoryRefused(engine.info.refusal)
    with (
        for_people(),
        tempfile.TemporaryDirectory(prefix="attest-bench-") as home,
        Store.open(Path(home)) as store,
    ):
        library = Library(store, engine, embedder, contexts.values(), report)
        asker = Asker(store, engine, lambda: embedder)
        chosen = list(planted(store, library, embedder, answerable, seed))
        if not chosen:
            raise AttestError("no question has its whole answer in one reference and four others without it")
        report(f"{len(chosen)} of {len(answerable)} questions have one reference that holds their answer")
        reads = measured(engine, asker.memories, chosen[:questions], seed)
        read = list(_told(reads, "planted", report))
        edits = islice(swapped(engine, asker.memories, chosen, seed), questions)
        edited = list(_told(edits, "swapped", report))
        asked = kinds(given, contexts.keys(), questions, seed)
        declined = abstained(asker, asked, report)
        references = library.references
    judged = [each for each in edited if each.followed is not None]
    found = {
        **figures(read, seed),
        "swapped_followed": Figure(followed(judged), standard_error(judged, followed, seed)),
        "abstain_balanced_accuracy": balanced(list(asked.values()), declined, seed),
    }
    info = engine.info
    return {
        **{name: rounded(figure.value) for name, figure in found.items()},
        "standard_errors": {name: rounded(figure.standard_error) for name, figure in found.items()},
        "abstention": {name: kind_figures(kind, declined, seed) for name, kind in asked.items()},
        "swapped": by_kind(edited),
        "n": {
            "planted": len(read),
            "pairs": sum(len(each.needed) for each in read),
            "pairs_needed": sum(loss > NEEDED for each in read for loss in each.needed),
            "swapped": len(judged),
            "abstention": len(declined),
            "references": references,
        },
        "subsets": SUBSETS,
        "heads_weighted": any(each.weighted != each.plain for each in read),
        "seed": seed,
        "backend": info.backend,
        "model": info.model,
        "adapter": info.adapter,
        "format": engine.format.to_json(),
    }


def _told(each: Iterable[Each], what: str, report: Report) -> Iterator[Each]:
    """The same things, with a line now and then on how many there were."""
    number = 0
    for number, thing in enumerate(each, 1):
        yield thing
        if number % REPORT_EVERY == 0:
            report(f"{what}: {number} questions")
    report(f"{what}: {number} questions, done")
