"""What `--evidence` costs, and whether it says the same as leaving memories out of everything.

Planted questions on contexts that adapters never learn from, answered by the default engine. For each memory:
what the answer loses when it is written without it (`Engine.needed`: the question has read it), and when
question and answer are read without it (one `score` for each). Seconds are of processor time on one thread,
so that a crowded machine does not change them; the first token waits for the prompt, its memories are there.

    python -m tests.bench.needed --data ../shared/data --questions 30
    python -m tests.bench.needed --asked 60

The second asks answerable questions of `assets/eval` as the product does, over a library of all its contexts,
with all memories written: what measuring the citations of each answer takes over what its first token took.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from app.adapting.planted import draw
from app.adapting.training import read_material
from app.answering.answer import DoneEvent, TokenEvent
from app.answering.asking import Asker
from app.measuring.open_book import COLLECTION, Library
from app.measuring.questions import read_contexts, read_questions
from app.profiles import profile
from engine import loading
from engine.adapt.weighing import MATTERS, auc
from engine.adapter import chosen
from engine.embedding import SentenceEmbedder
from engine.llama.engine import LlamaEngine, Sizes
from engine.llama.merging import merged
from engine.llama.model import LlamaModel
from engine.opening import ReferenceWriter
from engine.protocol import GenerateOptions, KeyedMemory, Message, Token
from engine.registry import DEFAULT_MODEL, resolve
from storage.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--asked", type=int, metavar="N", help="measure N answers of the product instead")
    parser.add_argument("--home", type=Path, help="a folder to keep the library of --asked in")
    parser.add_argument("--questions", type=int, default=30)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128)
    arguments = parser.parse_args()
    engine = one_thread()
    if arguments.asked is not None:
        with tempfile.TemporaryDirectory(prefix="attest-needed-") as home:
            print(json.dumps(as_asked(engine, arguments.home or Path(home), arguments.asked, arguments.seed)))
        return
    if arguments.data is None:
        parser.error("--data or --asked")
    material = read_material(arguments.data)
    contexts = {key: context for key, context in material.contexts.items() if context.held_out}
    asked = [(each.domain, each.question) for each in material.asked]
    taken: dict[str, list[float]] = defaultdict(list)
    ratio: dict[str, list[float]] = defaultdict(list)
    short, exact, right = [], [], []
    for planted in draw(asked, contexts, engine.tokenize, arguments.questions, arguments.seed):
        written = engine.write([list(ids) for ids in planted.references])
        keyed = [KeyedMemory(i, memory) for i, memory in enumerate(written)]
        messages = [Message("system", profile(planted.profile).system), Message("user", planted.question)]
        started, first, text = time.process_time(), 0.0, ""
        for event in engine.generate(messages, lambda _, k=keyed: k, GenerateOptions(arguments.tokens, 1.1)):
            if isinstance(event, Token):
                first = first or time.process_time() - started
                text += event.text
        text = text.strip()
        if not text:
            continue
        for count in (1, 2, 3, 5):
            at = time.process_time()
            groups = [(each.key,) for each in keyed[:count]]
            found = engine.needed(messages, text, lambda _, k=keyed: k, groups)
            seconds = time.process_time() - at
            taken[f"needed, {count} left out"].append(seconds)
            ratio[f"needed, {count} left out"].append(seconds / first)
        at, without = time.process_time(), []
        for each in keyed:
            left = [other for other in keyed if other is not each]
            without.append(engine.score(messages, text, lambda _, k=left: k).log_probabilities.sum())
        taken["a score for each of 5"].append(time.process_time() - at)
        ratio["a score for each of 5"].append(taken["a score for each of 5"][-1] / first)
        taken["first token"].append(first)
        taken["tokens of the answer"].append(float(found.without.shape[1]))
        short.append(found.log_probabilities.sum() - found.without.sum(axis=1))
        exact.append(found.log_probabilities.sum() - np.array(without))
        right.append(planted.right)
    ours, theirs = np.stack(short).astype(np.float64), np.stack(exact).astype(np.float64)
    for name, values in taken.items():
        row = {"what": name, "mean": round(float(np.mean(values)), 4)}
        if name in ratio:
            row["over_first_token"] = round(float(np.mean(ratio[name])), 2)
        print(json.dumps(row))
    said = {
        "questions": len(right),
        "correlation": round(float(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]), 4),
        "auc_of_needed_for_what_matters_in_all": round(auc(ours, theirs > MATTERS), 4),
        "right_first_by_needed": round(float((ours.argmax(axis=1) == np.array(right)).mean()), 3),
        "right_first_by_scores": round(float((theirs.argmax(axis=1) == np.array(right)).mean()), 3),
    }
    print(json.dumps(said))


def as_asked(engine: LlamaEngine, home: Path, count: int, seed: int) -> dict[str, object]:
    """Of `count` answers that cite something: seconds to the first token, of measuring, and their ratio."""
    folder, embedder = Path("assets/eval"), SentenceEmbedder()
    questions = [each for each in read_questions(folder / "questions.jsonl") if each.answers]
    random.Random(seed).shuffle(questions)
    firsts, costs, cited = [], [], []
    with Store.open(home) as store:
        contexts = read_contexts(folder / "contexts.jsonl")
        Library(store, engine, embedder, contexts.values(), lambda line: print(line, file=sys.stderr))
        asker = Asker(store, engine, lambda: embedder)
        for question in questions:
            asker.write_ahead(question.text, COLLECTION)
            list(asker.ask(question.text, COLLECTION, max_tokens=1))  # memories from the disk, either way
            started, first, answer = time.process_time(), 0.0, None
            for event in asker.ask(question.text, COLLECTION):
                if isinstance(event, TokenEvent):
                    first = first or time.process_time() - started
                elif isinstance(event, DoneEvent):
                    answer = event.answer
            if answer is None or not answer.reads or not answer.citations:
                continue
            at = time.process_time()
            asker.needed(question.text, COLLECTION, answer)
            costs.append(time.process_time() - at)
            firsts.append(first)
            cited.append(len(answer.citations))
            if len(costs) == count:
                break
    ratios = np.array(costs) / np.array(firsts)
    return {
        "answers": len(costs),
        "citations": round(float(np.mean(cited)), 2),
        "first_token_seconds": round(float(np.mean(firsts)), 3),
        "needed_seconds": round(float(np.mean(costs)), 3),
        "needed_over_first_token": round(float(np.sum(costs) / np.sum(firsts)), 3),
        "median": round(float(np.median(ratios)), 3),
        "at_most_one": round(float((ratios <= 1).mean()), 3),
        "by_citations": {
            str(n): round(float(ratios[np.array(cited) == n].mean()), 3) for n in sorted(set(cited))
        },
    }


def one_thread() -> LlamaEngine:
    """The default model as `engine.opening` has it, on one thread."""
    cache = Path(tempfile.gettempdir()) / "attest-models"
    adapter, path = chosen("auto", DEFAULT_MODEL), resolve(DEFAULT_MODEL).path
    assert adapter is not None
    assert path is not None
    weights = loading.file_hash(path)
    model = LlamaModel(merged(path, weights, adapter, cache))
    writer = ReferenceWriter(DEFAULT_MODEL, adapter.format, adapter, cache)
    return LlamaEngine(model, adapter.format, weights, adapter=adapter, writer=writer, sizes=Sizes(threads=1))


if __name__ == "__main__":
    main()
