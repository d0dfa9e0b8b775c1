"""Finding documents on the page: a field for words, what is shown, in which order; and what a browser asked.

The controls are made once, so that no tick takes a word out of the reader's hands.
"""

from collections.abc import Mapping
from html import escape
from typing import Any, get_args

from storage.records import Order, Standing, Wanted

SHOWN: dict[str, str] = {
    "": "All",
    "working": "In work",
    "askable": "Can be asked",
    "failed": "Failed or stopped",
    "warned": "With warnings",
}
ORDERS: dict[Order, str] = {
    "added": "Newest first",
    "name": "By name",
    "state": "By state",
    "size": "Largest first",
    "pages": "Most pages",
}
MOST_LETTERS = 200

# Words are sent a moment after the last letter, choices at once.
SEND_FINDS = """
let waiting = 0;
const send = () => trigger('act', Object.fromEntries(
  [['act', 'find'], ...[...element.querySelectorAll('[name]')].map(field => [field.name, field.value])]));
element.addEventListener('input', event => {
  clearTimeout(waiting);
  waiting = setTimeout(send, event.target.matches('select') ? 0 : 200);
});
"""


def finder_html() -> str:
    """The controls above the list."""
    return (
        '<div class="at-finder" role="search"><div class="at-finder-row">'
        f'<input type="search" name="text" class="at-find" maxlength="{MOST_LETTERS}"'
        ' placeholder="Find a document" aria-label="Find a document">'
        '<button type="button" class="at-step at-widen" data-local="wide" aria-pressed="false"'
        ' title="Show the list with columns">Wide</button></div>'
        f'<div class="at-finder-row"><select name="standing" aria-label="Show">{_options(SHOWN)}</select>'
        f'<select name="order" aria-label="Order">{_options(ORDERS)}</select></div></div>'
    )


def _options(words: Mapping[Any, str]) -> str:
    return "".join(f'<option value="{key}">{escape(label)}</option>' for key, label in words.items())


def wanted_of(data: Mapping[str, Any]) -> Wanted:
    """What the browser asks to see (so: anything); what it does not know is left out."""
    standing = next((each for each in get_args(Standing) if each == data.get("standing")), None)
    order: Order = next((each for each in ORDERS if each == data.get("order")), "added")
    return Wanted(str(data.get("text", ""))[:MOST_LETTERS], standing, order, data.get("turned") == "true")
