"""CUAD's templates become what people ask, one of several ways; other questions stay."""

import random
import tomllib
from importlib import resources

from app.adapting.templates import _natural_questions, called, kind, natural, request, unnamed
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


def test_a_contract_is_called_by_its_company_and_what_it_is() -> None:
    for title, name in (
        ("LUCIDINC_04_15_2011-EX-10.9-DISTRIBUTOR AGREEMENT", "Lucid distributor agreement"),
        ("Zounds Hearing, Inc. - MANUFACTURING AGREEMENT", "Zounds Hearing manufacturing agreement"),
        (
            "EcoScienceSolutionsInc_20171117_8-K_EX-10.1_10956472_EX-10.1_Endorsement Agreement2",
            "Eco Science Solutions endorsement agreement",
        ),
    ):
        assert called(title) == name
    for title in ("Gout", "Lease 3", "MSCIINC_02_28_2008-EX-10.10-", "Agreement", ""):
        assert called(title) is None


def test_questions_of_one_kind_are_asked_of_many_documents() -> None:
    def asked(text: str) -> str | None:
        return kind(Question("x", text, (), "c"))

    assert asked(TEMPLATE.format("Governing Law")) == "Governing Law"
    assert asked("What are the symptoms of Gout ?") == asked("What are the symptoms of Cystocele ?")
    assert asked("What are the symptoms of Gout ?") == "What are the symptoms?"
    assert asked("When did OPEC begin?") is None


def test_requests_are_filled_in_and_none_of_those_that_examine() -> None:
    drawn = [request(random.Random(seed)) for seed in range(2000)]
    assert drawn[:50] == [request(random.Random(seed)) for seed in range(50)]
    assert len(set(drawn)) > 1000
    assert not any("{" in each and "JSON" not in each for each in drawn)
    file = resources.files("assets") / "eval" / "chat.toml"
    examined = {" ".join(each.split()) for each in tomllib.loads(file.read_text(encoding="utf-8"))["prompts"]}
    assert not examined & set(drawn)
