"""A stage for the whole application in one process, and a reader's way through it, picture by picture.

The service, the page, the API and the worker are the real ones. The worker runs in a thread, so that its work
can be held in the middle for as long as somebody looks at it: nothing has to be caught while it passes.
"""

import io
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from app.api.server import api_routes
from app.service import Service
from app.settings import Settings
from app.web.server import build_app
from engine.memory import ExplicitMemory
from engine.protocol import Engine
from ingest.pipeline import Pipeline
from ingest.worker import beat, work
from tests.app.web.browsing import ask, reload, serving, watched

LAPTOP = (1280, 800)
TELEPHONE = (390, 844)


class Held:
    """An engine that writes `first` memories, then waits for `go` before it writes more."""

    def __init__(self, engine: Engine, first: int) -> None:
        self._engine, self._left = engine, first
        self.waiting, self.go = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def write(self, references: Sequence[Sequence[int]]) -> list[ExplicitMemory]:
        if self._left <= 0:
            self.waiting.set()
            self.go.wait()
        self._left -= len(references)
        return self._engine.write(references)


@dataclass
class Stage:
    """The application at `address`. problems: what browsers complained of."""

    address: str
    service: Service
    worker: Held
    browser: Browser
    problems: list[str] = field(default_factory=list)

    def visit(
        self, size: tuple[int, int] = LAPTOP, *, path: str = "", scheme: str = "light", scale: float = 1
    ) -> Page:
        """A reader with a browser of their own."""
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
            device_scale_factor=scale,
        )
        page = watched(context, self.address, self.problems)
        page.goto(self.address + path)
        expect(page.locator("#at-engine .at-dot-ready")).to_be_visible()
        return page


@contextmanager
def staged(settings: Settings, browser: Browser, hold_after: int) -> Iterator[Stage]:
    """hold_after: memories that the worker writes before it waits."""
    stop = threading.Event()
    with Service(settings, shared=False) as service:
        engine, embedder = service.models()
        worker = Held(engine, hold_after)
        pipeline = Pipeline(service.store, worker, embedder, "tour", stop)  # type: ignore[arg-type]
        threads = [
            threading.Thread(target=work, args=(service.store, pipeline, "tour", stop)),
            threading.Thread(
                target=beat, args=(service.store, "tour", stop, os.getppid(), lambda: pipeline.tokens)
            ),
        ]
        app = build_app(service, routes=api_routes(service), upload_folder=settings.home)
        with serving(app) as address:
            for thread in threads:
                thread.start()
            try:
                stage = Stage(address, service, worker, browser)
                yield stage
                assert stage.problems == [], stage.problems
            finally:
                stop.set()
                worker.go.set()
                for thread in threads:
                    thread.join()


@dataclass(frozen=True)
class Story:
    """What is added and asked. cited: the document that the answer is read from first; it is deleted."""

    collection: str
    files: Sequence[Path]
    question: str
    cited: str


def walk(stage: Stage, story: Story, picture: Callable[[Page, str], None]) -> None:
    """First run, three files, a question while they are remembered, its evidence; later, and elsewhere."""
    page = stage.visit()
    expect(page.locator("#at-welcome")).to_contain_text("Create a collection first")
    picture(page, "1-first-run")

    page.fill("#at-collection-name :is(input, textarea)", story.collection)
    page.click("#at-profile >> text=Legal")
    page.click("#at-collection-create")
    expect(page.locator("#at-documents")).to_contain_text("No documents yet.")
    page.set_input_files("#at-drop input[type=file]", list(story.files))
    expect(page.locator("#at-notice")).to_contain_text(f"{len(story.files)} documents added.")
    expect(page.locator(".at-document")).to_have_count(len(story.files))
    stage.worker.waiting.wait()
    bar = page.locator("#at-documents [role=progressbar]")
    expect(bar).to_have_count(1)
    (busy,) = [each for each in stage.service.documents(story.collection) if each.stage == "writing"]
    assert 0 < busy.done < busy.total
    expect(bar).to_have_attribute("aria-valuenow", str(busy.done))
    expect(bar).to_have_attribute("aria-label", busy.name)
    expect(page.locator(".at-document", has_text=busy.name)).to_contain_text("can already be asked")
    picture(page, "2-progress")

    ask(page, story.question)
    first = page.locator("#at-past .at-source").first
    expect(first.locator(".at-source-name")).to_have_text(story.cited)
    expect(bar).to_have_count(1)  # it was asked, and answered, in the middle of the work
    expect(page.locator("#at-evidence .at-nats").first).to_contain_text("nats")  # measured meanwhile
    page.locator("#at-past .at-answer .at-cite").first.click()
    drawn(page)
    page.mouse.move(5, 400)
    picture(page, "3-answer")

    stage.worker.go.set()
    expect(page.locator(".at-document.at-is-ready")).to_have_count(len(story.files), timeout=600_000)
    expect(page.locator("#at-worker p")).to_have_count(0)
    page.locator("#at-past .at-sentence").first.hover()
    expect(page.locator("#at-past .at-card >> visible=true")).to_have_count(1)
    picture(page, "4-sentence")
    page.mouse.move(5, 400)
    expect(page.locator("#at-evidence .at-nats").first).to_contain_text("nats")
    page.mouse.move(5, 400)
    page.locator("#at-evidence-column").evaluate("column => column.scrollTo(0, column.scrollHeight)")
    picture(page, "5-needed")

    page.wait_for_url("**/?conversation=*")
    reload(page)
    expect(first.locator(".at-source-name")).to_have_text(story.cited)
    drawn(page)
    expect(page.locator(".at-document")).to_have_count(len(story.files))
    page.click("[data-side=conversations]")
    expect(page.locator(".at-conversation .at-open[aria-current=true]")).to_have_count(1)
    picture(page, "6-found-again")

    here = page.url.removeprefix(stage.address)
    dark = stage.visit(path=here, scheme="dark")
    drawn(dark)
    assert dark.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 26)"
    picture(dark, "7-dark")
    small = stage.visit(TELEPHONE, path=here, scale=2)
    small.locator("#at-past .at-cite").first.click()
    drawn(small)
    assert small.evaluate("document.documentElement.scrollWidth") <= TELEPHONE[0]
    picture(small, "8-telephone")

    page.click("[data-side=documents]")
    gone = page.locator(".at-document", has_text=story.cited)
    gone.hover()
    gone.get_by_role("button", name=f"Remove {story.cited}").click()
    gone.locator(".at-danger").click()
    expect(page.locator("#at-notice")).to_contain_text("was removed")
    expect(page.locator("#at-evidence h2")).to_contain_text("Source deleted")
    expect(page.locator("#at-past")).not_to_contain_text(story.cited)
    page.mouse.move(5, 400)
    picture(page, "9-deleted")


def drawn(page: Page) -> None:
    """Wait for the picture of the cited page, with the passage outlined and its words marked."""
    page.wait_for_function("document.querySelector('#at-evidence .at-page img')?.naturalWidth > 0")
    expect(page.locator("#at-evidence .at-outline")).to_be_visible()
    expect(page.locator("#at-evidence .at-word").first).to_be_visible()


def kept_in(folder: Path) -> Callable[[Page, str], None]:
    """A `picture` that writes small PNG files."""
    folder.mkdir(parents=True, exist_ok=True)

    def picture(page: Page, name: str) -> None:
        taken = Image.open(io.BytesIO(page.screenshot(animations="disabled", caret="hide")))
        taken.convert("RGB").quantize(256).save(folder / f"{name}.png", optimize=True)

    return picture
