"""The panel: rectangles where the words are, numbers that add up, foreign text escaped."""

import re
from dataclasses import replace
from html import escape

import pytest

from app.answering.answer import MemoryRead, Other, StretchRead
from app.web.bars import needed_bar
from app.web.conversation import Turn
from app.web.evidence import CAPTION, evidence_html
from app.web.panel import Shown, first_shown, panel_of
from app.web.reading import Spot
from app.web.sheet import blocks
from app.web.stretches import steps
from tests.app.web.double import DoubleService
from tests.app.web.scripted import HEIGHT, HOSTILE, LEASE, WIDTH, legal_answer, medical_answer

SHARE = re.compile(r'at-share">([0-9.]+) %')
PLACE = re.compile(r"left:([0-9.]+)%;top:([0-9.]+)%;width:([0-9.]+)%;height:([0-9.]+)%")


def shown_html(service: DoubleService, turn: Turn, shown: Shown | None = None) -> str:
    return evidence_html(panel_of(service, turn, shown or first_shown(0, turn)))


def test_page_image_with_words_where_they_are(service: DoubleService, turn: Turn) -> None:
    html = shown_html(service, turn)
    assert 'src="/page/documents/lease/pages/1.png?width=1240"' in html
    assert f"aspect-ratio:{WIDTH:.2f}/{HEIGHT:.2f}" in html
    start = LEASE.index("ninety days'")
    (box,) = service.rectangles("lease", 1, [(start, start + len("ninety days'"))])[0]
    places = [tuple(map(float, place)) for place in PLACE.findall(html)]
    expected = (100 * box[0] / WIDTH, 100 * box[1] / HEIGHT, 100 * (box[2] - box[0]) / WIDTH)
    assert any(place[:3] == pytest.approx(expected, abs=0.01) for place in places)
    assert all(left + width <= 100.01 and top + high <= 100.01 for left, top, width, high in places)
    assert html.count("at-outline") == 1
    assert 'title="read ' in html
    assert set(re.findall(r"at-s[0-9]", html)) <= {"at-s1", "at-s2", "at-s3", "at-s4"}


def test_bars_add_to_one_hundred_and_name_what_is_not_documents(service: DoubleService, turn: Turn) -> None:
    for stretch in (None, 0, 1):
        html = shown_html(service, turn, replace(first_shown(0, turn), stretch=stretch))
        assert sum(round(10 * float(share)) for share in SHARE.findall(html)) == 1000
        rest = (">all passages<", ">question<", ">answer so far<", ">other (prefix)<")
        assert all(label in html for label in rest)
        assert CAPTION in html


def test_many_passages_share_the_last_bar(service: DoubleService, turn: Turn) -> None:
    memories = [MemoryRead(i, "lease", 1, 10 * i, 10 * i + 5, "x", 0.1, 0.05, []) for i in range(9)]
    reads = (StretchRead(0, 9, memories, Other(0.25, 0.2, 0.1)),)
    html = shown_html(service, replace(turn, reads=reads), Shown(0, None))
    assert html.count('data-act="passage"') == 5
    assert "4 more passages" in html
    assert sum(round(10 * float(share)) for share in SHARE.findall(html)) == 1000


def test_stretches_can_be_chosen(service: DoubleService, turn: Turn) -> None:
    html = shown_html(service, turn, replace(first_shown(0, turn), stretch=1))
    assert 'data-stretch="1" aria-pressed="true">tokens 64–91<' in html
    assert 'data-stretch="" aria-pressed="false">Whole answer<' in html
    assert html.count('data-act="passage"') == 2


def test_text_page_marks_words_in_their_place(service: DoubleService, turn: Turn) -> None:
    assert turn.answer is not None
    notes = turn.answer.citations[1]
    html = shown_html(service, turn, Shown(0, Spot("notes", 1, notes.start, notes.end)))
    assert "<img" not in html
    assert re.search(r'<mark class="at-s4" title="read [0-9.]+ %">Ninety</mark>', html)
    plain = re.sub(r"<[^>]+>", "", html.split('class="at-text">')[1].split("</div>")[0])
    assert plain.replace("&#x27;", "'") == service.page_view("notes", 1).text


def test_another_page_shows_no_marks(service: DoubleService, turn: Turn) -> None:
    html = shown_html(service, turn, replace(first_shown(0, turn), page=2))
    assert "/pages/2.png" in html
    assert "at-outline" not in html
    assert "at-word" not in html
    assert 'aria-label="Next page" disabled' in html


def test_removed_document_keeps_the_bars(service: DoubleService, turn: Turn) -> None:
    service.delete_document("lease")
    html = shown_html(service, turn)
    assert turn.answer is not None
    name = turn.answer.citations[0].document_name
    assert "Source deleted" in html
    assert f"The source of this passage, {name}, was deleted after the answer was written." in html
    assert "attest documents" not in html  # what to type belongs to the command line
    assert sum(round(10 * float(share)) for share in SHARE.findall(html)) == 1000


def test_a_passage_that_is_not_cited_gets_its_name_from_the_service(
    service: DoubleService, turn: Turn
) -> None:
    other = MemoryRead(9, "half", 1, 0, 5, "x", 0.1, 0.4, [])
    reads = (StretchRead(0, 9, [other], Other(0.2, 0.2, 0.2)),)
    html = shown_html(service, replace(turn, reads=reads), Shown(0, None))
    assert "Annexes.pdf" in html
    service.delete_document("half")
    assert "a deleted document" in shown_html(service, replace(turn, reads=reads), Shown(0, None))


