"""Does an adapter harm the model that it is for? Choices between given answers, with and without it.

Three families: LegalBench (yes or no, a letter, entailment), PubMedQA (yes, no or maybe; the abstract without
its conclusion) and TruthfulQA (its best answer among the wrong ones). The first two ask about contexts that
are kept from training (`Context.held_out`), though an adapter may have learnt from other rows of their tasks.
The conversation is the product's: the profile's instruction, then the passage up to PASSAGE_TOKENS, the
question, and the options. `--memory` writes the passage as references and reads these instead, each model in
its own format; questions without a passage are left out then, for nothing would differ.

The option with the highest log-likelihood is the answer. It is the plain sum where all options have as many
tokens, as labels do; otherwise the sum is divided by the option's characters, as acc_norm of EleutherAI's
lm-evaluation-harness does. LegalBench's many tasks are drawn in turn, so that the large ones do not crowd out
the others. `chance` is what the commonest answer of each task would get, or guessing where options differ by
question. The last line is adapted minus base in points of accuracy over all rows, with the standard error of
the paired difference.

    python -m tests.bench.abilities --data ../shared/data
    python -m tests.bench.abilities --data ../shared/data --memory
"""

import argparse
import json
import math
import os
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from app.measuring.questions import read_contexts, read_questions
from app.profiles import profile
from engine.adapter import chosen
from engine.format import MEMORIES_PER_CHUNK
from engine.protocol import Engine, KeyedMemory, MemoriesFor, Message, Tokens
from engine.registry import DEFAULT_MODEL
from tests.bench.memory_format import rows as read_rows

BODY_TOKENS = 120  # of a reference
PASSAGE_TOKENS = BODY_TOKENS * MEMORIES_PER_CHUNK
LABELLED = ("yesno", "choice", "nli")  # kinds of questions whose answer is one of their task's few
FIRST = ("Yes", "No", "Maybe")  # in the order in which people give them

Drawn = TypeVar("Drawn")


@dataclass(frozen=True)
class Choice:
    """One question. domain: whose instructions go with it. passage: "" where there is none. right: index of
    the right option. chance: 0..1, how often someone is right who knows the task and not the question.
    """

    task: str
    domain: str
    passage: str
    question: str
    options: tuple[str, ...]
    right: int
    chance: float


def labelled(data: Path, domain: str, dataset: str, tokenize: Callable[[str], Tokens]) -> list[Choice]:
    """A data set's held-out rows; each task's options are all the answers that it ever has."""
    contexts = read_contexts(data / f"{domain}_contexts.jsonl.gz")
    asked = [
        question
        for question in read_questions(data / f"{domain}_qa.jsonl.gz")
        if question.dataset.split("/")[0] == dataset and question.kind in LABELLED and question.gold
    ]
    golds: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for question in asked:
        golds[question.dataset][label(question.gold)] += 1
    found = []
    for question in asked:
        context, answers = contexts[question.context_id], golds[question.dataset]
        if not context.held_out or len(answers) == 1:
            continue
        options = in_order(answers)
        found.append(
            Choice(
                question.dataset,
                domain,
                cut(context.text, tokenize),
                question.text,
                options,
                options.index(label(question.gold)),
                max(answers.values()) / answers.total(),
            )
        )
    return found


def truthful(data: Path, generator: random.Random) -> list[Choice]:
    """TruthfulQA: the best answer and the wrong ones, some of which are empty, in an order drawn by the
    generator.
    """
    found = []
    for row in read_rows(data / "general_qa.jsonl.gz"):
        if row["dataset"] != "TruthfulQA":
            continue
        options = tuple(dict.fromkeys((row["gold"], *filter(None, row["meta"]["incorrect"]))))
        options = tuple(generator.sample(options, len(options)))
        right = options.index(row["gold"])
        found.append(Choice("TruthfulQA", "general", "", row["question"], options, right, 1 / len(options)))
    return found


def label(gold: str) -> str:
    """As an answer begins: with a capital."""
    return gold[:1].upper() + gold[1:]


def in_order(answers: Sequence[str] | Counter[str]) -> tuple[str, ...]:
    """Yes, no and maybe in this order, then the others by the alphabet."""
    known = [name for name in FIRST if name in answers]
    return (*known, *sorted(set(answers) - set(known)))


def cut(text: str, tokenize: Callable[[str], Tokens]) -> str:
    """At most the first PASSAGE_TOKENS tokens."""
    offsets = tokenize(text).offsets
    return text if len(offsets) <= PASSAGE_TOKENS else text[: offsets[PASSAGE_TOKENS - 1][1]]


