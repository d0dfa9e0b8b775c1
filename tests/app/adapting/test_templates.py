"""CUAD's templates become what people ask, one of several ways; other questions stay."""

import random

from app.adapting.templates import _natural_questions, natural, unnamed
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


def test_a_question_about_a_disease_goes_without_its_name() -> None:
    for text, plain in (
        ("What are the symptoms of Omsk Hemorrhagic Fever (OHF)? ?", "What are the symptoms?"),
        ("What are the genetic changes related to Christianson syndrome ?", "What are the genetic changes?"),
        ("Who is at risk for Breast Cancer? ?", "Who is at risk?"),
        ("What causes Cystocele ?", "What causes?"),
    ):
        asked = unnamed(Question("x", text, (), "c", "MedQuAD"))
        assert asked == Question("x", plain, (), "c", "MedQuAD")
    for text in ("When did OPEC begin?", "What are the symptoms?", "What is (are) Porencephaly ?", ""):
        assert unnamed(Question("x", text, (), "c")) is None
