"""Real documents, and files made to break PDF readers: each is read or refused with a reason."""

import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from engine.fake import FakeEmbedder, FakeEngine
from ingest import errors, sandbox
from ingest.document import Read
from ingest.geometry import rectangles
from ingest.limits import DEFAULT_LIMITS, Limits
from ingest.pipeline import Pipeline
from ingest.unlocking import unlock
from storage.records import FINISHED
from storage.store import Store
from tests.ingest.conftest import Reading

# What a file may be; a crash or a timeout would be handled, but today's parsers need neither.
EXPLAINED = (
    errors.DamagedFile,
    errors.NoText,
    errors.NoPages,
    errors.EmptyFile,
    errors.PasswordRequired,
    errors.UnsupportedFormat,
)


def outcomes(paths: Iterable[Path], limits: Limits) -> Counter[str]:
    found: Counter[str] = Counter()
    for path in paths:
        try:
            outcome, message = "read", path.name + Reading(path, limits=limits).text
        except EXPLAINED as error:
            outcome, message = type(error).__name__, str(error)
        assert message.startswith(path.name)
        message.encode()
        found[outcome] += 1
    return found


def test_a_few_documents_of_each_kind(shared_data: Path) -> None:
    legal, medical = shared_data / "documents" / "legal", shared_data / "documents" / "medical"
    for path in (
        legal / "contract_TUNIUCORP_03_06_2014-EX-10-COOPERATION_AGREEMENT.pdf",
        legal / "doj_ust_chapter13_trustee_handbook_1p.docx",
        medical / "fda_NDA_BLA_Refuse_to_File.pdf",
    ):
        reading = Reading(path)
        assert len(reading.text) > 3000
        assert reading.headings


def test_an_old_word_document(shared_data: Path) -> None:
    reading = Reading(shared_data / "documents" / "legal" / "discharge_review_board.doc")
    assert reading.info.title == "ATTORNEYS FOR APPELLANT"
    for words in (
        "No. 49S00-0308-DP-392\n\nState of Indiana,\n\nAppellant (Plaintiff below),\n\nv.\n\nCharles Barker,",
        "unconstitutional under Section 19.",
        "Shepard, C.J., and Sullivan and Boehm, JJ., concur.",
        "separation of powers doctrine under Article 3",  # of its footnote
    ):
        assert words in reading.text
    assert "HYPERLINK" not in reading.text
    assert all(character.isprintable() or character in "\n\t" for character in reading.text)


def test_passages_are_marked_exactly(shared_data: Path) -> None:
    path = (
        shared_data / "documents" / "legal" / "contract_TUNIUCORP_03_06_2014-EX-10-COOPERATION_AGREEMENT.pdf"
    )
    page = Reading(path).pages[1]
    assert page.boxes is not None
    middle = (page.boxes[:, :2] + page.boxes[:, 2:]) / 2
    ink = np.array([not c.isspace() for c in page.text]) & ~np.isnan(middle[:, 0])
    for start in range(0, len(page.text) - 200, 97):
        inside = np.zeros(len(ink), dtype=bool)
        for x0, y0, x1, y1 in rectangles(page.boxes, start, start + 200):
            inside |= (middle >= (x0, y0)).all(axis=1) & (middle <= (x1, y1)).all(axis=1)
        wanted = np.zeros(len(ink), dtype=bool)
        wanted[start : start + 200] = True
        assert (inside[ink] == wanted[ink]).all()


class Recorder:
    """Reads through the real sandbox, and notes how each reading ended and how long it took."""

    def __init__(self) -> None:
        self.reason = ""
        self.seconds: list[float] = []

    def read(self, path: Path) -> Read:
        started, self.reason = time.monotonic(), ""
        try:
            yield from sandbox.read(path)
        except errors.UnreadableDocument as error:
            self.reason = type(error).__name__
            raise
        finally:
            self.seconds.append(time.monotonic() - started)


