"""Clicks and questions as the browser sends them: anything may come, only what is known is shown."""

from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.choosing import chosen_of
from app.web.conversation import Turn, conversation_html
from app.web.panel import Shown, first_shown
from app.web.reader import Reader, ReaderParts, mode_of
from app.web.reading import Spot, spot_of
from tests.app.web.double import DoubleService
from tests.app.web.scripted import LEASE, legal_answer


def spot_data(turn: Turn, **change: Any) -> dict[str, Any]:
    memory = turn.reads[0].memories[0]
    data = {
        "act": "passage",
        "turn": "0",
        "document": memory.document_id,
        "page": "1",
        "start": str(memory.start),
        "end": str(memory.end),
    }
    return {**data, **change}


def test_a_citation_shows_its_passage(turn: Turn) -> None:
    assert turn.answer is not None
    cited = turn.answer.citations[2]
    chosen = chosen_of({"act": "citation", "turn": "0", "n": "3"}, (turn,), None)
    assert chosen == Shown(0, Spot("lease", 1, cited.start, cited.end))
    assert chosen_of({"act": "citation", "turn": "0", "n": "9"}, (turn,), None) is None
    assert chosen_of({"act": "citation", "turn": "4", "n": "1"}, (turn,), None) is None


def test_a_passage_must_have_been_read(turn: Turn) -> None:
    assert chosen_of(spot_data(turn), (turn,), None) is not None
    assert chosen_of(spot_data(turn, document="other-secret"), (turn,), None) is None
    assert chosen_of(spot_data(turn, end=str(len(LEASE))), (turn,), None) is None


def test_pages_and_stretches_keep_what_is_shown(turn: Turn) -> None:
    shown = first_shown(0, turn)
    paged = chosen_of({"act": "page", "turn": "0", "page": "2"}, (turn,), shown)
    assert paged is not None
    assert (paged.spot, paged.page) == (shown.spot, 2)
    part = chosen_of({"act": "stretch", "turn": "0", "stretch": "1"}, (turn,), shown)
    assert part is not None
    assert part.stretch == 1
    kept = chosen_of({"act": "citation", "turn": "0", "n": "2"}, (turn,), part)
    assert kept is not None
    assert kept.stretch == 1
    assert chosen_of({"act": "page", "turn": "0", "page": "2"}, (turn,), None) is None


values = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2))
ACTS = ["citation", "sentence", "passage", "page", "stretch", "other"]


@given(
    st.dictionaries(st.sampled_from(["turn", "n", "page", "start", "end", "stretch", "sentence"]), values),
    st.sampled_from(ACTS),
)
def test_any_click_is_refused_or_shown(data: dict[str, Any], act: str) -> None:
    answer = legal_answer()
    turn = Turn("?", "Contracts", "memory", answer=answer, reads=tuple(answer.reads))
    try:
        chosen = chosen_of({**data, "act": act}, (turn,), Shown(0))
    except (KeyError, ValueError, TypeError):
        return
    assert chosen is None or chosen.turn == 0


def test_what_is_shown_first() -> None:
    closest = first_shown(
        0, Turn("?", "C", "memory", answer=(a := legal_answer(abstained=True)), reads=tuple(a.reads))
    )
    assert closest.spot is not None
    assert first_shown(0, Turn("?", "C", "memory")).spot is None
    answer = legal_answer()
    marks = [replace(mark, citations=[2] if index else []) for index, mark in enumerate(answer.sentences)]
    drawn = first_shown(0, Turn("?", "C", "memory", answer=replace(answer, sentences=marks)))
    assert drawn.spot == spot_of(answer.citations[1])
    unmarked = first_shown(0, Turn("?", "C", "memory", answer=replace(answer, sentences=[])))
    assert unmarked.spot == spot_of(answer.citations[0])


@pytest.mark.parametrize(
    ("label", "mode"), [("Without documents", "none"), ("From re-read text", "text"), ("x", "memory")]
)
def test_modes(label: str, mode: str) -> None:
    assert mode_of(label) == mode


