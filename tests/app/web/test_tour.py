"""A reader's whole way through the application, on the fake model, and with the real one for its pictures.

    ATTEST_TOUR=docs/tour python -m pytest -m slow tests/app/web/test_tour.py

writes the pictures of docs/tour.md; without ATTEST_TOUR the same is tested and nothing is written.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from app.settings import Settings
from engine import choice
from engine.fake import FakeEngine
from engine.protocol import GenerateOptions, MemoriesFor, Message, Read, Token
from engine.registry import DEFAULT_MODEL
from ingest import progress
from tests.app.conftest import QUESTION
from tests.app.web.browsing import NEEDS_CHROMIUM, ask, reload
from tests.app.web.tour import Story, kept_in, staged, walk
from tests.conftest import ROOT
from tests.ingest.make_pdf import make_pdf, text_sheet

pytestmark = NEEDS_CHROMIUM

SAMPLES = ROOT / "assets" / "samples" / "legal"
LETTERS = str.maketrans("0123456789", "abefghjkno")  # or the numbers would be taken for those of clauses
LONG = [
    [f"The contractor delivers item {f'{page * 30 + n:03}'.translate(LETTERS)} in May." for n in range(30)]
    for page in range(12)
]
MOST_BYTES = 300_000  # of a picture


class Slow(FakeEngine):
    """Writes the beginning of an answer and, while `paused`, no more until it is stopped."""

    paused = threading.Event()

    def generate(
        self, messages: Sequence[Message], memories_for: MemoriesFor | None, options: GenerateOptions
    ) -> Iterator[Token | Read]:
        for done, event in enumerate(super().generate(messages, memories_for, options)):
            if done == 6 and self.paused.is_set():
                options.stop.wait()
            yield event


def not_kept(page: Page, name: str) -> None:
    """A picture that nobody asked for."""


@pytest.fixture(autouse=True)
def _every_report_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is written at every step, not only every so many seconds."""
    monkeypatch.setattr(progress, "REPORT_SECONDS", 0.0)


@pytest.fixture
def story(keep: Callable[[str, bytes | str], Path]) -> Story:
    files = {
        "Lease.pdf": make_pdf(text_sheet("The tenant may terminate the lease with ninety days notice.")),
        "Warranty.pdf": make_pdf(text_sheet("The warranty period of the turbine is sixty months.")),
        "Supply.pdf": make_pdf(*(text_sheet(*lines) for lines in LONG)),
    }
    paths = [keep(name, content) for name, content in files.items()]
    return Story("Leases", paths, QUESTION, "Lease.pdf")


def test_from_the_first_run_to_a_deleted_source(browser: Browser, home: Path, story: Story) -> None:
    with staged(Settings(home, "fake"), browser, hold_after=20) as stage:
        walk(stage, story, not_kept)


def test_stopping_keeps_what_was_written(
    browser: Browser, home: Path, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "FakeEngine", Slow)
    monkeypatch.setattr(Slow, "paused", threading.Event())
    with staged(Settings(home, "fake"), browser, hold_after=1000) as stage:
        stage.service.add_documents(story.files, story.collection, "legal")
        page = stage.visit()
        expect(page.locator(".at-document.at-is-ready")).to_have_count(3)
        Slow.paused.set()
        ask(page, story.question)
        expect(page.locator("#at-live .at-writing")).to_be_visible()
        page.click("#at-stop")
        expect(page.locator("#at-past")).to_contain_text("You stopped this answer.")
        expect(page.locator("#at-past .at-answer")).to_contain_text("The tenant")
        Slow.paused.clear()
        ask(page, story.question)
        expect(page.locator("#at-past .at-turn")).to_have_count(2)
        expect(page.locator("#at-past .at-turn").last).to_contain_text("ninety days notice")
        expect(page.locator("#at-evidence .at-nats").first).to_contain_text("nats")  # all is done
        reload(page)
        expect(page.locator("#at-past")).to_contain_text("You stopped this answer.")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_same_with_the_real_model(browser: Browser, home: Path, tmp_path: Path) -> None:
    asked_for = os.environ.get("ATTEST_TOUR")
    folder = ROOT / asked_for if asked_for else tmp_path / "tour"
    story = Story(
        "Agreements",
        sorted(SAMPLES.glob("*.pdf")),
        "Which law governs the consulting agreement?",
        "Aduro Biotech - Consulting Agreement (2020).pdf",
    )
    with staged(Settings(home, DEFAULT_MODEL), browser, hold_after=55) as stage:
        walk(stage, story, kept_in(folder))
    sizes = {path.name: path.stat().st_size for path in sorted(folder.glob("*.png"))}
    print(sizes)
    assert len(sizes) == 9
    assert max(sizes.values()) < MOST_BYTES
