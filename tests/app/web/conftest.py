"""A service without a model, its conversation, and its page in a real browser."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.web.conversation import Turn
from app.web.server import build_app
from tests.app.web.browsing import DOCUMENT, chromium, serving, watched
from tests.app.web.double import DoubleService
from tests.app.web.scripted import legal_answer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def service(request: pytest.FixtureRequest, tmp_path: Path) -> DoubleService:
    """As new; the one behind the page for a test that opens the page."""
    if "served" not in request.fixturenames:
        return DoubleService(tmp_path)
    behind: DoubleService = request.getfixturevalue("served")[1]
    fresh = DoubleService(behind.folder)
    vars(behind).clear()
    vars(behind).update(vars(fresh))
    return behind


@pytest.fixture
def turn() -> Turn:
    answer = legal_answer()
    return Turn(
        "How can the lease be ended?", "Contracts", "memory", answer=answer, reads=tuple(answer.reads)
    )


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, DoubleService]]:
    folder = tmp_path_factory.mktemp("web")
    behind = DoubleService(folder)
    with serving(build_app(behind, upload_folder=folder)) as address:
        yield address, behind


@pytest.fixture
def visit(browser: "Browser", served: tuple[str, DoubleService]) -> "Iterator[Callable[..., Page]]":
    """Opens the page; afterwards there were no errors and nothing was asked of anywhere else."""
    problems: list[str] = []
    contexts = []

    def open_page(width: int = 1440, height: int = 900, scheme: str = "light", scale: float = 1) -> "Page":
        context = browser.new_context(
            viewport={"width": width, "height": height},
            device_scale_factor=scale,
            color_scheme="dark" if scheme == "dark" else "light",
        )
        contexts.append(context)
        page = watched(context, served[0], problems)
        page.goto(served[0])
        page.wait_for_selector(DOCUMENT, state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []
