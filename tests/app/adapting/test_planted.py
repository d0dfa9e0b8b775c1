"""Questions with one right reference of five."""

from app.adapting.planted import draw
from app.measuring.questions import Answered, Context, Question
from engine.fake import FakeEngine, text_of

FILLER = "The parties keep the premises in good order and insure them against fire and theft at all times. "


def library(count: int = 12) -> tuple[list[tuple[str, Question]], dict[str, Context]]:
    asked, contexts = [], {}
    for n in range(count):
        text = FILLER * 12 + f"The rent of house {n} is {n}00017 euros. " + FILLER * 12
        contexts[f"c{n}"] = Context(f"c{n}", f"Lease {n}", text)
        answer = Answered(f"{n}00017 euros", text.index(f"{n}00017 euros"))
        asked.append(
            ("legal", Question(f"q{n}", f"What is the rent of house {n}?", (answer,), f"c{n}", "set"))
        )
    return asked, contexts


def test_one_reference_alone_holds_the_answer() -> None:
    asked, contexts = library()
    drawn = draw(asked, contexts, FakeEngine().tokenize, 10, seed=1)
    assert len(drawn) == 10
    assert {len(each.references) for each in drawn} == {5}
    assert len({each.right for each in drawn}) > 1
    for each in drawn:
        letters = ["".join(text_of(ids).split()) for ids in each.references]
        holding = [i for i, text in enumerate(letters) if "".join(each.answer.split()) in text]
        assert holding == [each.right]


def test_what_is_drawn_depends_on_the_seed_alone() -> None:
    asked, contexts = library()
    tokenize = FakeEngine().tokenize
    assert draw(asked, contexts, tokenize, 8, 1) == draw(asked, contexts, tokenize, 8, 1)
    assert draw(asked, contexts, tokenize, 8, 1) != draw(asked, contexts, tokenize, 8, 2)


def test_other_contexts_and_answers_in_two_places_are_left_out() -> None:
    asked, contexts = library()
    twice = contexts["c3"]
    contexts["c3"] = Context("c3", "Lease 3", twice.text.replace(FILLER, "It is 300017 euros. " + FILLER, 1))
    del contexts["c5"]
    drawn = draw(asked, contexts, FakeEngine().tokenize, 100, 1)
    assert not any("house 5?" in each.question for each in drawn)
    assert len(drawn) == 10
