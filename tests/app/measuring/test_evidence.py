"""`attest bench evidence` with the fake engine, whose reads, needs and answers can be worked out by hand.

It reads a memory by the words that it shares with the question, answers with the one that shares most, and
gives a token of a known answer -0.1 nats where a memory has it, else -5.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.answering.memories import MemorySource
from app.errors import AttestError
from app.measuring import ablation
from app.measuring.abstention import ABSENT, Kind, balanced, kinds
from app.measuring.evidence import bench_evidence
from app.measuring.faithfulness import Measured, figures
from app.measuring.open_book import Library
from app.measuring.planting import Planted, contains, planted
from app.measuring.questions import Answered, Question, read_contexts, read_questions
from app.measuring.swapped import swapped
from app.settings import Settings
from engine.fake import FakeEmbedder, FakeEngine
from engine.protocol import GenerateOptions, MemoriesFor, Message, Token
from ingest.bank import MemoryBank
from storage.store import Store
from tests.app.conftest import attest

NAMES = ("Alder", "Birch", "Cedar", "Dogwood", "Elder", "Fir tree", "Ginkgo", "Hazel")
FLATS = [
    {
        "context_id": name,
        "title": name,
        "text": f"The tenant of flat {name} owes {431 + 7 * n} crowns of rent a month.",
    }
    for n, name in enumerate(NAMES)
]


def row(name: str, question: str, context: str, answer: str | None, dataset: str = "law") -> dict[str, Any]:
    text = next((each["text"] for each in FLATS if each["context_id"] == context), "")
    answers = [] if answer is None else [{"text": answer, "start": text.index(answer)}]
    kind = {} if answers else {"type": "unanswerable"}
    return {
        "id": name,
        "question": question,
        "answers": answers,
        "context_id": context,
        "dataset": dataset,
        **kind,
    }


QUESTIONS = [
    *(
        row(name, f"Which rent owes the tenant of flat {name}?", name, f"{431 + 7 * n} crowns")
        for n, name in enumerate(NAMES)
    ),
    # the words are those of another flat: what is read is not what is needed
    row("astray", "Which rent owes the tenant of flat Alder, Alder?", "Hazel", "480 crowns"),
    row("open", "Which colour has the roof of flat Cedar?", "Cedar", None),
    row("elsewhere", "Zebras quietly juggle xylophones?", "zoo", None, "law/absent-document"),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, rows in (("contexts", FLATS), ("questions", QUESTIONS)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_every_figure(data: Path, fake_model: None) -> None:
    done = attest("bench", "evidence", "--data", data, "--json")
    assert done.status == 0
    found = done.json
    right = round(8 / 9, 4)  # all but the one astray
    assert found["planted_first_by_read"] == found["planted_first_by_mean_read"] == right
    assert found["planted_first_by_needed"] == 1
    assert found["n"] == {
        "planted": 9,
        "pairs": 45,
        "pairs_needed": 9,
        "swapped": 8,
        "abstention": 11,
        "references": 8,
    }
    assert found["heads_weighted"] is False
    assert 0.9 < found["needed_auc_weighted"] == found["needed_auc_mean"] < 1
    assert 0 < found["needed_auc_retrieval"] <= 1
    assert 0.5 < found["spearman_weighted"] == found["spearman_mean"] < 1
    assert 0.3 < found["lds_weighted"] == found["lds_mean"] < 1
    assert found["swapped"]["number"] == {"asked": 9, "right_before": 8, "followed": 1}
    assert found["swapped"]["date"] == {"asked": 0, "right_before": 0, "followed": None}
    assert found["swapped_followed"] == 1
    assert list(found["abstention"]) == [ABSENT, "law"]
    for kind in found["abstention"].values():
        assert (kind["answerable"], kind["unanswerable"]) == (9, 1)
        assert kind["balanced_accuracy"] == pytest.approx((kind["answered"] + kind["declined"]) / 2, abs=1e-4)
    each = [kind["balanced_accuracy"] for kind in found["abstention"].values()]
    assert found["abstain_balanced_accuracy"] == pytest.approx(np.mean(each), abs=1e-4)
    assert found["standard_errors"]["planted_first_by_read"] == pytest.approx(
        (right * (1 - right) / 9) ** 0.5, abs=0.01
    )
    assert set(found["standard_errors"]) < set(found)
    assert done.stderr.splitlines()[1:4] == [
        "9 of 9 questions have one reference that holds their answer",
        "planted: 9 questions, done",
        "swapped: 9 questions, done",
    ]


def test_fewer_questions_and_people_get_lines(data: Path, fake_model: None) -> None:
    done = attest("bench", "evidence", "--data", data, "--questions", "3", "--seed", "2")
    assert done.status == 0
    assert "planted: 3" in done.stdout.splitlines()
    assert any(line.startswith("needed_auc_weighted") for line in done.stdout.splitlines())


@pytest.fixture
def chosen(data: Path, home: Path) -> Iterator[tuple[MemorySource, list[Planted]]]:
    engine, embedder = FakeEngine(), FakeEmbedder()
    with Store.open(home) as store:
        contexts = read_contexts(data / "contexts.jsonl")
        library = Library(store, engine, embedder, contexts.values(), lambda line: None)
        asked = [each for each in read_questions(data / "questions.jsonl") if each.answers]
        found = list(planted(store, library, embedder, asked, 0))
        yield MemorySource(MemoryBank(store, engine.fingerprint), engine), found


def test_one_of_five_holds_the_answer(chosen: tuple[MemorySource, list[Planted]]) -> None:
    _, questions = chosen
    for each in questions:
        assert len({row.id for row in each.rows}) == 5
        assert [contains(row.text, each.answer) for row in each.rows] == [i == each.place for i in range(5)]
        assert each.rows[each.place].document_name == f"{each.question.context_id}.txt"
        assert all(score > 0 for i, score in enumerate(each.retrieval) if i != each.place)
    assert len({each.place for each in questions}) > 1


class _Constant(FakeEngine):
    """Answers from what it believes, whatever it reads."""

    def __init__(self, belief: str) -> None:
        self.belief = belief

    def generate(
        self, messages: Sequence[Message], memories_for: MemoriesFor | None, options: GenerateOptions
    ) -> Iterator[Token]:
        yield Token(0, self.belief)


def test_an_answer_that_does_not_follow_its_source(chosen: tuple[MemorySource, list[Planted]]) -> None:
    memories, questions = chosen
    alder = [each for each in questions if each.question.id == "Alder"]
    assert [each.followed for each in swapped(_Constant("It is 431."), memories, alder, 0)] == [False]
    assert [each.followed for each in swapped(_Constant("It is 4310."), memories, alder, 0)] == [None]
    assert [each.followed for each in swapped(FakeEngine(), memories, alder, 0)] == [True]
    said = [replace(each, question=replace(each.question, text="Is the rent 431?")) for each in alder]
    assert list(swapped(FakeEngine(), memories, said, 0)) == []  # the question says the old value


def test_subsets_are_scored_with_what_they_keep(chosen: tuple[MemorySource, list[Planted]]) -> None:
    memories, questions = chosen
    for each in ablation.measured(FakeEngine(), memories, questions, 0):
        assert each.needed[each.place] == pytest.approx(4.9, abs=1e-3)  # the number; others have the word
        assert len(set(each.kept)) == ablation.SUBSETS
        for kept, value in zip(each.kept, each.log_probabilities, strict=True):
            number = -0.1 if each.place in kept else -5
            words = 2 * (-0.1 if kept else -5)  # "crow", "ns"
            assert value == pytest.approx(number + words, abs=1e-3)


def measured(place: int, reads: tuple[float, ...], needed: tuple[float, ...]) -> Measured:
    kept = ((0, 1), (0, 2), (1, 2), (2,))
    logs = tuple(sum(needed[i] for i in each) for each in kept)
    return Measured(place, reads, tuple(-value for value in reads), reads, needed, kept, logs)


def test_figures_of_known_numbers() -> None:
    """The plain reads are the weighted ones turned round: each figure is then turned round, too."""
    found = figures(
        [measured(2, (0.1, 0.2, 0.7), (0.05, 0.1, 9.0)), measured(0, (0.5, 0.4, 0.3), (2.0, 0.3, 0.2))], 0
    )
    values = {name: figure.value for name, figure in found.items()}
    assert (values["planted_first_by_read"], values["planted_first_by_mean_read"]) == (1, 0)
    assert values["planted_first_by_needed"] == 1
    assert (values["needed_auc_weighted"], values["needed_auc_mean"]) == (1, 0)
    assert values["needed_auc_weighted_2_nats"] == 1  # of 9 nats; two nats are not more than two
    assert (values["spearman_weighted"], values["spearman_mean"]) == pytest.approx((1, -1))
    assert (values["lds_weighted"], values["lds_mean"]) == pytest.approx((1, -1))


def test_a_tie_is_not_first() -> None:
    found = figures([measured(0, (0.2, 0.2, 0.1), (1.0, 1.0, 0.0))], 0)
    assert found["planted_first_by_read"].value == found["planted_first_by_needed"].value == 0


def test_balanced_accuracy() -> None:
    asked = [Question(str(n), "?", (Answered("x", 0),) if n < 4 else (), "c", "set") for n in range(6)]
    of = kinds(asked, {"c"}, 200, 0)
    assert of == {"set": Kind(asked[:4], asked[4:])}
    declined = {"0": True, "1": False, "2": False, "3": False, "4": True, "5": False}
    assert balanced([of["set"]], declined, 0).value == (0.75 + 0.5) / 2
    assert balanced([of["set"]], {key: not value for key, value in declined.items()}, 0).value == 0.375
    assert balanced([], {}, 0).value is None


def test_what_is_judged_against_what() -> None:
    gold = (Answered("x", 0),)
    asked = [
        Question("1", "?", gold, "c", "law"),
        Question("2", "?", gold, "d", "medicine"),
        Question("3", "?", (), "c", "law", "unanswerable"),
        Question("4", "?", (), "zoo", "medicine/absent-document", "unanswerable"),
        Question("5", "?", (), "c", "law", "yesno"),
        Question("6", "?", (), "c", "nothing to compare with", "unanswerable"),
    ]
    assert kinds(asked, {"c", "d"}, 200, 0) == {
        ABSENT: Kind([asked[1]], [asked[3]]),
        "law": Kind([asked[0]], [asked[2]]),
    }


def test_nothing_to_plant_is_an_error(data: Path, home: Path) -> None:
    (data / "contexts.jsonl").write_text("\n".join(map(json.dumps, FLATS[:4])))
    with pytest.raises(AttestError, match="one reference"):
        bench_evidence(Settings(home=home, model="fake"), lambda line: None, data=data)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_bars_of_the_default_model(home: Path) -> None:
    """Of the issue: what is read and needed points at the source, and answers follow it."""
    found = bench_evidence(Settings(home=home), lambda line: None)
    assert found["n"]["planted"] == 200
    assert found["planted_first_by_needed"] > found["planted_first_by_mean_read"]
    assert found["needed_auc_weighted"] >= found["needed_auc_mean"]
