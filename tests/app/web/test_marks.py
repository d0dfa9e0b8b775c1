"""Answers as HTML: escaped, numbered where the marks say, and nowhere else."""

import re

from hypothesis import given
from hypothesis import strategies as st

from app.answer import SentenceMark
from app.web.marks import answer_html

TAG = re.compile(r"<(/?)([a-z0-9]+)")
ALLOWED = {"p", "strong", "em", "br", "ul", "ol", "li", "code", "pre", "blockquote", "hr", "span", "button"}
ALLOWED |= {"h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"}


def test_numbers_stand_at_sentence_ends_and_bold_survives() -> None:
    text = "**It ends.** Notice is needed.\n"
    marks = [SentenceMark(0, 12, [1, 2]), SentenceMark(13, 31, [2])]
    html = answer_html(text, marks, turn=3, known={1, 2})
    assert html.startswith('<p><strong><span class="at-sentence"')
    assert 'role="button">It ends.</span></strong><span class="at-cites">' in html
    assert html.count('data-act="citation"') == 3
    assert 'data-turn="3" data-n="1"' in html
    assert html.rstrip().endswith("</span></p>")


def test_each_sentence_can_be_pointed_at_also_through_markup() -> None:
    text = "One *is* here. Two stays.\n\n* Three"
    marks = [SentenceMark(0, 15, [1]), SentenceMark(15, 27, []), SentenceMark(27, 34, [])]
    html = answer_html(text, marks, turn=1, known={1})
    spans = re.findall(
        r'data-turn="1" data-sentence="(\d)"( tabindex="0" role="button")?>([^<]*)</span>', html
    )
    assert [(number, bool(focus), said.strip()) for number, focus, said in spans] == [
        ("0", True, "One"),
        ("0", False, "is"),
        ("0", False, "here."),
        ("1", True, "Two stays."),
        ("2", True, "Three"),
    ]
    assert "<li>" in html
    assert "at-sentence" not in answer_html(text)


def test_unknown_numbers_and_numbers_in_the_text_are_not_links() -> None:
    html = answer_html("See [7] and [1](http://x).", [SentenceMark(0, 26, [9])], known={1})
    assert "<button" not in html
    assert "<a" not in html
    assert "[7]" in html


def test_the_model_cannot_forge_a_mark() -> None:
    assert "<button" not in answer_html("Yes.\ue0001\ue001", [], known={1})


def test_html_is_shown_not_run() -> None:
    html = answer_html("<script>alert(1)</script> <img src=x onerror=a()> ![x](http://evil/x.png)")
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert "<img" not in html


@given(st.text(max_size=200), st.integers(0, 220), st.integers(0, 220))
def test_any_text_gives_only_harmless_tags(text: str, start: int, end: int) -> None:
    html = answer_html(text, [SentenceMark(start, end, [1])], known={1})
    assert {name for _, name in TAG.findall(html)} <= ALLOWED
    assert html.count("<button") == 1
    assert "\ue000" not in html
    assert "\ue001" not in html
