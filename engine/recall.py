"""Which memories a question would look at, without reading them: its queries held against their stored keys.

Internal retrieval (Memory^3, arXiv 2407.01178, remark 2), without any training: for a few heads that are
good at finding, the query of the prompt's last token, from which the answer begins, meets every key of a
memory in its own head. Both are taken before rotation, since all memories take the same positions. What the
head would spend on a memory, up to a factor that all share, is the sum of exponentials; its logarithm is
the head's score.

Which heads find, stands beside the adapter that they were found with, in `recall.json`:
{"adapter": its hash, "heads": [[layer, query head]...], "found": anything}. Knows nothing of stores.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import AdapterInvalid
from engine.memory import ExplicitMemory

FILE = "recall.json"

Heads = tuple[tuple[int, int], ...]


def scores(
    queries: npt.NDArray[np.float32],
    memories: Sequence[ExplicitMemory],
    layers: Sequence[int],
    heads: Heads,
) -> npt.NDArray[np.float32]:
    """(memories, heads). queries: as `Engine.queries` gives them. layers: of the memory format."""
    from engine.codec import decode_here  # with torch, for which opening an adapter should not wait

    query_heads, dim = queries.shape[1], queries.shape[3]
    found = np.empty((len(memories), len(heads)), dtype=np.float32)
    for column, (layer, head) in enumerate(heads):
        row = layers.index(layer)
        query = queries[row, head, -1] / math.sqrt(dim)
        for i, memory in enumerate(memories):
            own = head * memory.keys.shape[1] // query_heads  # the key-value head of this query head
            scales = None if memory.key_scales is None else memory.key_scales[row, own]
            logits = decode_here(memory.keys[row, own], scales) @ query
            highest = logits.max()
            found[i, column] = highest + np.log(np.exp(logits - highest).sum())
    return found


def save(folder: Path, adapter: str, heads: Heads, found: dict[str, Any]) -> None:
    """Into an adapter's folder. adapter: its hash. found: how, for people."""
    data = {"adapter": adapter, "heads": [list(each) for each in heads], "found": found}
    partial = folder / f"{FILE}.part"
    partial.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / FILE)


def opened(folder: Path, adapter: str) -> Heads:
    """Those of an adapter's folder; none if it has none, or if they were found with another adapter.

    Raises AdapterInvalid if the file is damaged.
    """
    file = folder / FILE
    if not file.exists():
        return ()
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        heads = tuple((int(layer), int(head)) for layer, head in data["heads"])
        belongs = str(data["adapter"]) == adapter
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdapterInvalid(f"{file} cannot be read ({error}); remove it, or find the heads anew") from error
    return heads if belongs else ()