def hungriest_child() -> int:
    """Bytes resident at the peak of the hungriest process that has ended, whichever test started it."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def ingest_all(store: Store, paths: Iterable[Path]) -> Counter[tuple[str, str]]:
    """Ingest every file, and check that each has a status, and a reason where it is not ready.

    Returns how often each status came with which kind of reason, and prints it; a file that is there twice
    counts once.
    """
    recorder, before = Recorder(), hungriest_child()
    pipeline = Pipeline(store, FakeEngine(), FakeEmbedder(), "w", read=recorder.read)
    found: Counter[tuple[str, str]] = Counter()
    for path in paths:
        document, created = store.documents.add(path, "law", memories=False)
        while job := store.jobs.claim("w"):
            pipeline.run(job)
        if not created:
            continue
        document = store.documents.get(document.id)
        assert document.status in FINISHED, path
        assert (document.status == "failed") == (document.error is not None), path
        reason = recorder.reason
        if document.error is not None:
            assert document.error.startswith(path.name)
            assert reason in {kind.__name__ for kind in EXPLAINED}, (path, document.error)
        elif document.status == "partial":
            assert any(warning.page for warning in document.warnings), path
            reason = "a warning"
        found[document.status, reason] += 1
    peak = hungriest_child()
    assert peak <= max(before, DEFAULT_LIMITS.memory_bytes)
    for (status, reason), count in sorted(found.items()):
        print(f"{count:5}  {status:8}  {reason}")
    median, most, longest = np.quantile(recorder.seconds, [0.5, 0.95, 1.0])
    print(f"{len(recorder.seconds)} readings: p50 {median:.2f} s, p95 {most:.2f} s, longest {longest:.1f} s")
    print(f"the hungriest reading process took {peak / 2**20:.0f} MiB")
    return found


def test_a_few_files_made_to_break_readers(store: Store, shared_data: Path) -> None:
    paths = sorted((shared_data / "nasty_pdfs").glob("*/*.pdf"))[::60]
    assert sum(ingest_all(store, paths).values()) == len(paths)


@pytest.mark.slow
def test_all_documents(shared_data: Path) -> None:
    paths = sorted((shared_data / "documents").glob("*/*.*"))
    found = outcomes(paths, Limits(seconds=30))
    assert found["NoText"] <= 5  # scanned court pages
    assert found["read"] + found["NoText"] == len(paths)


def plain(text: str) -> str:
    """Without white space, and with the typewriter's quotes and hyphens that the reference texts have."""
    return "".join(text.translate(str.maketrans("“”’‘\xad", "\"\"''-")).split())


@pytest.mark.slow
def test_contracts_match_their_reference_texts(shared_data: Path) -> None:
    for reference in sorted((shared_data / "documents" / "legal").glob("contract_*.txt")):
        pdf = reference.with_suffix(".pdf")
        if pdf.exists():
            wanted = Counter(plain(reference.read_text(encoding="utf-8")))
            found = Counter(plain(Reading(pdf).text))
            assert (wanted & found).total() > 0.999 * max(wanted.total(), found.total())


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_files_made_to_break_readers(store: Store, shared_data: Path) -> None:
    paths = sorted(path for path in (shared_data / "nasty_pdfs").glob("*/*") if path.is_file())
    found = ingest_all(store, paths)
    assert found["ready", ""] + found["partial", "a warning"] > 0.5 * len(paths)


@pytest.mark.slow
def test_known_passwords_open(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "nasty_pdfs"
    known = json.loads((folder / "PASSWORDS.json").read_text())
    passwords = {name: password for name, password in known.items() if (folder / name).exists()}
    opened = 0
    for name, password in passwords.items():
        copy = tmp_path / Path(name).name
        with copy.open("wb") as file:
            locked = unlock(folder / name, ["not this one", password], file)
        try:
            reading = Reading(copy if locked else folder / name)
        except errors.NoText:
            opened += 1
            continue
        assert reading.info.encrypted is not locked
        opened += 1
    print(f"{opened} of {len(passwords)} locked files open ({len(known)} passwords are known)")
    assert opened == len(passwords) > 0
