"""A tab is sent what it lacks, whatever it was sent before, and ticks leave alone what the reader chose."""

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from app.web.library import Library, LibraryParts
from app.web.ordering import Listing
from app.web.showing import TEXTS, Shown
from tests.app.web.double import DoubleService

TAB: Any = SimpleNamespace(session_hash="tab")
OTHER: Any = SimpleNamespace(session_hash="other")


@pytest.fixture
def library(service: DoubleService) -> Library:
    parts = LibraryParts(**{each.name: each.name for each in fields(LibraryParts)})  # type: ignore[arg-type]
    return Library(service, parts)


def clicked(**data: object) -> Any:
    return SimpleNamespace(_data=data)


def test_a_tab_is_sent_what_differs_and_nothing_twice(service: DoubleService, library: Library) -> None:
    opened = library.open(TAB)
    shown = opened["shown"]
    assert opened["mark"] == shown.mark != ""
    assert all(opened[name] == getattr(shown, name) for name in TEXTS)
    assert library.tick("Contracts", shown.mark, opened["listing"], shown, TAB) == gr.skip()
    service.shelves.rename("lease", "Harbour Row.pdf")
    sent = library.tick("Contracts", shown.mark, opened["listing"], shown, TAB)
    assert set(sent) == {"shown", "mark", "documents"}
    assert "Harbour Row.pdf" in sent["documents"]
    assert sent["mark"] not in ("", shown.mark)


def test_a_tab_with_another_mark_is_sent_everything(library: Library) -> None:
    """Also what is empty now: it may show something there."""
    first = library.open(TAB)["shown"]
    picked = library.act(
        "Contracts", Listing(), first, (), clicked(act="pick", document="lease", checked=True), TAB
    )
    none = library.act("Contracts", Listing(), picked["shown"], (), clicked(act="pick-none"), TAB)
    assert none["shown"].selection == ""
    sent = library.tick("Contracts", picked["mark"], Listing(), none["shown"], TAB)
    assert {name: sent[name] for name in TEXTS} == {name: getattr(none["shown"], name) for name in TEXTS}
    assert sent["mark"] == sent["shown"].mark
    assert library.tick("Contracts", sent["mark"], Listing(), sent["shown"], TAB) == gr.skip()


def test_a_tick_does_not_write_what_the_reader_chose(service: DoubleService, library: Library) -> None:
    """One that began before a click may end after it."""
    shown = library.open(TAB)["shown"]
    done = library.act("Contracts", Listing(), shown, (), clicked(act="list", first="50"), TAB)
    assert done["listing"].first == 50
    service.shelves.rename("lease", "Harbour Row.pdf")
    assert "listing" not in library.tick("Contracts", shown.mark, Listing(), shown, TAB)


def test_what_is_selected_is_seen_by_the_tick_of_that_tab_alone(library: Library) -> None:
    shown = library.open(TAB)["shown"]
    library.act("Contracts", Listing(), shown, (), clicked(act="pick", document="lease", checked=True), TAB)
    assert "1 selected" in library.tick("Contracts", shown.mark, Listing(), shown, TAB)["selection"]
    assert library.tick("Contracts", shown.mark, Listing(), shown, OTHER) == gr.skip()


def test_marks_alone_are_no_change() -> None:
    assert Shown(mark="1", documents="a").changed(Shown(mark="2", documents="a")) == set()
    assert Shown(documents="a", facts="").changed(Shown(documents="a")) == {"facts"}
