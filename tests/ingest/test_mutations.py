"""Good files, cut off or with bytes changed: each is read or refused with a reason, within its limits."""

import resource
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from ingest.document import DocumentInfo, Page
from ingest.errors import UnreadableDocument
from ingest.limits import Limits
from ingest.sandbox import read
from tests.ingest import make_office as make
from tests.ingest.make_pdf import make_pdf, text_sheet

LIMITS = Limits(memory_bytes=768 * 2**20, seconds=120, total_seconds=30)
_GRACE_SECONDS = 2  # the kernel looks at the processor time about once a second

GOOD: dict[str, Callable[[], bytes]] = {
    "a.pdf": lambda: make_pdf(*(text_sheet(f"Page {i}", "The tenant pays. " * 20) for i in range(3))),
    "a.docx": make.word,
    "a.eml": make.eml,
    "a.xlsx": lambda: make.excel({"S": [["Name", "Fee"], *([f"n{i}", i] for i in range(20))]}),
    "a.rtf": lambda: make.RTF,
    "a.odt": make.odt,
    "a.pptx": make.slides,
    "a.epub": make.epub,
    "a.doc": lambda: make.doc([("Terms\r", 1, b""), ("One\x07", 0, b"\x16\x24\x01"), ("End.\r", 0, b"")]),
}


def mutation(good: bytes, random: Random, is_cut: bool) -> bytes:
    if is_cut:
        return good[: random.randrange(1, len(good))]
    changed = bytearray(good)
    for _ in range(random.choice((1, 4, 16, 64))):
        changed[random.randrange(len(good))] ^= random.randrange(1, 256)
    return bytes(changed)


def outcome(path: Path) -> str:
    """ "read", or the class of the reason; the file may use no more than its limits."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        items = list(read(path, limits=LIMITS))
        assert isinstance(items[0], DocumentInfo)
        assert any(isinstance(item, Page) and item.text.strip() for item in items)
        found, reason = "read", path.name
    except UnreadableDocument as error:
        found, reason = type(error).__name__, str(error)
    assert reason.startswith(path.name)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds <= LIMITS.total_seconds + _GRACE_SECONDS
    assert after.ru_maxrss * 1024 <= max(before.ru_maxrss * 1024, LIMITS.memory_bytes)
    return found


@pytest.mark.parametrize("name", GOOD)
def test_a_few_mutations_of_each_format(keep, name: str) -> None:
    random, good = Random(f"few {name}"), GOOD[name]()
    assert outcome(keep(name, good)) == "read"
    for is_cut in (True, False):
        outcome(keep(name, mutation(good, random, is_cut)))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.eml"])
def test_two_hundred_mutations(keep, name: str) -> None:
    random, good = Random(f"many {name}"), GOOD[name]()
    found = Counter(outcome(keep(name, mutation(good, random, at % 2 == 0))) for at in range(200))
    print(f"{name}: {dict(found)}")
    assert found.total() == 200
    assert found["ReaderCrashed"] + found["ReaderTimeout"] == 0  # handled, but today's parsers need neither
