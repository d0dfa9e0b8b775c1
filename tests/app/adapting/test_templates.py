"""CUAD's templates become what people ask, one of several ways; other questions stay."""

import random

from app.adapting.templates import _natural_questions, natural
from app.measuring.questions import Question

TEMPLATE = (
    'Highlight the parts (if any) of this contract related to "{}" that should be reviewed by a lawyer. '
    "Details: On what date will the contract's initial term expire?"
)


def test_every_category_has_several_questions() -> None:
    categories = _natural_questions()
    assert len(categories) == 41
    for name, asked in categories.items():
        assert len(set(asked)) >= 3, name
        assert all(each.endswith("?") and "Highlight" not in each for each in asked), name


def test_a_template_becomes_one_of_its_categorys_questions_by_the_generator() -> None:
    question = Question("x", TEMPLATE.format("Expiration Date"), (), "c", "CUAD_v1")
    asked = [natural(question, random.Random(seed)) for seed in range(30)]
    assert {each.text for each in asked} == set(_natural_questions()["Expiration Date"])
    assert {(each.id, each.context_id, each.dataset) for each in asked} == {("x", "c", "CUAD_v1")}
    assert natural(question, random.Random(3)) == asked[3]


def test_other_questions_and_unknown_categories_stay() -> None:
    for text in ("When did OPEC begin?", TEMPLATE.format("Pets"), ""):
        question = Question("x", text, (), "c")
        assert natural(question, random.Random(0)) == question
