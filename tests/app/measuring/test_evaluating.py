"""`attest eval` with the fake engine, whose answers and scores can be worked out by hand.

It answers with the memory that shares most words with the question (its title first), or "I do not know."
without memories; a gold token that a memory holds has log-probability -0.1, any other -5.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from app.errors import AttestError
from app.measuring.evaluating import sample, usable
from app.measuring.open_book import COLLECTION, Library, visible
from app.measuring.questions import Answered, Context, Question
from engine.fake import FakeEmbedder, FakeEngine
from storage.store import Store
from tests.app.conftest import attest

LEASE = "The tenant may terminate the lease with ninety days notice."
PUMP = "The pump is delivered in May. The warranty period of the pump is sixty months."
CONTEXTS = [
    {"context_id": "lease", "title": "Lease", "text": LEASE},
    {"context_id": "pump", "title": "Pump", "text": PUMP},
    {"context_id": "river", "title": "River", "text": "The river Rhine floods meadows in spring."},
]


def row(name: str, question: str, context: str, answer: str | None = None, **more: Any) -> dict[str, Any]:
    text = {each["context_id"]: each["text"] for each in CONTEXTS}.get(context, "")
    answers = [] if answer is None else [{"text": answer, "start": text.find(answer)}]
    return {"id": name, "question": question, "answers": answers, "context_id": context, **more}


QUESTIONS = [
    row(
        "notice",
        "With what notice may the tenant terminate the lease?",
        "lease",
        "ninety days",
        dataset="law",
    ),
    # the words are those of the river, the answer is the pump's
    row("astray", "When the river Rhine floods meadows in spring, what?", "pump", "sixty months"),
    row("absent", "Zebras quietly juggle xylophones?", "elsewhere", dataset="law", type="unanswerable"),
    row("lure", "Which warranty period has the tenant of the lease?", "lease"),
    row("unjudged", "May the tenant terminate the lease?", "lease", type="yesno", gold="yes"),
]


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def files(tmp_path: Path, fake_model: None) -> tuple[Path, Path]:
    return lines(tmp_path / "questions.jsonl", QUESTIONS), lines(tmp_path / "contexts.jsonl", CONTEXTS)


def evaluated(files: tuple[Path, Path], *options: str) -> dict[str, dict[str, Any]]:
    """Figures by mode."""
    done = attest("eval", files[0], "--contexts", files[1], *options, "--json")
    assert done.status == 0, done.stderr
    return {figures["mode"]: figures for figures in done.lines}


def test_figures_by_hand(files: tuple[Path, Path], home: Path) -> None:
    found = evaluated(files)
    assert list(found) == ["none", "text", "memory"]
    for figures in found.values():
        assert (figures["n"], figures["unanswerable"], figures["references"]) == (4, 2, 3)
        assert figures["exact_match"] == 0.0
        assert figures["engine"]["model"] == "fake"
        assert figures["first_token_ms"]["p50"] > 0
        assert figures["decode_tokens_per_second"] > 0

    none = found["none"]  # it never declines: half right
    assert (none["f1"], none["abstain_accuracy"], none["answer_nll"]) == (0.0, 0.5, 5.0)
    assert none["evidence_at_1"] is none["evidence_at_5"] is none["bytes_per_reference"] is None

    text = found["text"]  # the fake engine does not read its prompt; retrieval is real
    assert (text["f1"], text["abstain_accuracy"], text["answer_nll"]) == (0.0, 0.75, 5.0)
    assert (text["evidence_at_1"], text["evidence_at_5"]) == (0.5, 1.0)

    memory = found["memory"]
    # "lease tenant may terminate lease with ninety days notice": 2 of 9 words, 2 of 2; the other answer: none
    assert memory["f1"] == round(2 * 2 / (9 + 2) / 2, 4)
    assert (memory["answered"], memory["declined"], memory["abstain_accuracy"]) == (1.0, 0.5, 0.75)
    assert memory["answer_nll"] == 0.1
    assert (memory["evidence_at_1"], memory["evidence_at_5"]) == (0.5, 1.0)
    assert memory["bytes_per_reference"] > 0
    law = memory["datasets"]["law"]
    assert list(memory["datasets"]) == ["law"]
    assert (law["n"], law["f1"], law["abstain_accuracy"], law["evidence_at_1"]) == (2, 0.3636, 1.0, 1.0)
    assert not (home / "originals").exists() or not any((home / "originals").iterdir())


def test_progress_is_told_on_stderr_and_people_get_a_table(files: tuple[Path, Path]) -> None:
    done = attest("eval", files[0], "--contexts", files[1], "--modes", "memory")
    assert done.status == 0
    assert done.stderr.splitlines() == [
        "1 of 5 questions skipped: their answers are no stretch of text",
        "read 3 of 3 contexts",
        "memory: 4 of 4 questions",
    ]
    assert done.stdout.splitlines()[0] == "memory  (4 questions, 2 of them unanswerable)"
    assert "  abstention, balanced accuracy   0.75" in done.stdout.splitlines()


def test_a_seeded_sample_over_all_contexts(files: tuple[Path, Path]) -> None:
    once = evaluated(files, "--modes", "none", "--limit", "2", "--seed", "5")["none"]
    assert (once["n"], once["references"]) == (2, 3)
    questions = [Question(str(n), "?", (), "c") for n in range(50)]
    assert sample(questions, 10, 3) == sample(questions, 10, 3) != sample(questions, 10, 4)
    chosen = [int(question.id) for question in sample(questions, 10, 3)]
    assert chosen == sorted(set(chosen))
    assert sample(questions, 50, 3) == sample(questions, None, 3) == questions


def test_only_what_can_be_judged_is_asked() -> None:
    gold = (Answered("x", 0),)
    contexts = {"c": Context("c", "", "x")}
    judged = [
        Question("1", "?", gold, "c", kind="span"),
        Question("2", "?", (), "elsewhere"),
        Question("3", "?", (), "c", kind="unanswerable"),
    ]
    others = [Question("4", "?", (), "c", kind=kind) for kind in ("yesno", "nli", "choice", "closed_book")]
    assert usable([*others, *judged], contexts) == judged
    with pytest.raises(AttestError, match="question 5 is about context elsewhere"):
        usable([Question("5", "?", gold, "elsewhere")], contexts)


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--modes", "memory,telepathy"), 2, "'telepathy' is no mode"),
        (("--limit", "0"), 2, "--limit"),
    ],
)
def test_wrong_usage(files: tuple[Path, Path], options: tuple[str, ...], status: int, message: str) -> None:
    done = attest("eval", files[0], "--contexts", files[1], *options)
    assert (done.status, done.stdout) == (status, "")
    assert message in done.stderr


def test_bad_rows_empty_contexts_and_nothing_to_judge_are_named(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": 1}\n')
    failed = attest("eval", bad, "--contexts", files[1], "--json")
    assert (failed.status, failed.stdout) == (1, "")
    assert "bad.jsonl, line 1: not a question" in failed.stderr
    blank = lines(tmp_path / "blank.jsonl", [*CONTEXTS, {"context_id": "void", "title": "", "text": " \n"}])
    failed = attest("eval", files[0], "--contexts", blank, "--json")
    assert failed.status == 1
    assert "context void: void.txt: no text to cite" in failed.stderr
    failed = attest("eval", lines(bad, QUESTIONS[4:]), "--contexts", files[1], "--json")
    assert failed.status == 1
    assert "no question that could be judged" in failed.stderr


def test_places_survive_what_the_reader_changes(tmp_path: Path) -> None:
    text = "\ufeffOne\u00a0clause.\r\n \r\n\r\n\tTwo\u200b \x07words  here\u00ad;\n\n\n\n" + "filler " * 1500
    text += "\fThe gold\u2028answer \ud800 stands here.\n\n"
    contexts = [Context("a", "A/B: v. 1", text), Context("b", "", text), Context("c", "C", "The gold rush.")]
    with Store.open(tmp_path / "store") as store:
        library = Library(store, FakeEngine(), FakeEmbedder(), contexts, lambda line: None)
        assert [row.name for row in store.documents.list(COLLECTION)] == ["C.txt", "A B: v. 1.txt"]  # b is a
        document = library._documents["a"]
        assert visible(text) == sum(visible(page) for page, _ in document.pages.values())
        rows = store.references.get(store.references.of_document(document.id))
        rows += store.references.get(store.references.of_document(library._documents["c"].id))
        assert library.references == len(rows)
        for gold in ("clause", "words  here", "gold\u2028answer \ud800"):
            question = Question("x", "?", (Answered(gold, text.index(gold)),), "b")
            holding = [row for row in rows if library.evidence(question, [row]) == (True, True)]
            assert len(holding) == 1
            assert holding[0].document_id == document.id
            assert gold.split()[0] in holding[0].text
            assert library.evidence(question, [rows[-1], holding[0]]) == (False, True)
        assert library.evidence(question, []) == (False, False)
        assert library.evidence(Question("x", "?", (Answered("nowhere", -1),), "a"), []) is None
