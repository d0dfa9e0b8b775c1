"""An answer as stretches of tokens that read the same memories: what decoding did, and attention repeats.

The walk is that of `engine.decode`: each 64-token chunk of the prompt reads its own memories, the first
generated stretch inherits those of the last chunk, and every 64 generated tokens the last 64 ask anew.
Neighbouring chunks with the same memories are one segment.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.format import CHUNK_TOKENS
from engine.protocol import Chunk, KeyedMemory, MemoriesFor


@dataclass(frozen=True)
class Segment:
    """Tokens that read `memories` (at most five, each key once)."""

    tokens: tuple[int, ...]
    memories: tuple[KeyedMemory, ...]


def ask(memories_for: MemoriesFor | None, chunk: Chunk) -> tuple[KeyedMemory, ...]:
    """The caller's memories for a chunk, each key once."""
    if memories_for is None:
        return ()
    return tuple({keyed.key: keyed for keyed in memories_for(chunk)}.values())


def prompt_segments(
    prompt: Sequence[int], memories_for: MemoriesFor | None, text: Callable[[list[int]], str]
) -> list[Segment]:
    """The prompt's segments; without memories it is one."""
    if memories_for is None:
        return [Segment(tuple(prompt), ())]
    segments: list[Segment] = []
    for index, first in enumerate(range(0, len(prompt), CHUNK_TOKENS)):
        ids = tuple(prompt[first : first + CHUNK_TOKENS])
        memories = ask(memories_for, Chunk(index, "prompt", text(list(ids))))
        if segments and _keys(segments[-1].memories) == _keys(memories):
            segments[-1] = Segment(segments[-1].tokens + ids, segments[-1].memories)
        else:
            segments.append(Segment(ids, memories))
    return segments


def answer_segments(answer: Sequence[int], stretches: Sequence[tuple[KeyedMemory, ...]]) -> list[Segment]:
    """The tokens of an answer that are processed in each of its stretches.

    The last token of a stretch is processed in the next one, whose first token it predicts; the very last
    token predicts nothing.
    """
    segments = []
    for i, memories in enumerate(stretches):
        first, end = max(0, i * CHUNK_TOKENS - 1), min((i + 1) * CHUNK_TOKENS, len(answer)) - 1
        segments.append(Segment(tuple(answer[first:end]), memories))
    return segments


def joined(begin: Segment, rest: Sequence[Segment]) -> list[Segment]:
    """All of them in order, `begin` in one with the first of the rest if both read the same memories."""
    if rest and _keys(begin.memories) == _keys(rest[0].memories):
        return [Segment(begin.tokens + rest[0].tokens, begin.memories), *rest[1:]]
    return [begin, *rest]


def _keys(memories: Sequence[KeyedMemory]) -> list[int]:
    return [keyed.key for keyed in memories]
