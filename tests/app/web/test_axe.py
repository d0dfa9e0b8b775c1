"""axe-core, the rules of WCAG as a program, finds nothing serious in any state of the page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from app.api.server import api_routes
from app.service import Service
from app.settings import Settings
from app.web.server import build_app
from tests.app.web.browsing import NEEDS_CHROMIUM, ask, reload, serving, watched
from tests.app.web.double import DoubleService

pytestmark = NEEDS_CHROMIUM

SERIOUS = ("serious", "critical")
AXE = Axe()


def faults(page: Page, beside: str = "") -> list[str]:
    """What axe calls serious or critical on the page as it is now, light and dark, and where.

    beside: a part that is not looked at.
    """
    context = {"exclude": [[beside]]} if beside else None
    found = []
    for scheme in ("light", "dark"):
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", scheme == "dark")
        page.evaluate("Promise.all(document.getAnimations().map(animation => animation.finished))")
        violations: list[dict[str, Any]] = AXE.run(page, context).response["violations"]
        found += [
            f"{scheme}: {each['id']}: {node['html'][:160]} {node['failureSummary']}"
            for each in violations
            if each["impact"] in SERIOUS
            for node in each["nodes"]
        ]
    return found


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_every_state_of_the_page(
    service: DoubleService, visit: Callable[..., Page], width: int, height: int
) -> None:
    narrow = width < 1000

    def view(name: str) -> None:
        if narrow:
            page.click(f"button[data-view={name}]")

    seen: dict[str, list[str]] = {}
    page = visit(width, height)
    expect(page.locator(".at-suggestion").first).to_be_visible()
    seen["welcome"] = faults(page)
    view("documents")
    expect(page.locator(".at-document").first).to_be_visible()
    seen["documents in every state"] = faults(page)
    page.get_by_role("button", name="Remove Office lease, Harbour Row.pdf").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".at-confirm")).to_be_visible()
    seen["a removal to be confirmed"] = faults(page)
    service.sharing.me = "ann"
    service.sharing.roles["Contracts"] = {"ann": "owner", "bob": "reader"}
    page.click("[data-act=edit-collection]")
    expect(page.locator("dialog[open] .at-shared")).to_be_visible()
    seen["a collection's sheet"] = faults(page)
    page.click("dialog [data-act=share]")
    expect(page.locator("dialog[open] .at-people")).to_be_visible()
    seen["who may use it"] = faults(page)
    page.click("dialog [data-act=revoke-now]")
    expect(page.locator("dialog[open] [role=status]")).to_be_visible()
    seen["who may not use it any more"] = faults(page)
    page.keyboard.press("Enter")
    expect(page.locator("dialog[open] [role=alert]")).to_be_visible()
    seen["nobody to share with"] = faults(page)
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.click("#at-collection-new")
    expect(page.locator("#at-collection-form")).to_be_visible()
    seen["a new collection"] = faults(page)
    page.fill("#at-collection-name input, #at-collection-name textarea", "Contracts")
    page.click("#at-collection-create")
    expect(page.locator("#at-notice [role=alert]")).to_be_visible()
    seen["a refusal"] = faults(page)

    view("ask")
    service.ahead = 2
    ask(page, "How can this be ended?")
    expect(page.locator("#at-live .at-waiting")).to_be_visible()
    seen["waiting"] = faults(page)
    service.turn.set()
    expect(page.locator("#at-past .at-source")).to_have_count(3)
    seen["answer"] = faults(page)
    page.locator("#at-past .at-sentence").first.focus()
    expect(page.locator("#at-past .at-card[data-sentence='0']")).to_be_visible()
    seen["a sentence's card"] = faults(page)
    page.keyboard.press("Escape")
    page.click("#at-past .at-note-form summary")
    page.click("#at-past >> text=Compare")
    expect(page.locator(".at-compare-column")).to_have_count(3)
    seen["compared, with a note"] = faults(page)
    view("evidence")
    expect(page.locator("#at-evidence .at-outline")).to_be_visible()
    page.wait_for_function("document.querySelector('#at-evidence img').naturalWidth > 0")
    page.click("#at-evidence >> text=Zoom")
    seen["the page's picture"] = faults(page)
    view("ask")
    page.click("#at-past .at-answer .at-cite >> text=2")
    expect(page.locator("#at-evidence mark.at-s4")).to_be_visible()
    seen["a page without a picture"] = faults(page)

    view("documents")
    page.click("[data-side=conversations]")
    expect(page.locator(".at-conversation")).to_have_count(1)
    seen["conversations"] = faults(page)
    page.click("#at-conversations [aria-label^='Rename']")
    expect(page.locator("#at-rename-form")).to_be_visible()
    page.click(".at-conversation [aria-label^='Delete']")
    expect(page.locator(".at-conversation .at-danger")).to_be_visible()
    seen["a conversation to be renamed or deleted"] = faults(page)
    del service.library["lease"]
    reload(page)
    expect(page.locator("#at-past")).to_contain_text("was deleted since")
    view("evidence")
    expect(page.locator("#at-evidence h2")).to_contain_text("Source deleted")
    seen["a deleted source"] = faults(page)
    assert "\n".join(f"{state}: {fault}" for state, found in seen.items() for fault in found) == ""


def test_nothing_kept_yet(service: DoubleService, visit: Callable[..., Page]) -> None:
    page = visit()
    service.library.clear()
    service.kinds.clear()
    reload(page)
    expect(page.locator("#at-collection-form")).to_be_visible()
    expect(page.locator("#at-welcome")).to_contain_text("Create a collection first")
    assert faults(page) == []


def test_the_description_of_the_api(browser: Browser, home: Path, tmp_path: Path) -> None:
    """Inside is Swagger UI, a page of others, which has faults of its own (colours, nested buttons)."""
    problems: list[str] = []
    with Service(Settings(home, "fake")) as real:
        app = build_app(real, routes=api_routes(real), upload_folder=tmp_path)
        with serving(app) as address:
            page = watched(browser.new_context(), address, problems)
            page.goto(f"{address}/docs")
            expect(page.locator(".opblock").first).to_be_visible()
            assert faults(page, beside=".swagger-ui") == []
            page.context.close()
    assert problems == []


def test_the_report_of_an_answer(service: DoubleService, visit: Callable[..., Page], tmp_path: Path) -> None:
    page = visit()
    ask(page, "How can this be ended?")
    with page.expect_download() as download:
        page.click("#at-past >> text=Why this answer")
    report = tmp_path / "why.html"
    download.value.save_as(report)
    assert page.context.browser is not None
    alone = page.context.browser.new_page()
    alone.goto(report.as_uri())
    assert faults(alone) == []
    alone.close()
