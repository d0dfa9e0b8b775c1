"""Kept conversations on the page: read back whole, judged, measured, compared, and honest when sources go."""

from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import AttestError
from app.web.afterwards import Afterwards
from app.web.archive import conversations_html, opening
from app.web.choosing import left_of
from app.web.conversation import Conversation, Turn, turn_html
from app.web.judging import plain_text
from app.web.panel import Shown, panel_of
from app.web.reading import spot_of
from app.web.thread import kept_turn, thread_of
from tests.app.web.double import DoubleService
from tests.app.web.scripted import HOSTILE
from tests.app.web.talks import Talk


@pytest.fixture
def kept(service: DoubleService, turn: Turn) -> Turn:
    return kept_turn(service, turn, None)[0]


def acted(service: DoubleService, conversation: Conversation, **data: Any) -> list[Turn]:
    return list(Afterwards(service).act(data, len(conversation) - 1, conversation))


def test_a_kept_conversation_is_read_back_whole(service: DoubleService, turn: Turn) -> None:
    first, thread = kept_turn(service, turn, None)
    second, same = kept_turn(service, turn, thread)
    assert same == thread
    assert thread is not None
    assert thread_of(service, thread) == (first, second)
    assert turn_html(first, 0) in turn_html(thread_of(service, thread)[0], 0)
    with pytest.raises(AttestError):
        thread_of(service, 99)


def test_what_cannot_be_kept_is_still_shown(
    service: DoubleService, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AttestError("there is no collection 'Contracts'")

    monkeypatch.setattr(service.conversations, "keep", refuse)
    shown, thread = kept_turn(service, turn, None)
    assert thread is None
    html = turn_html(shown, 0)
    assert "This answer is not kept: there is no collection" in html
    assert 'data-act="rate"' not in html
    assert 'data-local="copy"' in html


def test_thumbs_and_notes(service: DoubleService, kept: Turn) -> None:
    (up,) = acted(service, (kept,), act="rate", rating="1")
    assert 'data-rating="0" aria-pressed="true" aria-label="Good answer"' in turn_html(up, 0)
    (noted,) = acted(service, (up,), act="note", value=HOSTILE * 100)
    assert (noted.rating, len(noted.note)) == (1, 2000)
    assert "<script" not in turn_html(noted, 0)
    assert acted(service, (kept,), act="rate", rating="9") == []


def test_needs_are_measured_once_and_kept(service: DoubleService, kept: Turn) -> None:
    waiting, done = acted(service, (kept,), act="needed")
    assert (waiting.measuring, done.measuring) == (True, False)
    assert done.shown is not None
    assert [cited.needed for cited in done.shown.citations] == [0.5, 0.25, pytest.approx(0.1667, abs=1e-3)]
    assert thread_of(service, 1)[0].shown == done.shown
    assert acted(service, (done,), act="needed") == []
    assert service.measured == 1


def test_the_other_ways_to_answer_stand_beside(service: DoubleService, kept: Turn) -> None:
    waiting, first, both = acted(service, (kept,), act="compare")
    assert (waiting.comparing, first.comparing, both.comparing) == (True, True, False)
    assert [each.mode for each in both.beside] == ["none", "text"]
    html = turn_html(both, 0)
    assert html.count('at-compare-column"') == 3
    assert "It depends on the contract." in html
    (back,) = thread_of(service, 1)
    assert [each.kept for each in back.beside] == [2, 3]
    assert acted(service, (both,), act="compare") == []


def test_a_question_that_fails_in_another_way_says_so(service: DoubleService, kept: Turn) -> None:
    service.failing = "The model is busy."
    *_, both = acted(service, (kept,), act="compare")
    assert turn_html(both, 0).count("The model is busy.") == 2


def test_a_deleted_source_is_said_to_be_gone(service: DoubleService, kept: Turn) -> None:
    assert kept.answer is not None
    where = Shown(0, spot_of(kept.answer.citations[0]))
    service.delete_document("lease")
    (now,) = thread_of(service, 1)
    assert now.deleted == 1
    html = turn_html(now, 0)
    assert "A document behind this answer was deleted since." in html
    assert "Office lease" not in html
    spot = left_of(now, where)
    assert spot is not None
    panel = panel_of(service, now, Shown(0, spot))
    assert panel.deleted
    assert not panel.measurable


def test_copied_text_has_numbers_and_pin_cites(kept: Turn) -> None:
    assert kept.shown is not None
    text = plain_text(kept.shown, kept.pins)
    assert "notice in writing**. [1][2]" in text
    assert text.endswith("[3] Office lease, Harbour Row.pdf, p. 1, § 3")


def test_the_list_names_and_escapes() -> None:
    html = conversations_html([Talk(3, "Contracts", HOSTILE, answers=2)], 3, searched=False)
    assert "<script" not in html
    assert 'data-conversation="3" aria-current="true"' in html
    assert "2 answers" in html
    assert "No conversation has these words." in conversations_html([], None, searched=True)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({"act": "open", "conversation": "7"}, [7]),
        ({"act": "open", "conversation": "3"}, [3]),
        ({"act": "forget-now", "conversation": "3"}, [None]),
        ({"act": "forget-now", "conversation": "7"}, []),
        ({"act": "open", "conversation": "x"}, []),
        ({"act": "rename", "conversation": "7"}, []),
        ("nonsense", []),
    ],
)
def test_which_conversation_is_opened_by_a_click(data: Any, shown: list[int | None]) -> None:
    found = opening(SimpleNamespace(_data=data), 3)  # type: ignore[arg-type]
    assert [each.thread for each in (found,) if each is not None] == shown
