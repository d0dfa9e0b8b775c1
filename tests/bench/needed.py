"""What `--evidence` costs, and whether it says the same as leaving memories out of everything.

Planted questions on contexts that adapters never learn from, answered by the default engine. For each memory:
what the answer loses when it is written without it (`Engine.needed`: the question has read it), and when
question and answer are read without it (one `score` for each). Seconds are of processor time on one thread,
so that a crowded machine does not change them; the first token waits for the prompt, its memories are there.

    python -m tests.bench.needed --data ../shared/data --questions 30
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from app.adapting.planted import draw
from app.adapting.training import read_material
from app.profiles import profile
from engine import loading
from engine.adapt.weighing import MATTERS, auc
from engine.adapter import chosen
from engine.llama.engine import LlamaEngine, Sizes
from engine.llama.merging import merged
from engine.llama.model import LlamaModel
from engine.opening import ReferenceWriter
from engine.protocol import GenerateOptions, KeyedMemory, Message, Token
from engine.registry import DEFAULT_MODEL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=30)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128)
    arguments = parser.parse_args()
    engine = one_thread()
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


def one_thread() -> LlamaEngine:
    """The default model as `engine.opening` has it, on one thread."""
    cache = Path(tempfile.gettempdir()) / "attest-models"
    adapter, path = chosen("auto", DEFAULT_MODEL), loading.resolve(DEFAULT_MODEL).path
    assert adapter is not None
    assert path is not None
    weights = loading.file_hash(path)
    model = LlamaModel(merged(path, weights, adapter, cache))
    writer = ReferenceWriter(DEFAULT_MODEL, adapter.format, adapter, cache)
    return LlamaEngine(model, adapter.format, weights, adapter=adapter, writer=writer, sizes=Sizes(threads=1))


if __name__ == "__main__":
    main()
