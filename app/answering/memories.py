"""From retrieved references to memories in the engine's hands: RAM, else disk, else written now.

A reference whose memory the worker has not written yet is written the first time it is retrieved, and kept
(cold start; Memory^3, section 3.1). What is read back is always what the bank stores, so that a cold memory
and a warm one are the same numbers.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence

from engine.memory import ExplicitMemory
from engine.protocol import Engine, KeyedMemory
from ingest.bank import MemoryBank
from storage.errors import MemoryCorrupt
from storage.records import ReferenceRow

log = logging.getLogger(__name__)

RESIDENT = 64  # memories kept in RAM; neighbouring chunks retrieve the same references again


class MemorySource:
    """Memories of one bank for one engine. Safe to share between threads."""

    def __init__(self, bank: MemoryBank, engine: Engine) -> None:
        self._bank, self._engine = bank, engine
        self._codebook = bank.codebook()
        self._resident: OrderedDict[int, ExplicitMemory] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, references: Sequence[ReferenceRow]) -> list[KeyedMemory]:
        """Memories of `references`, in their order; a reference deleted meanwhile is left out."""
        codebook = self._bank.codebook()
        with self._lock:
            if codebook is not self._codebook:  # trained meanwhile: memories are other numbers now
                self._codebook = codebook
                self._resident.clear()
            found = {row.id: self._resident[row.id] for row in references if row.id in self._resident}
        missing = [row for row in references if row.id not in found]
        if missing:
            stored = self._from_bank(missing)
            found |= stored
            self._keep(stored, references)
        return [KeyedMemory(row.id, found[row.id]) for row in references if row.id in found]

    def written(self, references: Sequence[ReferenceRow]) -> list[KeyedMemory]:
        """Memories of those of `references` that have one already, in their order; nothing is written."""
        with self._lock:
            found = {row.id: self._resident[row.id] for row in references if row.id in self._resident}
        missing = [row.id for row in references if row.id not in found]
        try:
            stored = self._bank.read(missing)
        except MemoryCorrupt as error:  # `get` writes them anew if they are read
            log.warning("%s", error)
            stored = {}
        found |= stored
        self._keep(stored, references)
        return [KeyedMemory(row.id, found[row.id]) for row in references if row.id in found]

    def _keep(self, stored: dict[int, ExplicitMemory], used: Sequence[ReferenceRow]) -> None:
        """In RAM, those that were used longest ago making room."""
        with self._lock:
            self._resident.update(stored)
            for row in used:
                if row.id in self._resident:
                    self._resident.move_to_end(row.id)
            while len(self._resident) > RESIDENT:
                self._resident.popitem(last=False)

    def forget(self) -> None:
        """Drop what is in RAM: something was deleted."""
        with self._lock:
            self._resident.clear()

    def _from_bank(self, rows: Sequence[ReferenceRow]) -> dict[int, ExplicitMemory]:
        ids = [row.id for row in rows]
        try:
            found = self._bank.read(ids)
        except MemoryCorrupt as error:
            # the text is intact, so the damaged memories are simply written again
            log.warning("%s", error)
            self._bank.stored.discard(error.reference_ids)
            found = self._bank.read(ids)
        cold = [row for row in rows if row.id not in found]
        if cold:
            started = time.monotonic()
            written = self._engine.write([row.token_ids.tolist() for row in cold])
            self._bank.write([(row.id, memory) for row, memory in zip(cold, written, strict=True)])
            found |= self._bank.read([row.id for row in cold])
            log.info("wrote %d cold memories in %.2f s", len(cold), time.monotonic() - started)
        return found
