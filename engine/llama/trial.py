"""`python -m engine.llama.trial MODEL`: compute with a model once, in a process that may die of it.

Code that a compiler got wrong, or that was built for another processor, ends the process with an illegal
instruction, which no exception handler sees; code that unknowingly shares matrix units with torch's does too,
or computes nonsense. So a build is tried out here, before torch computes and after, before the app trusts it.
"""

import hashlib
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from engine.errors import BackendUnavailable

TOKENS = 48  # enough for the matrix code that a single token does not reach
TRIAL_SECONDS = 300.0


def trusted(model: Path, cache: Path) -> None:
    """Return if this build computes with this model; found out once and noted in `cache`.

    Raises BackendUnavailable.
    """
    note = cache / f"trial-{_key(model)}"
    if note.is_file():
        return
    command = [sys.executable, "-m", "engine.llama.trial", str(model)]
    try:
        tried = subprocess.run(
            command, capture_output=True, check=False, timeout=TRIAL_SECONDS, cwd=Path(__file__).parents[2]
        )
    except subprocess.TimeoutExpired:
        raise BackendUnavailable(
            f"llama.cpp did not compute with {model.name} in {TRIAL_SECONDS:g} s; answers come from torch"
        ) from None
    if tried.returncode:
        how = f"signal {-tried.returncode}" if tried.returncode < 0 else f"status {tried.returncode}"
        raise BackendUnavailable(
            f"llama.cpp cannot compute with {model.name} here: a trial run ended with {how}. Delete attest's "
            "cached wheels and run `make install` to compile it again; until then answers come from torch"
        )
    cache.mkdir(parents=True, exist_ok=True)
    note.touch()


def _key(model: Path) -> str:
    """Of what was tried: the release, the compiled library, and the model file."""
    parts = [metadata.version("llama-cpp-python"), str(model.resolve()), str(model.stat().st_mtime_ns)]
    files = metadata.files("llama-cpp-python") or []
    parts += sorted(str(file.hash) for file in files if "ggml" in file.name)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def main() -> None:
    """Entry of the process."""
    import numpy as np
    import torch

    from engine.llama.context import Context, Run
    from engine.llama.model import LlamaModel

    model = LlamaModel(Path(sys.argv[1]))
    context = Context(model, 256, 1, threads=2, flash=False)
    tokens = [token % model.vocabulary_size for token in range(TOKENS)]

    def logits() -> list[Any]:
        context.clear()
        many = context.run([Run(0, 0, tokens, (TOKENS - 1,))])
        return [*many, *context.run([Run(0, TOKENS, tokens[:1], (0,))])]

    before = logits()
    matrix = torch.ones(512, 512, dtype=torch.bfloat16)
    for _ in range(3):
        matrix = torch.nn.functional.linear(matrix, matrix) / 512
    if not all(np.array_equal(one, other) for one, other in zip(before, logits(), strict=True)):
        sys.exit("llama.cpp computes something else once torch has computed in this process")


if __name__ == "__main__":
    main()
