"""One engine's memories in one store: numbers for the engine, codes on the disk where its format says so.

With codec "pq" memories lie in int8 until `compress` has trained a codebook from them; from then on what is
written is coded at once, and what still lies in int8 is coded while it is read. So at any time a memory reads
as the same numbers, whichever process wrote it and whether or not it has been coded on the disk yet.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from engine.format import Fingerprint
from engine.memory import ExplicitMemory
from storage.errors import CodebookDamaged, MemoryCorrupt
from storage.store import Store

if TYPE_CHECKING:  # it needs torch, for which a page that is being started should not wait
    from engine.codebook import Codebook

STEP = 64  # memories that are coded at a time, into one shard

Arrays = Mapping[str, npt.NDArray[Any]]


class MemoryBank:
    """Memories of the references of `store` for engines of one fingerprint. Safe to share between threads."""

    def __init__(self, store: Store, fingerprint: Fingerprint) -> None:
        self.stored = store.banks.open(fingerprint.id, fingerprint.to_json())
        self.codes = fingerprint.format.codec == "pq"
        self._codebooks, self.fingerprint_id = store.codebooks, fingerprint.id
        self._codebook: Codebook | None = None
        self._lock = threading.Lock()

    def codebook(self) -> "Codebook | None":
        """None as long as there is none, or if the format needs none.

        Raises CodebookDamaged, MemoryMismatch.
        """
        if not self.codes:
            return None
        with self._lock:
            if self._codebook is None:
                from engine.codebook import Codebook

                arrays = self._codebooks.read(self.fingerprint_id)
                self._codebook = None if arrays is None else Codebook.from_arrays(arrays)
            return self._codebook

    def write(self, memories: Sequence[tuple[int, ExplicitMemory]]) -> int:
        """See `storage.bank.Bank.write`."""
        codebook = self.codebook()
        return self.stored.write(
            [
                (key, memory.to_arrays() if codebook is None else codebook.code(memory))
                for key, memory in memories
            ]
        )

    def read(self, reference_ids: Sequence[int]) -> dict[int, ExplicitMemory]:
        """Memories of those references that have one.

        Raises MemoryCorrupt, CodebookDamaged, MemoryMismatch, StoreUnavailable.
        """
        found = self.stored.read(reference_ids)
        codebook = self.codebook()
        return {key: _memory(arrays, codebook) for key, arrays in found.items()}

    def compress(self, report: Callable[[int, int], None] = lambda done, total: None) -> int:
        """Train the codebook if there is none yet, and code what lies on the disk in int8. Returns how many.

        report: called with how many memories are coded, of how many. Interrupted, it goes on where it
        stopped. Raises ValueError if there are too few memories for a codebook.
        """
        from engine.codebook import is_coded

        references = self.stored.references()
        codebook = self.codebook() or self._train(references)
        coded = 0
        for first in range(0, len(references), STEP):
            report(first, len(references))
            coded += self.stored.recode(
                references[first : first + STEP],
                lambda arrays: (
                    None if is_coded(arrays) else codebook.code(ExplicitMemory.from_arrays(dict(arrays)))
                ),
            )
        report(len(references), len(references))
        return coded

    def unreadable(self) -> list[int]:
        """References whose memories were coded with a codebook that is damaged or gone; all are looked at."""
        if not self.codes:
            return []
        try:
            if self.codebook() is not None:
                return []
        except CodebookDamaged:
            pass
        from engine.codebook import is_coded

        found = []
        for reference in self.stored.references():
            with suppress(MemoryCorrupt):  # `Bank.verify` names those
                found += [key for key, arrays in self.stored.read([reference]).items() if is_coded(arrays)]
        return found

    def discard_damaged(self) -> int:
        """Take out what cannot be read, to be written anew, and a damaged codebook. Returns how many."""
        discarded = self.stored.discard(problem.reference_id for problem in self.stored.verify())
        discarded += self.stored.discard(self.unreadable())
        try:
            self.codebook()
        except CodebookDamaged:
            self._codebooks.discard(self.fingerprint_id)
        return discarded

    def _train(self, references: Sequence[int]) -> "Codebook":
        """From memories of the whole bank, evenly spread."""
        from engine.codebook import ENOUGH, MINIMUM, train

        if not references:
            raise ValueError("there are no memories yet")
        sample, vectors, taken = [], 0, 0
        order = [references[i] for i in _spread(len(references))]
        while vectors < ENOUGH and taken < len(order):
            found = self.stored.read(order[taken : taken + STEP])
            taken += STEP
            sample += [ExplicitMemory.from_arrays(dict(arrays)) for arrays in found.values()]
            vectors = sum(memory.tokens for memory in sample)
        if vectors < MINIMUM:
            needed = -(-MINIMUM * len(references) // max(vectors, 1))
            raise ValueError(
                f"{len(references)} memories are too few to train a codebook; about {needed} will do"
            )
        self._codebooks.keep(self.fingerprint_id, train(sample).to_arrays())
        codebook = self.codebook()  # another process may have been first
        assert codebook is not None
        return codebook


def _memory(arrays: dict[str, npt.NDArray[Any]], codebook: "Codebook | None") -> ExplicitMemory:
    if codebook is None:
        return ExplicitMemory.from_arrays(arrays)
    from engine.codebook import is_coded

    return codebook.decode(arrays if is_coded(arrays) else codebook.code(ExplicitMemory.from_arrays(arrays)))


def _spread(count: int) -> list[int]:
    """0 .. count - 1, such that every beginning of the list is spread over all of them."""
    bits = max(1, (count - 1).bit_length())
    turned = (int(f"{i:0{bits}b}"[::-1], 2) for i in range(1 << bits))
    return [i for i in turned if i < count]