def in_turn(
    rows: Sequence[Drawn], of: Callable[[Drawn], str], limit: int, generator: random.Random
) -> list[Drawn]:
    """`limit` of the rows, drawn by the generator from each task in turn. of: a row's task."""
    turns: Counter[str] = Counter()
    drawn = []
    for row in generator.sample(rows, len(rows)):
        drawn.append((turns[of(row)], row))
        turns[of(row)] += 1
    return [row for _, row in sorted(drawn, key=lambda each: each[0])[:limit]]


def likeliest(scores: Sequence[npt.NDArray[np.float32]], options: Sequence[str]) -> int:
    """Index of the option to choose. scores: (tokens,) log-probabilities of each option, in nats."""
    alike = len({len(score) for score in scores}) == 1
    values = [
        float(score.sum()) / (1 if alike else len(option))
        for score, option in zip(scores, options, strict=True)
    ]
    return int(np.argmax(values))


def choose(engine: Engine, row: Choice, *, memory: bool) -> int:
    """Index of the option that the engine finds likeliest. memory: the passage is read as memories."""
    options = "\n".join(f"- {option}" for option in row.options)
    question = f"{row.question}\nAnswer with one of:\n{options}"
    if row.passage and not memory:
        question = f"{row.passage}\n\n{question}"
    messages = [Message("system", profile(row.domain).system), Message("user", question)]
    memories_for = written(engine, row.passage) if memory else None
    scores = [engine.score(messages, option, memories_for).log_probabilities for option in row.options]
    return likeliest(scores, row.options)


def written(engine: Engine, passage: str) -> MemoriesFor:
    """The passage as memories, all of them for every stretch."""
    ids = engine.tokenize(passage).ids[:PASSAGE_TOKENS]
    references = [ids[i : i + BODY_TOKENS] for i in range(0, len(ids), BODY_TOKENS)]
    memories = [KeyedMemory(i, memory) for i, memory in enumerate(engine.write(references))]
    return lambda chunk: memories


def difference(base: Sequence[bool], adapted: Sequence[bool]) -> dict[str, Any]:
    """Adapted minus base in points of accuracy, and the standard error of that mean of the pairs'
    differences; None for a single pair, which has none.
    """
    gaps = np.array(adapted, dtype=float) - np.array(base, dtype=float)
    error = float(gaps.std(ddof=1)) / math.sqrt(len(gaps)) if len(gaps) > 1 else None
    return {
        "adapted_minus_base": round(100 * float(gaps.mean()), 2),
        "standard_error": None if error is None else round(100 * error, 2),
        "n": len(gaps),
    }


def main() -> None:
    from engine import loading
    from engine.torch_engine import TorchEngine

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--adapter", default=os.environ.get("ATTEST_ADAPTER", "auto"))
    parser.add_argument("--limit", type=int, default=150, help="rows of a family")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", action="store_true", help="read passages as memories, not as text")
    arguments = parser.parse_args()
    adapter = chosen(arguments.adapter, DEFAULT_MODEL)
    if adapter is None:
        parser.error("there is no adapter to compare the base with; give --adapter FOLDER")
    cache = Path(tempfile.gettempdir()) / "attest-models"
    engines = {
        name: TorchEngine(loading.load(adapter=merged, cache=cache))
        for name, merged in (("base", None), ("adapted", adapter))
    }
    tokenize = engines["base"].tokenize
    generator = random.Random(arguments.seed)
    families = {
        "LegalBench": labelled(arguments.data, "legal", "LegalBench", tokenize),
        "PubMedQA": labelled(arguments.data, "medical", "PubMedQA-L", tokenize),
        "TruthfulQA": truthful(arguments.data, generator),
    }
    right: dict[str, list[bool]] = {name: [] for name in engines}
    for family, rows in families.items():
        fit = [row for row in rows if row.passage or not arguments.memory]
        asked = in_turn(fit, lambda row: row.task, arguments.limit, generator)
        for name, engine in engines.items() if asked else ():
            judged = [choose(engine, row, memory=arguments.memory) == row.right for row in asked]
            right[name] += judged
            figures = {
                "tasks": family,
                "model": name,
                "passage": "memory" if arguments.memory else "text",
                "accuracy": round(float(np.mean(judged)), 4),
                "chance": round(float(np.mean([row.chance for row in asked])), 4),
                "n": len(asked),
            }
            print(json.dumps(figures), flush=True)
    print(json.dumps({"adapter": adapter.name, **difference(right["base"], right["adapted"])}))


if __name__ == "__main__":
    main()
