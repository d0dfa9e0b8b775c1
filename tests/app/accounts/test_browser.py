"""Two people in real browsers: each signs in, sees what was granted, and signs out."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect

from storage.sharing import GrantRow
from tests.app.accounts.conftest import CHEAP, COLLECTION, FILE, PASSWORD, Office
from tests.app.api.conftest import served
from tests.app.web import browsing
from tests.app.web.browsing import NEEDS_CHROMIUM

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def address(whole: FastAPI) -> Iterator[str]:
    with served(whole) as at:
        yield at


@pytest.fixture(scope="module")
def chromium(address: str) -> Iterator[Browser]:
    """Closed before the server, which waits for the tabs' connections."""
    with browsing.chromium() as browser:
        yield browser


def sign_in(page: Page, address: str, name: str, password: str) -> None:
    page.goto(address)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_two_users_see_what_was_granted_to_them(chromium: Browser, address: str, standing: Office) -> None:
    pages = {name: chromium.new_context().new_page() for name in ("ann", "bob", "cid")}
    broken: list[str] = []
    for name, page in pages.items():
        page.on("console", lambda said: broken.append(said.text) if "Content Security" in said.text else None)
        sign_in(page, address, name, PASSWORD.format(name))
        expect(page.locator("#at-who")).to_contain_text(name)
    ann, bob, cid = pages.values()
    expect(ann.locator("#at-documents")).to_contain_text(FILE)
    expect(cid.locator("#at-documents")).to_contain_text(FILE)
    expect(bob.locator("#at-welcome")).to_contain_text("Create a collection first")
    assert FILE not in bob.content()
    assert COLLECTION not in bob.content()
    ann.get_by_role("button", name="Conversations").click()
    expect(ann.locator("#at-conversations")).to_contain_text("What may be sold?")
    cid.get_by_role("button", name="Conversations").click()
    expect(cid.locator("#at-conversations")).to_contain_text("No conversations yet")
    cid.get_by_role("button", name="Documents").first.click()
    cid.locator(".at-document", has_text=FILE).hover()
    cid.get_by_role("button", name=f"Remove {FILE}").click()  # a reader may ask for it, and is told
    cid.get_by_role("button", name="Remove", exact=True).last.click()
    expect(cid.locator("#at-notice")).to_contain_text("but not delete it")
    assert standing.service.store.documents.count() == 1
    bob.get_by_label("Name").fill("Bob's own")
    bob.get_by_role("button", name="Create").click()
    expect(bob.locator("#at-collection-choice input")).to_have_value("Bob's own")
    expect(ann.locator("#at-documents")).to_contain_text(FILE)
    ann.reload()
    expect(ann.locator("#at-documents")).to_contain_text(FILE)
    assert standing.of("ann").profiles().keys() == {COLLECTION}
    assert standing.of("bob").profiles().keys() == {"Bob's own"}
    assert broken == []


def test_an_owner_lets_somebody_in_and_shuts_them_out_again(
    chromium: Browser, address: str, standing: Office
) -> None:
    standing.service.store.users.add("dan", CHEAP.hash(PASSWORD.format("dan")))
    ann, dan = (chromium.new_context().new_page() for _ in range(2))
    for name, page in (("ann", ann), ("dan", dan)):
        sign_in(page, address, name, PASSWORD.format(name))
    expect(dan.locator("#at-welcome")).to_contain_text("Create a collection first")
    ann.get_by_role("button", name="Edit", exact=True).click()
    expect(ann.get_by_role("dialog")).to_contain_text("You and 2 others")
    ann.get_by_role("dialog").get_by_role("button", name="Share").click()
    sheet = ann.get_by_role("dialog", name=f"Who may use “{COLLECTION}”")
    expect(sheet.get_by_label("Name of a user")).to_be_focused()
    ann.keyboard.type("dann")
    ann.keyboard.press("Enter")
    expect(sheet.get_by_role("alert")).to_contain_text("there is no user 'dann'")
    expect(sheet.get_by_label("Name of a user")).to_have_value("dann")
    ann.keyboard.type("dan")  # over what was typed before
    ann.keyboard.press("Enter")
    expect(sheet.get_by_role("status")).to_have_text(f"dan is reader of “{COLLECTION}” now.")
    expect(sheet.get_by_role("listitem")).to_have_count(4)
    expect(sheet.get_by_role("button", name="Take away from ann")).to_have_count(0)  # the only owner

    expect(dan.locator("#at-documents")).to_contain_text(FILE)
    expect(dan.locator("#at-collection-choice input")).to_have_value(COLLECTION)
    dan.get_by_role("button", name="Edit", exact=True).click()
    expect(dan.get_by_role("dialog").get_by_role("button", name="Rename")).to_be_visible()
    assert "Who may use it" not in dan.content()
    dan.keyboard.press("Escape")
    expect(dan.get_by_role("dialog")).to_have_count(0)

    sheet.get_by_label("Name of a user").fill("dan")
    sheet.get_by_label("Role").select_option("editor")
    sheet.get_by_role("button", name="Share").click()
    expect(sheet.get_by_role("status")).to_have_text(f"dan is editor of “{COLLECTION}” now.")
    assert standing.of("ann").sharing.list(COLLECTION)[2] == GrantRow("dan", "editor")
    sheet.get_by_role("button", name="Take away from dan").click()
    expect(sheet.get_by_role("status")).to_have_text(f"dan may not use “{COLLECTION}” any more.")
    expect(sheet.get_by_role("listitem")).to_have_count(3)
    expect(dan.locator("#at-welcome")).to_contain_text("Create a collection first")
    expect(dan.locator("#at-documents")).not_to_contain_text(FILE)
    sheet.get_by_role("button", name="Done").click()
    expect(ann.get_by_role("dialog")).to_have_count(0)
    assert FILE not in dan.content()
    log = [row for row in standing.service.store.trail.rows() if row.event in ("granted", "revoked")][-3:]
    assert [(row.event, row.name, row.through) for row in log] == [
        ("granted", "ann", "page"),
        ("granted", "ann", "page"),
        ("revoked", "ann", "page"),
    ]


def test_a_wrong_password_and_signing_out(chromium: Browser, address: str) -> None:
    page = chromium.new_context(java_script_enabled=False).new_page()  # the form needs no script
    sign_in(page, address, "ann", "not her password")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    expect(page.get_by_label("Name")).to_have_value("")
    page = chromium.new_context().new_page()
    sign_in(page, address, "ann", PASSWORD.format("ann"))
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Password")).to_be_visible()
    assert page.url.endswith("/sign-in")


def test_when_the_session_ends_the_page_leads_to_signing_in(
    chromium: Browser, address: str, standing: Office
) -> None:
    page = chromium.new_context().new_page()
    sign_in(page, address, "eve", PASSWORD.format("eve"))
    expect(page.locator("#at-documents")).to_contain_text(FILE)
    standing.service.store.sessions.end_all(standing.service.store.users.get("eve").id)
    page.get_by_role("textbox", name="Question").fill("What may be sold?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_label("Password")).to_be_visible()
