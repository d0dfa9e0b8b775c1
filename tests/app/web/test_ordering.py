"""Clicks on the left as data: what they do, what they refuse, and that nothing foreign is run."""

from dataclasses import replace

import pytest

from app.library.forecast import Forecast
from app.web import dialogs
from app.web.documents import documents_html, facts_html, selection_html
from app.web.finding import finder_html, wanted_of
from app.web.health import health_html
from app.web.help import KEYS, help_html
from app.web.ordering import MOST_ASKED, Listing, Ordering, Outcome
from app.web.scope import MOST_CHIPS, scope_html
from app.web.server import ASSETS
from storage.records import Wanted
from tests.app.web.double import Check, DoubleService, Engine, Health
from tests.app.web.scripted import HOSTILE
from tests.app.web.shelf import Document, Grant, listing


def act(service: DoubleService, shown: Listing, **data: object) -> Outcome:
    return Ordering(service).act(data, "Contracts", shown)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ({}, Wanted()),
        ({"text": "x" * 999, "standing": "askable", "order": "size"}, Wanted("x" * 200, "askable", "size")),
        ({"text": 7, "standing": "' OR 1", "order": "1; DROP", "turned": "true"}, Wanted("7", turned=True)),
    ],
)
def test_only_what_is_known_is_wanted(data: dict[str, object], wanted: Wanted) -> None:
    assert wanted_of(data) == wanted


def test_boxes_and_pages(service: DoubleService) -> None:
    one = act(service, Listing(), act="pick", document="lease", checked=True).listing
    two = act(service, one, act="pick", document="notes", checked=True).listing
    again = act(service, two, act="pick", document="notes", checked=True).listing
    assert again.picked == two.picked == ("lease", "notes")
    assert act(service, two, act="pick", document="lease", checked=False).listing.picked == ("notes",)
    every = act(service, replace(two, wanted=Wanted("notes")), act="pick-all").listing
    assert every.picked == ("notes",)
    assert act(service, two, act="pick-none").listing.picked == ()
    assert act(service, two, act="list", first="-5").listing.first == 0
    assert act(service, two, act="list", first="100").listing.first == 100


def test_a_column_sorts_and_keeps_the_words(service: DoubleService) -> None:
    found = act(service, Listing(first=50), act="find", text="lease", standing="", order="name").listing
    assert (found.wanted, found.first) == (Wanted("lease", order="name"), 0)
    turned = act(service, found, act="sort", order="name", turned="true").listing
    assert turned.wanted == Wanted("lease", order="name", turned=True)


def test_what_is_not_there_is_said(service: DoubleService) -> None:
    shown = Listing(picked=("lease",))
    assert act(service, shown, act="no such thing").listing == shown
    assert Ordering(service).act({"act": "delete-now"}, None, shown) == Outcome(shown)
    assert act(service, shown, act="remove-now", document="lease").touched == ()  # nobody asked first
    assert "lease" in service.library
    assert "Nothing of this failed" in act(service, shown, act="retry", document="lease").notice
    service.library |= {str(each): Document(str(each), "x") for each in range(MOST_ASKED + 1)}
    many = act(service, Listing(picked=tuple(service.library)), act="ask-picked")
    assert (many.scope, "At most" in many.notice) == (None, True)


def test_deleting_several_takes_them_out_of_what_is_selected(service: DoubleService) -> None:
    done = act(service, Listing(picked=("lease", "notes")), act="delete-now")
    assert (done.touched, done.listing.picked, done.dialog) == (("lease", "notes"), (), "")
    assert "5 passages" in done.notice
    assert "8.4 MB freed" in done.notice


def test_only_a_locked_document_can_be_unlocked(service: DoubleService) -> None:
    html = documents_html(listing(list(service.library.values())))
    assert html.count('data-act="unlock"') == 1
    assert html.count('data-act="retry"') == 1


def test_foreign_text_is_escaped_in_every_sheet() -> None:
    bad = Document(HOSTILE, HOSTILE, "failed", error=f"password {HOSTILE}")
    html = documents_html(listing([bad]), picked=[HOSTILE], wanted=Wanted(HOSTILE))
    html += dialogs.rename_html(HOSTILE, HOSTILE, HOSTILE) + dialogs.unlock_html(HOSTILE, HOSTILE, HOSTILE)
    html += dialogs.move_html(1, [HOSTILE], HOSTILE) + dialogs.collection_html(
        HOSTILE, 3, [Grant(HOSTILE, "owner")], name=HOSTILE, problem=HOSTILE
    )
    people = [Grant(HOSTILE, "owner"), Grant(HOSTILE, HOSTILE)]
    html += dialogs.sharing_html(
        HOSTILE, people, HOSTILE, user=HOSTILE, role=HOSTILE, done=HOSTILE, problem=HOSTILE
    )
    html += facts_html(HOSTILE, listing([bad])) + scope_html([(HOSTILE, HOSTILE)] * (MOST_CHIPS + 1))
    engine = Engine(model=HOSTILE, device_reason=HOSTILE, adapter=HOSTILE)
    html += health_html(Health(engine, [Check(HOSTILE, HOSTILE, HOSTILE)], [HOSTILE], home=HOSTILE), 1)
    html += health_html(Health(Engine(ready=False, message=HOSTILE), []), 1)
    assert "<script" not in html
    assert "<img" not in html
    assert "and 1 more" in html


def test_a_forecast_that_does_not_fit_offers_nothing() -> None:
    fits = Forecast(300, 10**9, 5000, 10**7, None, 10**10, None)
    html = dialogs.ingest_html(fits)
    assert "add-now" in html
    assert "known once the first is written" in html
    assert "add-now" not in dialogs.ingest_html(replace(fits, free=1000))


def test_words_for_what_is_selected() -> None:
    assert selection_html(0, 9) == ""
    assert "Select all 1,200" in selection_html(3, 1200)
    assert "Select all" not in selection_html(3, 3)
    assert 'name="standing"' in finder_html()


def test_every_key_of_the_sheet_is_one_of_the_script() -> None:
    script = (ASSETS / "attest.js").read_text(encoding="utf-8")
    singles = [key for keys, _ in KEYS for key in keys.split(", ") if len(key) == 1]
    assert len(singles) == 9
    for key in singles:
        assert f"    {key}: " in script or f'    "{key}": ' in script
        assert f"<kbd>{key}</kbd>" in help_html()
