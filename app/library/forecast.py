"""What an ingest will take of the disk and of time, before it starts.

Files and bytes are counted; passages are estimated from the bytes, by what documents of a kind hold; the size
of a memory is the mean of the newest bank, and not known before the first one is written; time is what the
last documents took here. Refuses only what would clearly not fit: even with half of what is estimated, the
disk would be full.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import AttestError, for_people
from storage.store import Store

# References a byte, over the files of each kind (tests/app/library/test_forecast.py holds them against real
# ones).
PER_BYTE = {".pdf": 1 / 1300, ".docx": 1 / 1200, ".doc": 1 / 1200}
PER_BYTE_OF_TEXT = 1 / 450
TEXT = (".txt", ".md", ".markdown", ".htm", ".html", ".xhtml", ".xml", ".eml", ".csv", ".rtf")
PER_BYTE_OF_OTHERS = 1 / 4000
PASSAGE_BYTES = 8_000  # in the database: text, boxes, words, tokens, vector
SURELY = 0.5  # of an estimate is taken whatever happens


@dataclass(frozen=True)
class Forecast:
    """bytes: of the files. passages: how many references they will be. passage_bytes: of the database.

    memory_bytes: of all their memories; None if the size of one is not known yet. free: on the store's disk.
    seconds: at the pace of the last documents; None if nothing was read here yet.
    """

    files: int
    bytes: int
    passages: int
    passage_bytes: int
    memory_bytes: int | None
    free: int
    seconds: float | None = None

    @property
    def fits(self) -> bool:
        """False if the disk would clearly not do."""
        return self.bytes + SURELY * (self.passage_bytes + (self.memory_bytes or 0)) <= self.free

    def words(self) -> str:
        if self.memory_bytes is None:
            memories = "the size of a memory is known once the first is written"
        elif self.memory_bytes:
            memories = f"about {size(self.memory_bytes)} for their memories"
        else:
            memories = "no memories"
        pace = "" if self.seconds is None else f"; {duration(self.seconds)} at the pace of the last documents"
        return (
            f"{self.files:,} files, {size(self.bytes)}; about {size(self.passage_bytes)} for some "
            f"{self.passages:,} passages, {memories}; {size(self.free)} are free{pace}"
        )


def forecast(store: Store, files: Mapping[Path, int], *, memories: bool) -> Forecast:
    """files: the size of each. memories: whether they will be written."""
    passages = round(sum(count * per_byte(path) for path, count in files.items()))
    each = memory_bytes(store) if memories else 0
    pace = seconds_per_passage(store, memories=memories)
    return Forecast(
        len(files),
        sum(files.values()),
        passages,
        passages * PASSAGE_BYTES,
        None if each is None else passages * each,
        shutil.disk_usage(store.home).free,
        None if pace is None else passages * pace,
    )


def check(expected: Forecast, home: Path) -> None:
    """Raises AttestError if the disk would clearly not do."""
    if not expected.fits:
        raise AttestError(
            f"{home} has not enough room: {expected.words()}. Free some disk, set ATTEST_HOME to another "
            "one, ingest fewer files" + ("" if not expected.memory_bytes else ", or use --no-memories")
        )


def memory_bytes(store: Store) -> int | None:
    """The mean size of a memory in the newest bank that has some; None if there is none."""
    with for_people():
        banks = store.bank_status()
    return next((bank.bytes // bank.memories for bank in banks if bank.memories), None)


def seconds_per_passage(store: Store, *, memories: bool) -> float | None:
    """What the last documents took, with as many workers as there are now; None if there were none."""
    with for_people():
        reading, writing = store.jobs.seconds_per_reference()
        workers = max(len(store.workers.alive()), 1)
    if reading is None or (memories and writing is None):
        return None
    return (reading + (writing or 0.0) * memories) / workers


def per_byte(path: Path) -> float:
    """References that a byte of a file of this kind holds, on average."""
    suffix = path.suffix.lower()
    return PER_BYTE_OF_TEXT if suffix in TEXT else PER_BYTE.get(suffix, PER_BYTE_OF_OTHERS)


def duration(seconds: float) -> str:
    """Seconds for reading: "about 4 min"."""
    if seconds < 90:
        return f"about {max(int(seconds), 1)} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes for reading: "4.2 MB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")
