"""Do torch and llama.cpp agree when they read the same memories? On real questions with five references each.

Both run the same GGUF file, torch de-quantised, llama.cpp as it is, so they differ a little even without
memories: that is the noise floor. For each question the first gold answer is teacher-forced, without
memories, with those that torch wrote and with those that llama.cpp wrote; the logits are compared.

    python -m tests.bench.backends --data ../shared/data --questions 200
"""

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from engine.format import REFERENCE_TOKENS
from engine.llama.engine import LlamaEngine
from engine.opening import open_engine
from engine.protocol import KeyedMemory, MemoriesFor, Message
from engine.registry import DEFAULT_MODEL
from engine.torch_engine import TorchEngine
from tests.bench.memory_format import SYSTEM, questions

ANSWER_TOKENS = 64


def compare(data: Path, cache: Path, count: int, seed: int) -> dict[str, Any]:
    """Per source of the memories: mean logit difference, top-1 agreement, largest gap in attention."""
    llama = open_engine(DEFAULT_MODEL, backend="llamacpp", cache=cache)
    reference = open_engine(DEFAULT_MODEL, backend="torch", cache=cache)
    assert isinstance(llama, LlamaEngine)
    assert isinstance(reference, TorchEngine)
    llama._writer = None  # its own writing is what is compared
    difference: dict[str, list[float]] = defaultdict(list)
    agree: dict[str, list[bool]] = defaultdict(list)
    gap: dict[str, list[float]] = defaultdict(list)
    chosen = questions(data, reference, count, seed)
    for number, question in enumerate(chosen):
        messages = [Message("system", SYSTEM), Message("user", question["question"])]
        tokens = reference.tokenize(question["answer"]).ids[:ANSWER_TOKENS]
        passages = [f"{title}\n{text}" for title, text in question["passages"]]
        references = [reference.tokenize(text).ids[:REFERENCE_TOKENS] for text in passages]
        sources: dict[str, MemoriesFor | None] = {"none": None}
        for name, engine in (("written_by_torch", reference), ("written_by_llamacpp", llama)):
            keyed = [KeyedMemory(i, memory) for i, memory in enumerate(engine.write(references))]
            sources[name] = lambda chunk, keyed=keyed: keyed  # type: ignore[misc]
        for name, memories_for in sources.items():
            ours, reads = llama.teacher_forced(messages, tokens, memories_for)
            theirs, expected = reference.teacher_forced(messages, tokens, memories_for)
            difference[name].append(float(np.abs(ours - theirs).mean()))
            agree[name] += (ours.argmax(axis=1) == theirs.argmax(axis=1)).tolist()
            for read, other in zip(reads, expected, strict=True):
                of = {mass.key: mass.attention for mass in other.memories}
                gap[name] += [abs(mass.attention - of[mass.key]) for mass in read.memories]
        print(f"{number + 1} of {len(chosen)}", end="\r", file=sys.stderr)
    floor, top = float(np.mean(difference["none"])), float(np.mean(agree["none"]))
    return {
        "questions": len(chosen),
        "tokens": len(agree["none"]),
        "floor": {"logit_difference": round(floor, 4), "top1_agreement": round(top, 4)},
        **{
            name: {
                "logit_difference": round(float(np.mean(difference[name])), 4),
                "over_floor": round(float(np.mean(difference[name])) / floor, 3),
                "top1_agreement": round(float(np.mean(agree[name])), 4),
                "top1_below_floor": round(top - float(np.mean(agree[name])), 4),
                "largest_attention_gap": round(max(gap[name]), 5),
            }
            for name in ("written_by_torch", "written_by_llamacpp")
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = compare(options.data, Path(folder), options.questions, options.seed)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
