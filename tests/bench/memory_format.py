"""Which memory format may an untrained model read? Prints the table of docs/format.md.

For each question, five references (the one that holds the answer and four others, from the same document
where it has them) are read as text in the prompt, and as memories in each format. The figure is the mean
negative log-likelihood per token of the first gold answer, in nats; the ratio is to text in the prompt.

    python -m tests.bench.memory_format --data ../shared/data --questions 120
"""

import argparse
import gzip
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine import loading
from engine.format import MemoryFormat
from engine.protocol import Engine, KeyedMemory, Message
from engine.registry import DEFAULT_MODEL
from engine.torch_engine import TorchEngine

SYSTEM = "Answer the question from the reference documents, briefly."
BODY_TOKENS = 104  # leaves room for the title in front


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") as stream:
        yield from map(json.loads, stream)


def pieces(engine: Engine, text: str) -> list[tuple[int, int]]:
    """Spans of at most BODY_TOKENS tokens."""
    offsets = engine.tokenize(text).offsets
    return [
        (part[0][0], part[-1][1])
        for part in (offsets[i : i + BODY_TOKENS] for i in range(0, len(offsets), BODY_TOKENS))
    ]


def short_answers(data: Path, domain: str) -> list[dict[str, Any]]:
    """Questions of a domain that a passage of at most 200 characters answers."""
    return [
        row
        for row in rows(data / f"{domain}_qa.jsonl.gz")
        if row["answers"] and len(row["answers"][0]["text"]) <= 200 and row.get("type") in ("span", None)
    ]


def questions(data: Path, engine: TorchEngine, count: int, seed: int) -> list[dict[str, Any]]:
    """`count` questions with five references each, shared out over law, medicine and general."""
    generator = random.Random(seed)
    chosen = []
    for domain in ("legal", "medical", "general"):
        contexts = {row["context_id"]: row for row in rows(data / f"{domain}_contexts.jsonl.gz")}
        answerable = short_answers(data, domain)
        generator.shuffle(answerable)
        taken = 0
        for row in answerable:
            context = contexts[row["context_id"]]
            answer = row["answers"][0]
            start, end = answer["start"], answer["start"] + len(answer["text"])
            spans = pieces(engine, context["text"][:40_000])
            right = [span for span in spans if span[0] <= start and end <= span[1]]
            if not right:
                continue
            passages = [(context["title"], context["text"][slice(*right[0])])]
            others = [span for span in spans if span != right[0]]
            for span in generator.sample(others, min(2, len(others))):
                passages.append((context["title"], context["text"][slice(*span)]))
            while len(passages) < 5:
                other = contexts[generator.choice(list(contexts))]
                spans = pieces(engine, other["text"][:2_000])
                if spans:
                    passages.append((other["title"], other["text"][slice(*generator.choice(spans))]))
            generator.shuffle(passages)
            chosen.append({"question": row["question"], "answer": answer["text"], "passages": passages})
            taken += 1
            if taken == count // 3:
                break
    return chosen


def formats(layers: int) -> dict[str, MemoryFormat]:
    dense = MemoryFormat(tuple(range(layers)))
    half, paper = replace(dense, layers=tuple(range(layers // 2))), MemoryFormat.paper(layers)
    table = {
        "all layers, all tokens": dense,
        "all layers, all tokens, serial": replace(dense, positions="serial"),
    }
    small = replace(dense, codec="int8", selection="attention_value_norm")
    for k in (128, 96, 64, 48, 32, 16, 8):
        name = "all tokens" if k == 128 else f"{k} per head by value norm"
        for temperature in (1.0, 0.85, 0.75, 0.65):
            table[f"all layers, {name}, int8, temperature {temperature}"] = replace(
                small, tokens_per_head=k, temperature=temperature
            )
    for k in (64, 32, 8):
        table[f"all layers, {k} per head by attention, temperature 0.75"] = replace(
            dense, tokens_per_head=k, temperature=0.75
        )
    for temperature in (1.0, 0.75):
        table[f"first half, all tokens, temperature {temperature}"] = replace(half, temperature=temperature)
        table[f"first half, 8 per head (the paper's), temperature {temperature}"] = replace(
            paper, temperature=temperature
        )
    return table


def reference_ids(engine: Engine, title: str, text: str) -> list[int]:
    return [*engine.tokenize(f"{title}\n").ids[-20:], *engine.tokenize(text).ids][:128]


def nll(
    engine: TorchEngine, question: dict[str, Any], memories: Sequence[KeyedMemory] | None, text: bool
) -> float:
    passages = "".join(f"{title}\n{body}\n\n" for title, body in question["passages"]) if text else ""
    messages = [Message("system", SYSTEM), Message("user", passages + question["question"])]
    memories_for = None if memories is None else (lambda chunk: memories)
    return -float(np.mean(engine.score(messages, question["answer"], memories_for).log_probabilities))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    arguments = parser.parse_args()
    cache = Path(tempfile.gettempdir()) / "attest-models"
    loaded = loading.load(arguments.model, cache=cache)
    plain = TorchEngine(loaded)
    asked = questions(arguments.data, plain, arguments.questions, arguments.seed)
    table: dict[str, list[float]] = {"no references": [], "text in the prompt": []}
    engines = {name: TorchEngine(loaded, fmt) for name, fmt in formats(loaded.transformer.layers).items()}
    for number, question in enumerate(asked, 1):
        table["no references"].append(nll(plain, question, None, text=False))
        table["text in the prompt"].append(nll(plain, question, None, text=True))
        ids = [reference_ids(plain, title, text) for title, text in question["passages"]]
        written: dict[MemoryFormat, list[KeyedMemory]] = {}
        for name, engine in engines.items():
            stored = replace(
                engine.format, temperature=1.0, positions="parallel"
            )  # what changes reading only
            if stored not in written:
                written[stored] = [KeyedMemory(i, memory) for i, memory in enumerate(engine.write(ids))]
            table.setdefault(name, []).append(nll(engine, question, written[stored], text=False))
        if number % 10 == 0:
            means = ", ".join(f"{name} {np.mean(values):.2f}" for name, values in table.items())
            print(f"{number} questions: {means}", file=sys.stderr)
    text = np.mean(table["text in the prompt"])
    for name, values in table.items():
        print(
            json.dumps(
                {
                    "format": name,
                    "n": len(values),
                    "nll": round(float(np.mean(values)), 3),
                    "over_text": round(float(np.mean(values) / text), 3),
                }
            )
        )


if __name__ == "__main__":
    main()
