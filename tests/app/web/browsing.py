"""A real browser for tests, the system's Chromium, an address for it, and what a reader does there."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright
from starlette.types import ASGIApp

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
NEEDS_CHROMIUM = pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed")

expect.set_options(timeout=60_000)  # patience, for a machine with much else to do

QUESTION = "#at-question textarea"
DOCUMENT = ".at-document"
CUT_OFF = ("AbortError", "Unexpected error Connection errored out")
_RELOADING: set[Page] = set()


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """`app` on a port of its own; its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def watched(context: BrowserContext, address: str, problems: list[str]) -> Page:
    """A new tab; its errors, and every request that goes anywhere but to `address`, join `problems`."""
    page = context.new_page()

    def note(problem: str) -> None:
        if not (page in _RELOADING and problem.startswith(CUT_OFF)):
            problems.append(problem)

    page.on("pageerror", lambda error: note(str(error)))
    page.on("console", lambda message: note(message.text) if message.type == "error" else None)
    page.on(
        "request",
        lambda r: None if r.url.startswith((address, "data:", "blob:")) else problems.append(r.url),
    )
    return page


def reload(page: Page) -> None:
    """Gradio reports the streams that a reload cuts off; they are no problem."""
    _RELOADING.add(page)
    page.reload()
    _RELOADING.discard(page)


def ask(page: Page, question: str) -> None:
    page.fill(QUESTION, question)
    page.press(QUESTION, "Enter")


def centre(place: Locator) -> tuple[float, float]:
    box = place.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
