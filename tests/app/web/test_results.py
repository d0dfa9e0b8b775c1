"""The page gets the results of all that it asks, also of what it asks while the stream of results ends."""

from collections.abc import Callable

from playwright.sync_api import Page, Route, expect

from tests.app.web.browsing import NEEDS_CHROMIUM
from tests.app.web.double import DoubleService

pytestmark = NEEDS_CHROMIUM


def test_a_click_is_answered_that_comes_while_the_results_of_another_end(
    service: DoubleService, visit: Callable[..., Page]
) -> None:
    page = visit()
    expect(page.locator(".at-suggestion").first).to_be_visible()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/queue/data*", hold, times=1)
    page.click("#at-collection-new")
    while not held:
        page.wait_for_timeout(20)
    ended = held[0].fetch()  # the server has said its last word, and the browser has not heard it
    with page.expect_response("**/queue/join*"):
        page.click("text=Health")
    page.wait_for_timeout(300)
    held[0].fulfill(response=ended)
    expect(page.locator("#at-collection-form")).to_be_visible()
    expect(page.locator("dialog[open]")).to_be_visible(timeout=10_000)