def answered(service: DoubleService, tab: str = "tab") -> Turn:
    """The turn that asking on the page leaves; the page's components are their names."""
    reader = Reader(service, ReaderParts(**{each.name: each.name for each in fields(ReaderParts)}))  # type: ignore[arg-type]
    request = SimpleNamespace(session_hash=tab)
    *_, last = reader.ask("How?", "Contracts", "From memories", (), None, (), None, request)  # type: ignore[arg-type]
    (turn,) = last["conversation"]
    assert last["past"].endswith(conversation_html((turn,)))
    assert service.conversations.answers(last["thread"])[0].id == turn.kept
    return turn


def test_a_model_that_reads_no_memories_answers_in_text_mode_and_says_so(service: DoubleService) -> None:
    service.refusal = "its attention slides over a window; ask in text mode"
    turn = answered(service)
    assert (turn.mode, turn.error) == ("text", None)
    assert turn.answer is not None
    assert turn.answer.engine.mode == "text"
    assert [asked[2] for asked in service.asked] == ["memory", "text"]
    html = conversation_html((turn,))
    assert '<p class="at-note">Answered from re-read text: its attention slides over a window' in html
    assert "at-error" not in html


def test_a_trimmed_conversation_is_noted_under_the_answer(service: DoubleService) -> None:
    service.trimmed = 4
    turn = answered(service)
    assert turn.mode == "memory"
    html = conversation_html((turn,))
    assert html.index("at-answer") < html.index("its 4 oldest messages were left out")
    assert answered(DoubleService(service.folder)).notes == ()


def test_each_tab_asks_in_its_own_name(service: DoubleService) -> None:
    for tab in ("one", "two", "one"):
        answered(service, tab)
    assert service.clients == ["one", "two", "one"]


@pytest.mark.parametrize("quiet", [True, False])
def test_what_an_answer_needed_is_measured_while_nobody_waits(service: DoubleService, quiet: bool) -> None:
    service.quiet = quiet
    reader = Reader(service, ReaderParts(**{field.name: field.name for field in fields(ReaderParts)}))  # type: ignore[arg-type]
    request = SimpleNamespace(session_hash="tab")
    *_, last = reader.ask("How?", "Contracts", "From memories", (), None, (), None, request)  # type: ignore[arg-type]
    assert any(cited.needed is None for cited in last["conversation"][0].answer.citations)
    found = reader.weigh(last["conversation"], request)  # type: ignore[arg-type]
    if quiet:
        updates = reader.weighed(found, last["shown"], last["thread"])
        assert all(cited.needed is not None for cited in updates["conversation"][0].answer.citations)
        assert "Check what was needed" not in updates["evidence"]
        assert "question" not in updates  # the reader may be writing the next one
    else:
        assert found == gr.skip()


def test_what_was_needed_does_not_displace_a_question_that_came_meanwhile(
    service: DoubleService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.quiet = True
    reader = Reader(service, ReaderParts(**{field.name: field.name for field in fields(ReaderParts)}))  # type: ignore[arg-type]
    request = SimpleNamespace(session_hash="tab")
    asked = ("And when?", "Contracts", "From memories", (), None, (), None, request)
    *_, last = reader.ask(*asked)  # type: ignore[arg-type]
    measure = service.needed

    def while_another_is_asked(*given: Any, **options: Any) -> Any:
        list(reader.ask(*asked))  # type: ignore[arg-type]
        return measure(*given, **options)

    monkeypatch.setattr(service, "needed", while_another_is_asked)
    assert reader.weigh(last["conversation"], request) == gr.skip()  # type: ignore[arg-type]


def test_a_tab_asks_one_question_at_a_time(service: DoubleService) -> None:
    reader = Reader(service, ReaderParts(**{field.name: field.name for field in fields(ReaderParts)}))  # type: ignore[arg-type]
    asked = ("How?", "Contracts", "From memories", (), None, (), None)
    one, other = SimpleNamespace(session_hash="one"), SimpleNamespace(session_hash="other")
    answering = reader.ask(*asked, one)  # type: ignore[arg-type]
    next(answering)
    assert list(reader.ask(*asked, one)) == [gr.skip()]  # type: ignore[arg-type]
    assert len(list(reader.ask(*asked, other))) > 2  # type: ignore[arg-type]
    answering.close()  # the browser went away
    assert len(list(reader.ask(*asked, one))) > 2  # type: ignore[arg-type]
