"""Below which cosine is nothing retrieved about the question? What SUPPORTED_COSINE rests on.

Questions about the library's contexts should be answered, questions about other contexts should not. For
each threshold: the share of the first that is answered, of the second that is declined, and their mean.

    python -m tests.bench.support --data ../shared/data
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from engine import loading
from engine.embedding import SentenceEmbedder
from engine.torch_engine import TorchEngine
from tests.bench.library import build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    engine = TorchEngine(loading.load(cache=Path(tempfile.gettempdir()) / "attest-models"))
    embedder = SentenceEmbedder()
    library = build(arguments.data, engine, embedder, arguments.questions, arguments.seed)
    queries = embedder.embed([asked.question for asked in library.asked])
    best = (queries @ library.vectors.T).max(axis=1)
    inside = np.array([asked.reference is not None for asked in library.asked])
    for threshold in (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55):
        answered = float((best[inside] >= threshold).mean())
        declined = float((best[~inside] < threshold).mean())
        print(
            json.dumps(
                {
                    "threshold": threshold,
                    "answered": round(answered, 3),
                    "declined": round(declined, 3),
                    "balanced_accuracy": round((answered + declined) / 2, 3),
                    "n": len(best),
                }
            )
        )


if __name__ == "__main__":
    main()
