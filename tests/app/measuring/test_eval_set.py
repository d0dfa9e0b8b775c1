"""The question set that ships: whole, kept from training, and what its LICENCES.md says."""

import re
from collections import Counter
from importlib import resources
from pathlib import Path

from app.measuring.evaluating import usable
from app.measuring.questions import read_contexts, read_questions

FOLDER = Path(str(resources.files("assets").joinpath("eval")))
DOMAINS = {
    "CUAD_v1": "law",
    "COVID-QA-200423": "medicine",
    "MedQuAD": "medicine",
    "PubMedQA-L-fullabstract": "medicine",
    "QED-NaturalQuestions": "general",
    "SQuAD-2.0": "general",
}


def test_every_question_can_be_judged_and_its_answers_stand_where_they_say() -> None:
    questions, contexts = read_questions(FOLDER / "questions.jsonl"), read_contexts(FOLDER / "contexts.jsonl")
    assert usable(questions, contexts) == questions
    assert len({question.id for question in questions}) == len(questions)
    for question in questions:
        for answer in question.answers:
            assert contexts[question.context_id].text[answer.start : answer.end] == answer.text, question.id
        absent = question.dataset.endswith("/absent-document")
        assert (question.context_id not in contexts) == absent, question.id
        assert not (absent and question.answers)
        assert "Highlight the parts" not in question.text
    assert {question.context_id for question in questions} > set(contexts)


def test_no_context_may_be_trained_on() -> None:
    assert all(context.held_out for context in read_contexts(FOLDER / "contexts.jsonl").values())


def test_a_third_of_each_domain_and_a_quarter_without_an_answer() -> None:
    questions = read_questions(FOLDER / "questions.jsonl")
    domains = Counter(DOMAINS[question.dataset.split("/")[0]] for question in questions)
    assert domains == {"law": 120, "medicine": 120, "general": 120}
    open_ones = Counter(DOMAINS[q.dataset.split("/")[0]] for q in questions if not q.answers)
    assert open_ones == {"law": 30, "medicine": 30, "general": 30}


def test_the_licences_count_and_name_what_is_there() -> None:
    licences = (FOLDER / "LICENCES.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| (\d[^|]*) \|", licences, re.MULTILINE)
    counted = sum(int(number) for row in rows for number in re.findall(r"(?<![\w.])\d+", row))
    assert counted == len(read_questions(FOLDER / "questions.jsonl"))
    for context in read_contexts(FOLDER / "contexts.jsonl").values():
        if context.id.startswith("cuad-"):
            assert f"| {context.title} |" in licences
