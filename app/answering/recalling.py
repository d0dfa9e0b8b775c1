"""Of what the search finds, what the model itself would look at: its own queries order the candidates.

The question is read once, without documents; the queries of its last token, of the few heads that are good
at finding (`engine.recall`), are held against the keys of the candidates' memories. Each head's scores and
the search's own are brought to mean 0 and deviation 1 over the candidates and added up, the heads together
weighing `WEIGHT` of the search. Which heads, and the weight, were chosen on questions about documents that
the figures never see (tests/bench/retrieval.py).

A candidate whose memory is not written yet keeps the place that the search gives it: writing one takes as
long as the whole answer's start, and the worker will have written it soon. Without a single memory nothing
is read.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine import recall
from engine.protocol import Engine, KeyedMemory, Message
from engine.recall import Heads
from storage.records import ReferenceRow

CANDIDATES = 20
WEIGHT = 2.0
_FLAT = 1e-6  # deviations below it tell nothing


def ordered(
    engine: Engine,
    keyed: Sequence[KeyedMemory],
    messages: Sequence[Message],
    rows: Sequence[ReferenceRow],
    scores: Sequence[float],
) -> list[int]:
    """Indices of `rows`, best first. scores: the search's own. messages: the prompt without documents.

    keyed: memories of those rows that have one, by the row's id.
    """
    found = np.array(scores, dtype=np.float64)
    combined = standard(found)
    heads = usable(engine)
    if heads and keyed and len(rows) > 1:
        queries = engine.queries(messages)
        held = [each.memory for each in keyed]
        drawn = recall.scores(queries, held, engine.format.layers, heads)
        at = {row.id: i for i, row in enumerate(rows)}
        combined[[at[each.key] for each in keyed]] += WEIGHT * standard(drawn).mean(axis=1)
    return sorted(range(len(rows)), key=lambda i: (-combined[i], i))


def usable(engine: Engine) -> Heads:
    """The heads that find, as far as this engine's memories have their layers."""
    return tuple(each for each in engine.info.recall if each[0] in engine.format.layers)


def standard(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """With mean 0 and deviation 1 along the first axis; 0 where all are alike."""
    centred = values.astype(np.float64) - values.mean(axis=0)
    deviation = centred.std(axis=0)
    return np.where(deviation > _FLAT, centred / np.maximum(deviation, _FLAT), 0.0)
