"""How references share the batches in which memories are written. Imports nothing heavy."""

from collections.abc import Iterator, Sequence

# room for the five references of a cold start in one batch, and enough to keep matrix units busy: 1,024 rows
# take as long as 1,536 in the products of the default model here (docs/log.md)
PACK_TOKENS = 1536


def packs(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of references in their order, as many to a batch as fit."""
    pack: list[int] = []
    room = PACK_TOKENS
    for i, length in enumerate(lengths):
        if length > room:
            yield pack
            pack, room = [], PACK_TOKENS
        pack.append(i)
        room -= length
    if pack:
        yield pack
