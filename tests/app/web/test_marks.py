"""Answers as HTML: escaped, numbered where the marks say, and nowhere else."""

import re

from hypothesis import given
from hypothesis import strategies as st

from app.answering.answer import Claim, SentenceMark
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


def test_what_was_not_found_is_underlined_and_nothing_else() -> None:
    text = "It is **45 days**, or 30."
    claims = [Claim(8, 15, "measure", []), Claim(22, 24, "number", [1])]
    html = answer_html(text, [SentenceMark(0, 25, [1])], known={1}, claims=claims)
    span = '<span class="at-unfound" title="Not in the cited passages">'
    assert f"{span}45 days</span></span></strong>" in html
    assert re.sub("<[^>]*>", "", html).startswith("It is 45 days, or 30.")
    assert html.count("at-unfound") == 1


def test_a_number_stands_behind_the_line_of_a_claim_that_ends_a_sentence() -> None:
    html = answer_html("Beta", [SentenceMark(0, 4, [1])], known={1}, claims=[Claim(0, 4, "name", [])])
    assert 'passages">Beta</span>' in html
    assert html.index("Beta</span>") < html.index("<button")


def test_claims_side_by_side_and_across_markup() -> None:
    claims = [Claim(0, 1, "number", []), Claim(1, 6, "name", [])]
    html = answer_html("5A *b*", claims=claims)
    assert html.count("at-unfound") == 3
    assert re.sub("<[^>]*>", "", html).strip() == "5A b"


@given(st.text(max_size=100), st.integers(-5, 110), st.integers(-5, 110))
def test_any_claim_gives_only_harmless_tags_well_nested(text: str, start: int, end: int) -> None:
    html = answer_html(text, claims=[Claim(start, end, "name", [])])
    assert {name for _, name in TAG.findall(html)} <= ALLOWED
    assert not set("\ue000\ue001\ue002\ue003") & set(html)
    assert html.count("<span") == html.count("</span>")
