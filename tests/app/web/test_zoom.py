"""The page can be read at 200 %: nothing is cut off, nothing lies over anything else.

A browser that zooms by two has half the room in CSS pixels and two device pixels for each: that is how it is
asked for here, on a laptop's screen.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.app.web.browsing import NEEDS_CHROMIUM, ask
from tests.app.web.double import DoubleService

pytestmark = NEEDS_CHROMIUM

# Elements that stick out of the screen or hold more than they show, and controls that lie over one another.
TEXTS = (
    ", ".join(f"#at-columns {kind}" for kind in ("button", "p", "h2", "label")) + ", #at-header *, #at-nav *"
)
CONTROLS = "button, a, label, textarea"
TROUBLE = """([texts, controls]) => {
  const found = [];
  const wide = document.documentElement.clientWidth;
  const shown = element => element.checkVisibility({visibilityProperty: true, opacityProperty: true})
    && element.getBoundingClientRect().width > 1 && !element.closest('.at-page, .at-card');
  const named = element => element.outerHTML.slice(0, 100);
  if (document.documentElement.scrollWidth > wide) found.push('the page can be scrolled sideways');
  for (const element of [...document.querySelectorAll(texts)].filter(shown)) {
    const box = element.getBoundingClientRect();
    const style = getComputedStyle(element);
    if (box.right > wide + 1 || box.left < -1) found.push(`${named(element)} sticks out`);
    const cut = element.scrollWidth > element.clientWidth + 1 && style.overflowX !== 'visible';
    if (cut && style.textOverflow !== 'ellipsis') found.push(`${named(element)} is cut`);
  }
  const all = [...document.querySelectorAll(controls)].filter(shown);
  for (const [index, one] of all.entries()) for (const other of all.slice(index + 1)) {
    if (one.contains(other) || other.contains(one)) continue;
    if (one.closest('.column') !== other.closest('.column')) continue;  // one column scrolls under another
    const a = one.getBoundingClientRect(), b = other.getBoundingClientRect();
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 2 && down > 2) found.push(`${named(one)} lies over ${named(other)}`);
  }
  return found;
}"""


def test_nothing_is_cut_on_a_small_laptop(service: DoubleService, visit: Callable[..., Page]) -> None:
    page = visit(1280, 800)
    ask(page, "How can this be ended?")
    expect(page.locator("#at-past .at-source")).to_have_count(3)
    expect(page.locator("#at-fresh")).to_be_visible()
    assert page.evaluate(TROUBLE, [TEXTS, CONTROLS]) == []


@pytest.mark.parametrize(("width", "height"), [(720, 450), (640, 400), (320, 568)])
def test_twice_as_large(
    service: DoubleService, visit: Callable[..., Page], tmp_path: Path, width: int, height: int
) -> None:
    seen: dict[str, list[str]] = {}
    page = visit(width, height, scale=2)

    def look(name: str) -> None:
        seen[name] = page.evaluate(TROUBLE, [TEXTS, CONTROLS])
        page.screenshot(path=tmp_path / f"{width}-{name}.png")

    expect(page.locator(".at-suggestion").first).to_be_visible()
    look("welcome")
    ask(page, "How can this be ended?")
    expect(page.locator("#at-past .at-source")).to_have_count(3)
    look("answer")
    page.locator("#at-past .at-sentence").last.focus()
    expect(page.locator("#at-past .at-card[data-sentence='2']")).to_be_visible()
    look("sentence")
    page.keyboard.press("Escape")
    page.click("#at-past >> text=Compare")
    expect(page.locator(".at-compare-column")).to_have_count(3)
    look("compared")
    page.click("button[data-view=evidence]")
    page.wait_for_function("document.querySelector('#at-evidence img').naturalWidth > 0")
    look("evidence")
    page.click("button[data-view=documents]")
    page.click("[aria-label='Remove Office lease, Harbour Row.pdf']")
    expect(page.locator(".at-confirm")).to_be_visible()
    page.click("#at-collection-new")
    expect(page.locator("#at-collection-form")).to_be_visible()
    look("documents")
    page.click("[data-side=conversations]")
    expect(page.locator(".at-conversation")).to_have_count(1)
    look("conversations")
    assert "\n".join(f"{name}: {trouble}" for name, found in seen.items() for trouble in found) == ""