def test_without_documents_only_the_rest_is_shown(service: DoubleService) -> None:
    answer = legal_answer("none")
    html = shown_html(service, Turn("?", "Contracts", "none", answer=answer, reads=tuple(answer.reads)))
    assert "not read from any document" in html
    assert SHARE.findall(html) == ["40.0", "30.0", "30.0"]


def test_read_as_text_the_passages_are_part_of_the_question(service: DoubleService) -> None:
    answer = legal_answer("none")
    turn = Turn("?", "Contracts", "text", answer=answer, reads=tuple(answer.reads))
    html = shown_html(service, turn)
    assert ">question and passages<" in html
    assert "Not from documents" not in html


def test_hostile_names_and_texts_are_escaped(service: DoubleService) -> None:
    service.library["leaflet"] = replace(service.library["leaflet"], name=HOSTILE)
    answer = medical_answer()
    html = shown_html(service, Turn("?", "Medicines", "memory", answer=answer, reads=tuple(answer.reads)))
    assert "<script" not in html
    assert "<img" not in html
    text = html.split('class="at-text">')[1].split("</div>")[0]
    assert re.sub(r"<[^>]+>", "", text).startswith("&lt;script&gt;")


def test_outline_follows_columns() -> None:
    lines = [(50.0, 700.0, 290.0, 712.0), (50.0, 715.0, 290.0, 727.0), (310.0, 60.0, 550.0, 72.0)]
    assert blocks(lines) == [(50.0, 700.0, 290.0, 727.0), (310.0, 60.0, 550.0, 72.0)]
    assert blocks([]) == []


def test_needed_is_shown_where_it_was_measured(service: DoubleService, turn: Turn) -> None:
    html = shown_html(service, turn)
    assert turn.answer is not None
    assert re.findall(r'at-nats">([^<]+)<', html) == ["0.42 nats", *["not measured"] * 3]
    assert 'data-act="needed"' in html  # of two citations it is not known yet
    known = replace(turn, answer=service.needed("?", "Contracts", turn.answer))
    html = shown_html(service, known)
    assert re.findall(r'at-nats">([^<]+)<', html) == ["0.50 nats", "0.25 nats", "0.17 nats", "not measured"]
    assert 'data-act="needed"' not in html
    widths = re.findall(r'at-fill-needed" style="width:([0-9.]+)%"', html)
    assert widths == ["100.0", "50.0", "33.3", "0.0"]
    assert "Taking each passage away" in evidence_html(panel_of(service, turn, Shown(0), measuring=True))


def test_a_passage_that_makes_the_answer_less_likely_has_an_empty_bar() -> None:
    html = needed_bar(-0.3, 0.5)
    assert "width:0.0%" in html
    assert "-0.30 nats" in html
    assert "0.00 nats" in needed_bar(-0.001, 0.5)


def test_a_sentence_marks_the_passages_that_it_drew_on(service: DoubleService, turn: Turn) -> None:
    html = shown_html(service, turn, replace(first_shown(0, turn), sentence=2))
    assert "If rent stays unpaid for thirty days" in html
    assert html.count("at-drawn-on") == 2
    assert "at-drawn-on" not in shown_html(service, turn)


def test_words_are_listed_with_strength_and_number(service: DoubleService, turn: Turn) -> None:
    html = shown_html(service, turn)
    listed = re.findall(
        r'at-key at-s(\d)">(\d)</span><span class="at-key-word">([^<]+)</span>'
        r'<span class="at-key-share">([0-9.]+) %',
        html,
    )
    assert listed[0][:3] == ("4", "4", "ninety days&#x27;")
    assert [shade for shade, *_ in listed] == [number for _, number, *_ in listed]
    shares = [float(share) for *_, share in listed]
    assert shares == sorted(shares, reverse=True)
    assert {"4", "3", "2", "1"} >= {number for _, number, *_ in listed}


def test_the_decode_is_stepped_through(service: DoubleService, turn: Turn) -> None:
    first, second = steps(turn.reads)
    assert [new for *_, new in first.held] == [False] * 4
    assert [spot.start for spot, _, new in second.held if new] == []
    assert len(second.dropped) == 2
    html = shown_html(service, turn, replace(first_shown(0, turn), stretch=1))
    assert "0 new, 2 dropped" in html
    assert 'aria-label="Later stretch" disabled' in html
    assert re.search(r'at-memory-gone" title="not read any more">−2<', html)
    assert turn.answer is not None
    words = turn.answer.answer
    reads = (replace(turn.reads[0], start=0, end=20), replace(turn.reads[1], start=20, end=len(words)))
    assert steps(reads, words)[1].text == " ".join(words[20:].split())
    said = shown_html(service, replace(turn, reads=reads), replace(first_shown(0, turn), stretch=0))
    assert f"<q>{escape(' '.join(words[:20].split()))}</q>" in said
    fresh = MemoryRead(9, "half", 1, 0, 5, "x", 0.1, 0.4, [])
    other = StretchRead(91, 99, [fresh], Other(0.2, 0.2, 0.2))
    assert [new for *_, new in steps([*turn.reads, other])[2].held] == [True]


def test_evidence_of_an_older_version_says_so(service: DoubleService, turn: Turn) -> None:
    panel = panel_of(service, turn, first_shown(0, turn))
    assert panel.page is not None
    assert "older version" not in evidence_html(panel)
    older = replace(panel, page=replace(panel.page, superseded=True))  # type: ignore[type-var]
    assert "an older version of the document" in evidence_html(older)
