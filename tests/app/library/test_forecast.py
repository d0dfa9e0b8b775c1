"""What an ingest will take: counted, estimated, said, and refused only where it clearly will not fit."""

from collections import namedtuple
from pathlib import Path

import pytest

from app.library import forecast as forecasting
from app.library.folders import stamp_of
from app.library.forecast import SURELY, forecast, per_byte
from app.library.ingesting import IngestOptions, Intake
from app.service import Service
from ingest.document import Page
from ingest.errors import UnreadableDocument
from ingest.limits import Limits
from ingest.sandbox import read
from tests.app.conftest import DOSE, LEASE, LONG, add, attest

pytestmark = pytest.mark.usefixtures("fake_model")

Usage = namedtuple("Usage", "total used free")
CHARACTERS = 430  # of a reference of prose, about


def free(monkeypatch: pytest.MonkeyPatch, count: float) -> None:
    monkeypatch.setattr(forecasting.shutil, "disk_usage", lambda path: Usage(0, 0, int(count)))


def test_memories_are_counted_by_the_size_of_those_that_are_there(service: Service, keep) -> None:
    files = {keep("a.md", LEASE): 45_000, Path("b.pdf"): 130_000}
    expected = forecast(service.store, files, memories=True)
    assert (expected.files, expected.bytes, expected.memory_bytes) == (2, 175_000, None)
    assert expected.passages == 200
    assert "known once the first is written" in expected.words()
    add(service, keep("a.md", LEASE))
    (bank,) = service.store.banks.status()
    expected = forecast(service.store, files, memories=True)
    assert expected.memory_bytes == 200 * (bank.bytes // bank.memories) > 0
    assert forecast(service.store, files, memories=False).memory_bytes == 0


def test_only_what_clearly_does_not_fit_is_refused(
    service: Service, keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = keep("long.txt", LONG)
    expected = forecast(service.store, {path: len(LONG)}, memories=False)
    least = expected.bytes + SURELY * expected.passage_bytes
    command = ("ingest", path, "--no-wait", "--no-memories")
    free(monkeypatch, least - 1)
    done = attest(*command)
    assert (done.status, done.stdout) == (1, "")
    assert "has not enough room: 1 files" in done.stderr
    assert "Free some disk" in done.stderr
    assert service.collections() == []
    assert attest(*command, "--despite-disk").status == 0
    service.delete_document(service.documents("default")[0].document_id)
    free(monkeypatch, least + 1)
    assert attest(*command).status == 0


def test_what_was_read_before_takes_nothing_again(
    service: Service, keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = keep("a.md", LEASE).parent
    keep("b.md", DOSE)
    assert attest("ingest", folder, "--no-wait").status == 0
    free(monkeypatch, 0)
    done = attest("ingest", folder, "--no-wait")
    assert (done.status, done.stderr) == (0, "")
    keep("c.md", LONG)
    assert attest("ingest", folder, "--no-wait").status == 1


def test_people_are_told_on_standard_error(service: Service, keep) -> None:
    folder = keep("a.md", LEASE).parent
    keep("b.md", DOSE)
    done = attest("ingest", folder, "--no-wait", "--json")
    assert len(done.lines) == 2
    assert done.stderr.startswith("2 files, ")
    assert "are free" in done.stderr


def test_the_estimate_is_repeated_once_a_memory_is_there(service: Service, keep) -> None:
    paths = [keep("a.md", LEASE), keep("b.md", DOSE)]
    said: list[str] = []
    with Intake(service, IngestOptions("c", say=said.append)) as intake:
        intake.expect({path: stamp_of(path) for path in paths})
        for path in paths:
            intake.take_in(path)
        assert len(said) == 1
        list(intake.all_finished())
    assert len(said) == 2
    assert "for their memories" in said[1]


@pytest.mark.slow
def test_passages_of_real_files_are_about_what_is_expected(shared_data: Path) -> None:
    """Over all files of a kind, within a factor of two; of one file it says little."""
    for suffix in (".pdf", ".docx", ".txt"):
        size = characters = 0
        for path in sorted((shared_data / "documents").glob(f"*/*{suffix}"))[::2]:
            try:
                pages = [page for page in read(path, limits=Limits(seconds=30)) if isinstance(page, Page)]
            except UnreadableDocument:
                continue
            size += path.stat().st_size
            characters += sum(len(page.text) for page in pages)
        found = characters / CHARACTERS / size
        expected = per_byte(Path(f"a{suffix}"))
        print(f"{suffix}: a passage in {1 / found:.0f} bytes, expected in {1 / expected:.0f}")
        assert expected / 2 < found < expected * 2
