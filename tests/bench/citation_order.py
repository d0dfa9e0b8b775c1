"""Which of the five passages that were read should be cited first? What app.evidence.attribution rests on.

For questions whose reference is among the five nearest by cosine, the model answers from the five memories;
the share of questions for which each rule puts the right reference first is printed.

    python -m tests.bench.citation_order --data ../shared/data
"""

import argparse
import json
import math
import tempfile
from pathlib import Path

import numpy as np

from app.evidence.attribution import COSINE_SHARPNESS
from engine.embedding import SentenceEmbedder
from engine.opening import open_engine
from engine.protocol import GenerateOptions, KeyedMemory, Message, Read
from engine.registry import DEFAULT_MODEL
from tests.bench.library import build
from tests.bench.memory_format import SYSTEM, reference_ids

TOKENS = 24
SHARPNESSES = sorted({2.0, 4.0, COSINE_SHARPNESS, 12.0, 16.0})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=90)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--format", default="default")
    arguments = parser.parse_args()
    cache = Path(tempfile.gettempdir()) / "attest-models"
    engine = open_engine(DEFAULT_MODEL, memory_format=arguments.format, cache=cache)
    embedder = SentenceEmbedder()
    library = build(arguments.data, engine, embedder, arguments.questions, arguments.seed)
    first: dict[str, list[bool]] = {}
    for asked in library.asked:
        cosines = library.vectors @ embedder.embed([asked.question])[0]
        top = np.argsort(-cosines)[:5].tolist()
        if asked.reference not in top:
            continue
        written = engine.write([reference_ids(engine, *library.references[i]) for i in top])
        keyed = [KeyedMemory(i, memory) for i, memory in zip(top, written, strict=True)]
        messages = [Message("system", SYSTEM), Message("user", asked.question)]
        events = engine.generate(messages, lambda chunk, k=keyed: k, GenerateOptions(TOKENS, 1.1))
        reads = [event for event in events if isinstance(event, Read)]
        if not reads:
            continue
        attention = {mass.key: mass.attention for mass in reads[0].memories}
        weighted = {mass.key: mass.weighted for mass in reads[0].memories}
        by_attention = sorted(top, key=lambda i: -attention[i])
        rules = {
            "cosine": top[0],
            "attention": by_attention[0],
            "head-weighted attention": max(top, key=lambda i: weighted[i]),
            "reciprocal rank fusion": min(
                top, key=lambda i: -1 / (1 + top.index(i)) - 1 / (1 + by_attention.index(i))
            ),
        }
        for sharpness in SHARPNESSES:
            rules[f"attention x exp({sharpness} x cosine)"] = max(
                top, key=lambda i, s=sharpness: attention[i] * math.exp(s * float(cosines[i]))
            )
            rules[f"head-weighted attention x exp({sharpness} x cosine)"] = max(
                top, key=lambda i, s=sharpness: weighted[i] * math.exp(s * float(cosines[i]))
            )
        for rule, chosen in rules.items():
            first.setdefault(rule, []).append(chosen == asked.reference)
    for rule, right in first.items():
        print(json.dumps({"rule": rule, "n": len(right), "right_first": round(float(np.mean(right)), 3)}))


if __name__ == "__main__":
    main()
