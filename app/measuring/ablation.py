"""What an answer reads of each of its memories, and what it loses without them.

The answer is known and teacher-forced: with all memories, without each one, and without random subsets, by
the engine's own call for what the product shows as needed.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence

from app.answering.memories import MemorySource
from app.measuring.faithfulness import Measured
from app.measuring.planting import Planted
from app.profiles import profile
from engine.protocol import Engine, KeyedMemory, MemoryMass, Message, Score

SUBSETS = 8  # for each question, of the 32 of five memories


def measured(
    engine: Engine, memories: MemorySource, questions: Iterable[Planted], seed: int
) -> Iterator[Measured]:
    """One for each question, in order. Raises the engine's and the store's errors."""
    generator = random.Random(seed)
    for each in questions:
        keyed = memories.get(each.rows)
        keys = [one.key for one in keyed]
        drawn = generator.sample(range(2 ** len(keys)), SUBSETS)  # each memory with probability one half
        kept = [tuple(i for i in range(len(keys)) if subset >> i & 1) for subset in drawn]
        left_out = [[key for i, key in enumerate(keys) if i not in subset] for subset in kept]
        asked = messages(each.question.text)

        def memories_for(_: object, keyed: list[KeyedMemory] = keyed) -> list[KeyedMemory]:
            return keyed

        score = engine.score(asked, each.answer, memories_for)
        needed = engine.needed(asked, each.answer, memories_for, [*([key] for key in keys), *left_out])
        without = needed.without.sum(axis=1)  # (groups,)
        yield Measured(
            place=each.place,
            weighted=_reads(score, keys, lambda mass: mass.weighted),
            plain=_reads(score, keys, lambda mass: mass.attention),
            retrieval=each.retrieval,
            needed=tuple((needed.log_probabilities.sum() - without[: len(keys)]).tolist()),
            kept=tuple(kept),
            log_probabilities=tuple(without[len(keys) :].tolist()),
        )


def messages(question: str) -> list[Message]:
    """What the product asks under the general profile."""
    return [Message("system", profile("general").system), Message("user", question)]


def _reads(score: Score, keys: Sequence[int], share: Callable[[MemoryMass], float]) -> tuple[float, ...]:
    """The share of attention on each memory, over the whole answer."""
    shares = dict.fromkeys(keys, 0.0)
    for read in score.reads:
        part = (read.to_token - read.from_token) / len(score.log_probabilities)
        for mass in read.memories:
            shares[mass.key] += share(mass) * part
    return tuple(shares.values())
