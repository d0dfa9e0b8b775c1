"""Values of the same kind: known spellings, and what is none."""

import random

import pytest

from app.measuring.questions import Answered, Question
from app.measuring.swapping import MONTHS, Value, another, edited, value_of


def value(answer: str, question: str = "What is it?") -> Value | None:
    return value_of(Question("1", question, (Answered(answer, 0),), "c", "set"), answer)


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        ("November 15, 2012", "date", "November 15, 2012"),
        ("the 26th day of March 2020", "date", "the 26th day of March 2020"),
        ("1949.", "date", "1949"),
        ("October\n 2007", "date", "October 2007"),
        ("over 2,000", "number", "2,000"),
        ("11 million", "number", "11 million"),
        ("6.7", "number", "6.7"),
        ("three museums", "number", "three"),
        ("Giovanni Ribisi", "name", "Giovanni Ribisi"),
        ("the Ministry of War", "name", "the Ministry of War"),
    ],
)
def test_values(answer: str, kind: str, text: str) -> None:
    found = value(answer)
    assert found is not None
    assert (found.kind, found.text) == (kind, text)


@pytest.mark.parametrize(
    "answer",
    ["30%–50%", "late", "the Customer", "refusals to pay taxes", "It occurs in 1 of 10,000 people.", ""],
)
def test_no_values(answer: str) -> None:
    assert value(answer) is None


@pytest.mark.parametrize(
    "answer", ["November 15, 2012", "6th day of April, 1999", "MAY 1, 2001", "21,000", "three"]
)
def test_another_of_the_same_kind(answer: str) -> None:
    old = value(answer)
    assert old is not None
    generator = random.Random(0)
    found = {another(old, [], generator) for _ in range(30)}
    assert len(found) > 3
    assert answer not in found
    for new in found:
        assert new is not None
        again = value(new)
        assert again is not None
        assert again.kind == old.kind
        assert new.isupper() == answer.isupper()
        assert [c for c in new if c in ",."] == [c for c in answer if c in ",."]
    assert another(old, [], random.Random(1)) == another(old, [], random.Random(1))


def test_names_come_from_questions_of_the_same_kind() -> None:
    who = [value(name, "Who is it?") for name in ("Anna Paquin", "Doug Jones")]
    where = value("Galway Bay", "Where is it?")
    names = [each for each in (*who, where) if each is not None]
    assert len(names) == 3
    assert another(names[0], names, random.Random(0)) == "Doug Jones"
    assert another(names[2], names, random.Random(0)) is None


def test_every_place_is_edited() -> None:
    text = "In 1949 it began; by\n1949, or 19490. Anna\n  Paquin (anna paquin)"
    assert (
        edited(text, "1949", "1952") == "In 1952 it began; by\n1952, or 19490. Anna\n  Paquin (anna paquin)"
    )
    assert edited(text, "Anna Paquin", "Doug Jones").count("Doug Jones") == 2
    assert len(MONTHS) == 12
