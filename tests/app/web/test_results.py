"""The page gets the results of all that it asks, also of what it asks while the stream of results ends, and
shows the last even where they reach the browser in another order."""

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


def test_two_clicks_stay_two_if_the_first_is_heard_of_last(
    service: DoubleService, visit: Callable[..., Page]
) -> None:
    page = visit()
    boxes = page.locator("#at-documents .at-pick")
    expect(boxes.first).to_be_visible()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    ticks: list[Route] = []
    seen = False

    def delay(route: Route) -> None:
        if seen:
            route.continue_()
        else:
            ticks.append(route)

    page.route("**/run/predict*", delay)  # or a tick may mend what is to be seen
    page.route("**/queue/join*", hold, times=1)
    boxes.nth(0).click()
    while not held:
        page.wait_for_timeout(20)
    first = held[0].fetch()  # the server knows of it, and the browser not that the server does
    chosen = page.locator(".at-selection [role=status]")
    boxes.nth(1).click()
    expect(chosen).to_have_text("2 selected")
    held[0].fulfill(response=first)
    expect(chosen).to_have_text("1 selected")  # what the server said of the first alone
    seen = True
    for tick in ticks:
        tick.continue_()
    expect(chosen).to_have_text("2 selected", timeout=15_000)
    expect(page.locator("#at-documents .at-pick:checked")).to_have_count(2)
