"""A small library of real references with real questions, for benchmarks: contexts of one seed, embedded."""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.protocol import Embedder, Engine
from tests.bench.memory_format import pieces, rows, short_answers

CHARACTERS = 30_000  # of a context


@dataclass(frozen=True)
class Asked:
    """reference: index of the one that holds the answer; None if no reference of the library does."""

    question: str
    answer: str
    reference: int | None


@dataclass(frozen=True)
class Library:
    """references: (title, text). vectors: (references, D)."""

    references: list[tuple[str, str]]
    vectors: npt.NDArray[np.float32]
    asked: list[Asked]


def build(data: Path, engine: Engine, embedder: Embedder, questions: int, seed: int) -> Library:
    """References of a few contexts of each domain, `questions` about them, and as many about others."""
    generator = random.Random(seed)
    references: list[tuple[str, str]] = []
    inside: list[Asked] = []
    outside: list[Asked] = []
    for domain, contexts in (("legal", 4), ("medical", 5), ("general", 60)):
        texts = {row["context_id"]: row for row in rows(data / f"{domain}_contexts.jsonl.gz")}
        answerable = short_answers(data, domain)
        generator.shuffle(answerable)
        chosen = set(generator.sample(sorted({row["context_id"] for row in answerable}), contexts))
        spans: dict[str, list[tuple[tuple[int, int], int]]] = {}
        for context in sorted(chosen):
            text = texts[context]["text"][:CHARACTERS]
            spans[context] = []
            for span in pieces(engine, text):
                spans[context].append((span, len(references)))
                references.append((texts[context]["title"], text[slice(*span)]))
        taken = left = 0
        for row in answerable:
            answer = row["answers"][0]
            start, end = answer["start"], answer["start"] + len(answer["text"])
            holding = [
                i for span, i in spans.get(row["context_id"], []) if span[0] <= start and end <= span[1]
            ]
            if holding and taken < questions // 3:
                inside.append(Asked(row["question"], answer["text"], holding[0]))
                taken += 1
            elif row["context_id"] not in chosen and left < questions // 3:
                outside.append(Asked(row["question"], answer["text"], None))
                left += 1
    vectors = embedder.embed([f"{title}\n{text}" for title, text in references])
    return Library(references, vectors, inside + outside)
