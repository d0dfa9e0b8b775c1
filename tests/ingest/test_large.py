"""A PDF of 2,000 real pages: how much memory it takes, how soon it is cancelled, and where it goes on."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pypdf import PdfReader, PdfWriter

from engine.registry import DEFAULT_EMBEDDER, REGISTERED
from storage.store import Store

PAGES = 2000
CEILING = 1_500_000_000
CANCEL_AT = 700


def large_pdf(folder: Path, target: Path) -> None:
    """Pages of all documents that PDF libraries read without complaint, again and again."""
    writer = PdfWriter()
    readers = [PdfReader(path) for path in sorted(folder.rglob("*.pdf")) if path.stat().st_size < 2_000_000]
    while len(writer.pages) < PAGES:
        for reader in readers:
            for page in reader.pages:
                if len(writer.pages) < PAGES:
                    writer.add_page(page)
    writer.write(target)


class Watched:
    """A worker, and the most memory that it and its reading processes were seen to have (bytes resident)."""

    def __init__(self, store: Store) -> None:
        embedder = str(REGISTERED[DEFAULT_EMBEDDER].path())
        command = [sys.executable, "-m", "ingest.worker", "--home", str(store.home), "--model", "fake"]
        command += ["--embedder", embedder, "--until-idle"]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self.worker = self.reader = 0

    def look(self) -> None:
        try:
            own = psutil.Process(self.process.pid)
            self.worker = max(self.worker, own.memory_info().rss)
            for child in own.children():
                self.reader = max(self.reader, child.memory_info().rss)
        except psutil.Error:
            return

    def until(self, happened: Callable[[], bool]) -> None:
        while not happened():
            self.look()
            time.sleep(0.05)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("default")  # pypdf complains of some of the real files
def test_two_thousand_pages(store: Store, shared_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "large.pdf"
    large_pdf(shared_data / "documents", path)
    document_id = store.documents.add(path, "law", memories=False)[0].id

    def stored() -> int:
        return len(store.pages.numbers(document_id))

    watched = Watched(store)
    try:
        started = time.monotonic()
        watched.until(lambda: stored() >= CANCEL_AT or watched.process.poll() is not None)
        asked = time.monotonic()
        store.jobs.cancel(1)
        while store.jobs.get(1).status != "cancelled":
            time.sleep(0.005)
        cancelled = time.monotonic() - asked
        reading = [child for child in psutil.Process(watched.process.pid).children() if child.is_running()]
        kept, references = stored(), store.references.of_document(document_id)
        assert kept >= CANCEL_AT
        watched.process.wait()
        first = watched
        store.jobs.retry(1)
        watched = Watched(store)
        seen: list[int] = []

        def ended() -> bool:
            job = store.jobs.get(1)
            if job.status == "running" and job.done:
                seen.append(job.done)
            return watched.process.poll() is not None

        watched.until(ended)
        seconds = time.monotonic() - started
    finally:
        watched.end()
    document = store.documents.get(document_id)
    worker, reader = max(first.worker, watched.worker), max(first.reader, watched.reader)
    print(
        f"\n{path.stat().st_size} bytes, {PAGES} pages, {document.reference_count} references in "
        f"{seconds:.0f} s; worker at most {worker} bytes resident, reading process {reader}; cancelled after "
        f"{cancelled:.2f} s with {kept} pages stored, went on at page {min(seen)}"
    )
    assert document.status in ("ready", "partial"), document.error
    assert stored() == document.page_count == PAGES
    assert document.reference_count == len(store.references.of_document(document_id))
    assert store.references.of_document(document_id)[: len(references)] == references
    assert min(seen) >= kept
    assert max(worker, reader) < CEILING
    assert cancelled < 2
    assert reading == []
