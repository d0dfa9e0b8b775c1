"""Everything that matters is done without a mouse: only keys are pressed here, and focus is always seen."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.app.web.browsing import NEEDS_CHROMIUM, QUESTION, ask
from tests.app.web.double import DoubleService

pytestmark = NEEDS_CHROMIUM

MOST = 120  # tab stops; the page has fewer


def tab_to(page: Page, selector: str, key: str = "Tab") -> None:
    """Press Tab until an element of `selector` has the focus; every stop on the way is visible."""
    for _ in range(MOST):
        page.keyboard.press(key)
        here = page.evaluate(
            """selector => {
                const element = document.activeElement;
                const style = getComputedStyle(element);
                const box = element.getBoundingClientRect();
                return {
                    there: element.matches(selector),
                    lost: element === document.body,
                    hidden: box.width === 0 || style.visibility === 'hidden',
                    tag: element.outerHTML.slice(0, 200),
                };
            }""",
            selector,
        )
        assert here["lost"] or not here["hidden"], f"the focus is out of sight on {here['tag']}"
        if here["there"]:
            return
    pytest.fail(f"{selector} cannot be reached with {key}")


def focused(page: Page, selector: str) -> Locator:
    """The element that has the focus, if it is one of `selector`."""
    return page.locator(f":is({selector}):focus")


def test_ask_open_a_citation_and_close_it(service: DoubleService, visit: Callable[..., Page]) -> None:
    page = visit()
    expect(page.locator(".at-suggestion").first).to_be_visible()
    expect(focused(page, QUESTION)).to_be_visible()  # one can type at once
    page.keyboard.type("How can this be ended?")
    page.keyboard.press("Enter")
    expect(page.locator("#at-past .at-source")).to_have_count(3)
    tab_to(page, "#at-past .at-sentence[data-sentence='0']", "Shift+Tab")
    card = page.locator("#at-past .at-card[data-sentence='0']")
    expect(card).to_be_visible()
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.locator("#at-evidence .at-chosen-sentence")).to_contain_text("Either party")
    tab_to(page, "#at-past .at-answer .at-cite[data-n='2']")
    page.keyboard.press("Enter")
    expect(page.locator("#at-evidence mark.at-s4")).to_have_text("Ninety")


def test_delete_a_document(service: DoubleService, visit: Callable[..., Page]) -> None:
    page = visit()
    expect(page.locator(".at-suggestion").first).to_be_visible()
    remove = "[aria-label='Remove Office lease, Harbour Row.pdf']"
    tab_to(page, remove, "Shift+Tab")
    assert page.locator(remove).evaluate("element => getComputedStyle(element).opacity") == "1"
    page.keyboard.press("Enter")
    expect(focused(page, ".at-confirm .at-quiet")).to_have_text("Keep")  # the safe answer first
    page.keyboard.press("Enter")
    expect(page.locator(".at-confirm")).to_have_count(0)
    assert "lease" in service.library
    expect(focused(page, remove)).to_be_visible()
    page.keyboard.press("Space")
    expect(focused(page, ".at-confirm .at-quiet")).to_be_visible()
    tab_to(page, ".at-confirm .at-danger", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#at-notice")).to_contain_text("4.2 MB freed")
    assert "lease" not in service.library
    expect(focused(page, ".at-document button")).to_have_count(1)  # of the row that took its place


def test_progress_in_the_list_leaves_the_focus_where_it_is(
    service: DoubleService, visit: Callable[..., Page]
) -> None:
    page = visit()
    stop = "[aria-label='Stop Scanned deed.pdf']"
    expect(page.locator(stop)).to_have_count(1)
    tab_to(page, stop, "Shift+Tab")
    service.library["scan"] = replace(service.library["scan"], done=17)
    expect(page.locator("[role=progressbar][aria-valuenow='17']")).to_have_count(1)
    expect(focused(page, stop)).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator(".at-document", has_text="Scanned deed")).to_contain_text("cancelled")


def test_share_a_collection(service: DoubleService, visit: Callable[..., Page]) -> None:
    page = visit()
    service.sharing.me = "ann"
    tab_to(page, "[data-act=edit-collection]", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(focused(page, "dialog .at-field")).to_have_value("Contracts")
    tab_to(page, "dialog [data-act=share]")
    page.keyboard.press("Enter")
    expect(focused(page, "dialog [name=user]")).to_have_value("")
    page.keyboard.type("bob")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    expect(focused(page, "dialog [name=role]")).to_have_value("editor")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")  # in the field it shares
    expect(page.locator("dialog [role=status]")).to_have_text("bob is editor of “Contracts” now.")
    expect(focused(page, "dialog [name=user]")).to_have_value("")
    tab_to(page, "dialog [aria-label='Take away from bob']", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("dialog [role=status]")).to_have_text("bob may not use “Contracts” any more.")
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    assert service.sharing.roles == {"Contracts": {"ann": "owner"}}


def test_a_renewed_sheet_is_never_shut(service: DoubleService, visit: Callable[..., Page]) -> None:
    page = visit()
    service.sharing.me = "ann"
    tab_to(page, "[data-act=edit-collection]", "Shift+Tab")
    page.keyboard.press("Enter")
    tab_to(page, "dialog [data-act=share]")
    page.evaluate(
        """() => {
            window.shut = 0;
            window.renewed = 0;
            new MutationObserver(() => {
                window.renewed += document.querySelectorAll("dialog [name=user]").length;
                window.shut += document.querySelectorAll("dialog:has([name=user]):not([open])").length;
            }).observe(document.body, {childList: true, subtree: true});
        }"""
    )
    page.keyboard.press("Enter")
    expect(focused(page, "dialog [name=user]")).to_have_value("")
    assert page.evaluate("window.renewed") > 0
    assert page.evaluate("window.shut") == 0


def test_judge_and_rename(service: DoubleService, visit: Callable[..., Page]) -> None:
    page = visit()
    ask(page, "How can this be ended?")
    expect(page.locator("#at-past .at-source")).to_have_count(3)
    tab_to(page, "[aria-label='Good answer']", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(focused(page, "[aria-label='Good answer'][aria-pressed=true]")).to_be_visible()
    tab_to(page, "[data-side=conversations]", "Shift+Tab")
    page.keyboard.press("Enter")
    tab_to(page, "[aria-label^='Rename']")
    page.keyboard.press("Enter")
    expect(focused(page, "#at-rename-title textarea, #at-rename-title input")).to_be_visible()
    page.keyboard.press("Control+a")
    page.keyboard.type("Notice")
    page.keyboard.press("Enter")
    expect(page.locator(".at-conversation-title")).to_have_text("Notice")


def test_the_views_of_a_telephone(service: DoubleService, visit: Callable[..., Page]) -> None:
    page = visit(390, 844)
    expect(page.locator(".at-suggestion").first).to_be_visible()
    tab_to(page, "[data-view=documents]", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".at-document").first).to_be_visible()
    tab_to(page, "[data-side=conversations]")
    page.keyboard.press("Enter")
    expect(page.locator("#at-search")).to_be_visible()
