"""The conversation: what is said when there is an answer, none, an error; nothing foreign is run."""

from dataclasses import replace

from app.web.conversation import (
    ABSTAINED,
    Turn,
    conversation_html,
    history,
    seconds,
    snippet,
    turn_html,
    welcome_html,
)
from tests.app.web.scripted import HOSTILE, legal_answer, medical_answer


def test_citations_name_document_page_and_share(turn: Turn) -> None:
    html = turn_html(turn, 2)
    assert html.count('class="at-source"') == 3
    assert "Office lease, Harbour Row.pdf" in html
    assert "page 1" in html
    assert "28.3 %" in html
    assert 'data-turn="2" data-n="3"' in html
    assert "first word after 820 ms" in html


def test_no_share_is_claimed_where_none_was_measured(turn: Turn) -> None:
    assert turn.answer is not None
    unread = [replace(citation, attention=0.0, read=0.0) for citation in turn.answer.citations]
    html = turn_html(replace(turn, answer=replace(turn.answer, citations=unread)), 0)
    assert "%" not in html


def test_every_foreign_text_is_escaped() -> None:
    answer = medical_answer()
    turn = Turn(HOSTILE, HOSTILE, "memory", answer=answer, reads=tuple(answer.reads), error=HOSTILE)
    html = conversation_html((turn,)) + welcome_html(HOSTILE, HOSTILE, askable=True, empty=False)
    assert "<script" not in html
    assert "<img" not in html
    assert "href" not in html
    assert "&lt;script&gt;" in html


def test_abstaining_is_a_plain_sentence_with_the_nearest_passages() -> None:
    answer = legal_answer(abstained=True)
    html = turn_html(Turn("?", "Contracts", "memory", answer=answer, reads=tuple(answer.reads)), 0)
    assert ABSTAINED in html
    assert html.count('data-act="passage"') == 4
    assert "at-cite" not in html


def test_an_answer_on_its_way_and_one_that_failed() -> None:
    turn = Turn("Why?", "Contracts", "memory")
    assert "Finding" in turn_html(turn, 0, waiting="Finding")
    assert "at-writing" in turn_html(replace(turn, text="So far"), 0, waiting="")
    failed = turn_html(replace(turn, text="So far", error="The model is gone."), 0)
    assert 'role="alert">The model is gone.' in failed
    assert "So far" in failed
    assert "You stopped" in turn_html(replace(turn, stopped=True), 0)


def test_history_leaves_out_abstentions(turn: Turn) -> None:
    silent = replace(turn, answer=legal_answer(abstained=True))
    assert turn.answer is not None
    told = history((turn, silent, Turn("x", "Contracts", "text")))
    assert told == [(turn.question, turn.answer.answer)]


def test_welcome_fits_the_state_of_the_collection() -> None:
    assert "Add documents" in welcome_html("Contracts", "legal", askable=False, empty=True)
    assert "being read" in welcome_html("Contracts", "legal", askable=False, empty=False)
    assert "law governs" in welcome_html("Contracts", "legal", askable=True, empty=False)
    assert "excluded" in welcome_html("Drugs", "medical", askable=True, empty=False)


def test_small_words() -> None:
    assert [seconds(80.4), seconds(1420)] == ["80 ms", "1.4 s"]
    assert snippet("a  b\nc") == "a b c"
    assert snippet("word, " * 50, 20) == "word, word, word …"
