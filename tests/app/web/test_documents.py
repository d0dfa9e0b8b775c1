"""The list: honest words for every state, real progress, escaped reasons."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.library.forecast import size
from app.web.documents import (
    PER_PAGE,
    added_html,
    documents_html,
    is_busy,
    receipt_html,
    stage_words,
    status_html,
    worker_html,
)
from tests.app.web.double import Engine, Worker
from tests.app.web.scripted import HOSTILE
from tests.app.web.shelf import Added, Deleted, Document, library, listing


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "queued", "stage": "waiting"}, "waiting"),
        ({"status": "queued", "stage": "waiting", "error": "the disk is full"}, "waiting; the disk is full"),
        ({"status": "reading", "stage": "reading", "done": 3, "total": 40}, "reading page 3 of 40"),
        ({"status": "reading", "stage": "chunking"}, "finding passages"),
        ({"status": "reading", "stage": "storing", "done": 5, "total": 9}, "indexing page 5 of 9"),
        ({"status": "reading", "stage": "embedding", "done": 5, "total": 9}, "indexing page 5 of 9"),
        (
            {"status": "answerable", "stage": "writing", "done": 120, "total": 1500},
            "remembering 120 of 1,500 passages",
        ),
        ({"status": "answerable"}, "4 passages, remembered when first used"),
        ({"status": "ready"}, "ready"),
        ({"status": "partial"}, "partly ready"),
        ({"status": "failed", "error": "encrypted"}, "failed: encrypted"),
        ({"status": "cancelled"}, "cancelled"),
    ],
)
def test_words_of_every_state(change: dict[str, object], words: str) -> None:
    assert stage_words(replace(Document("a", "a.pdf"), **change)) == words  # type: ignore[arg-type]


def test_progress_is_accessible_and_askable_is_said() -> None:
    html = documents_html(listing([library()["supply"]]))
    assert 'role="progressbar"' in html
    assert 'aria-valuemax="1500" aria-valuenow="120"' in html
    assert "can already be asked" in html
    assert documents_html(listing([library()["lease"]])).count("progressbar") == 0


def test_busy_ones_come_first_and_long_lists_are_paged() -> None:
    ready = [Document(str(index), f"{index}.pdf") for index in range(PER_PAGE)]
    html = documents_html(listing([*ready, library()["scan"]]))
    assert html.index("Scanned deed.pdf") < html.index("0.pdf")
    assert f"1–{PER_PAGE} of {PER_PAGE + 1}" in html
    rest = documents_html(listing([*ready, library()["scan"]], first=10_000))
    assert rest.count("<li") == 1


def test_removal_asks_first() -> None:
    documents = list(library().values())
    assert "remove-now" not in documents_html(listing(documents))
    assert documents_html(listing(documents), confirming="lease").count("remove-now") == 1


def test_foreign_text_is_escaped() -> None:
    bad = Document(
        HOSTILE, HOSTILE, "failed", error=HOSTILE, warnings=[(1, HOSTILE), (None, HOSTILE)], stage="reading"
    )
    html = documents_html(listing([bad, replace(bad, status=HOSTILE)]), confirming=HOSTILE)
    html += added_html([Added(Path(HOSTILE.replace("/", "")), None, "failed", HOSTILE)])
    html += receipt_html(HOSTILE, Deleted("a", 1, 1, 1, 1, 1))
    html += status_html(Engine(ready=False, message=HOSTILE)) + status_html(Engine(model=HOSTILE))
    assert "<script" not in html
    assert "<img" not in html


def test_what_became_of_dropped_files() -> None:
    paths = [Path("a.pdf"), Path("b.pdf"), Path("c.pdf")]
    html = added_html(
        [
            Added(paths[0], "1", "queued"),
            Added(paths[1], "2", "duplicate"),
            Added(paths[2], None, "failed", "empty"),
        ]
    )
    assert "1 document added. 1 document already here." in html
    assert "c.pdf: empty" in html


def test_worker_and_engine_lines() -> None:
    assert "background · 1,240 tokens a second · about 4 min left" in worker_html(Worker())
    assert "background · about 9 s left" in worker_html(Worker(tokens_per_second=None, seconds_left=9.4))
    assert "not running" in worker_html(Worker(alive=False))
    assert "loading the model" in status_html(Engine(ready=False, message="loading the model"))
    assert "no CUDA device was found" in status_html(Engine())


def test_an_answerable_document_without_a_stage_is_not_busy() -> None:
    assert not is_busy(Document("a", "a", "answerable"))
    assert is_busy(library()["supply"])
    assert [size(12), size(4_200_000)] == ["12 bytes", "4.2 MB"]


def test_an_older_version_says_so() -> None:
    new, old = Document("b", "lease.pdf"), Document("a", "lease.pdf", superseded_by="b")
    assert documents_html(listing([new, old])).count("older version") == 1
    assert "older version" not in documents_html(listing([new]))
