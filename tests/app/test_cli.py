"""The command line's JSON and exit statuses, on a store that this process filled."""

import json
import re
from pathlib import Path

import pytest

from app.service import Service
from engine.registry import REGISTERED, Registered
from tests.app.conftest import LEASE, QUESTION, attest, drain

pytestmark = pytest.mark.usefixtures("fake_model")

READ = {"from_token", "to_token", "memories", "other", "start", "end"}
MEMORY = {
    "reference_id",
    "document_id",
    "page",
    "start",
    "end",
    "text",
    "retrieval_score",
    "attention",
    "tokens",
    "read",
}
TOKEN = {"start", "end", "attention", "read"}
CITATION = {
    "n",
    "document_id",
    "document_name",
    "page",
    "page_label",
    "start",
    "end",
    "text",
    "rects",
    "attention",
    "needed",
    "read",
}


def test_ask_prints_one_object_with_the_documented_fields(service: Service, filled) -> None:
    done = attest("ask", QUESTION, "--json")
    assert done.status == 0
    assert len(done.stdout.splitlines()) == 1
    answer = done.json
    assert answer.keys() >= {"answer", "abstained", "citations", "reads", "timings", "engine"}
    assert answer["abstained"] is False
    assert all(cited.keys() == CITATION for cited in answer["citations"])
    assert all(read.keys() == READ for read in answer["reads"])
    for read in answer["reads"]:
        assert all(memory.keys() == MEMORY for memory in read["memories"])
        assert all(token.keys() == TOKEN for token in read["memories"][0]["tokens"])
        assert read["other"].keys() == {"question", "answer", "prefix"}
    assert answer["timings"].keys() == {
        "retrieve",
        "load",
        "first_token",
        "decode_tokens_per_second",
        "tokens",
    }
    assert answer["engine"].keys() == {
        "backend",
        "model",
        "adapter",
        "quantisation",
        "fingerprint",
        "mode",
        "format",
        "heads",
    }
    assert answer["engine"]["format"].keys() >= {"layers", "tokens_per_head", "positions", "codec"}


def test_ask_for_people_streams_the_answer_then_its_citations(service: Service, filled) -> None:
    done = attest("ask", QUESTION)
    assert done.status == 0
    assert "ninety days notice" in done.stdout
    read = r"\[1\] lease\.md, Lease, para\. 1 \(read \d+\.\d%, attention \d+\.\d%\)"
    assert re.search(read, done.stdout)
    assert "Attention: documents 50.0%, question 25.0%" in done.stdout


def test_a_question_nobody_can_answer_says_why(service: Service) -> None:
    for arguments, message in (
        (("ask", ""), "the question is empty"),
        (("ask", "  "), "the question is empty"),
        (("ask", "x", "--collection", "nowhere"), "there is no collection 'nowhere'; see `attest coll"),
    ):
        done = attest(*arguments, "--json")
        assert (done.status, done.stdout) == (1, "")
        assert message in done.stderr
    service.add_collection("new", "legal")
    done = attest("ask", "x", "--collection", "new")
    assert done.status == 1
    assert "collection 'new' is empty: add documents with `attest ingest`" in done.stderr


def test_a_question_while_nothing_is_read_yet_says_so(service: Service, keep) -> None:
    service.add_documents([keep("a.txt", "one"), keep("b.txt", "two")], "default")
    done = attest("ask", "x")
    assert done.status == 1
    assert "2 of 2 are still being read; try again in a moment" in done.stderr


def test_mode_none_needs_no_collection() -> None:
    done = attest("ask", "Hello", "--mode", "none", "--json")
    assert done.status == 0
    assert (done.json["citations"], done.json["engine"]["mode"]) == ([], "none")


def test_wrong_usage_is_status_2() -> None:
    for arguments in (
        ("ask",),
        ("ask", "x", "--mode", "wild"),
        ("ask", "x", "--backend", "onnx"),
        ("bench", "speed", "--backend", "onnx"),
        ("ingest",),
        ("nonsense",),
        ("jobs", "show", "one"),
        ("serve", "--port", "70000"),
        ("ask", "x", "--max-tokens", "0"),
    ):
        done = attest(*arguments)
        assert (done.status, done.stdout) == (2, ""), arguments
        assert "Usage:" in done.stderr


def test_collections(service: Service, filled) -> None:
    assert attest("collections", "add", "law", "--profile", "legal", "--json").json["profile"] == "legal"
    rows = attest("collections", "list", "--json").json["collections"]
    assert [(row["name"], row["documents"]) for row in rows] == [("default", 4), ("law", 0)]
    again = attest("collections", "add", "law")
    assert again.status == 1
    assert "there is a collection 'law' already" in again.stderr
    assert attest("collections", "add", " ").status == 1
    receipts = attest("collections", "delete", "default", "--json").json["receipts"]
    assert {receipt["document_id"] for receipt in receipts} == set(filled)
    assert attest("documents", "list", "--json").json["documents"] == []
    assert attest("collections", "delete", "default").status == 1


def test_documents(service: Service, filled) -> None:
    rows = {row["document_id"]: row for row in attest("documents", "list", "--json").json["documents"]}
    assert rows.keys() == set(filled)
    lease, warranty = (rows[each] for each in filled[:2])
    assert (lease["name"], lease["status"], warranty["pages"]) == ("lease.md", "ready", 2)
    assert lease["memories"] == lease["references"] > 0
    assert attest("documents", "show", filled[0], "--json").json == {**lease, "versions": []}
    assert "lease.md" in attest("documents", "show", filled[0]).stdout
    missing = attest("documents", "show", "nothing")
    assert missing.status == 1
    assert "there is no document nothing; see `attest documents list`" in missing.stderr


def test_document_text_is_what_citations_count_in(service: Service, filled) -> None:
    page = attest("documents", "text", filled[1], "--page", "2", "--json").json
    assert page["text"].strip() == "Liability of the supplier is capped at ten million euros."
    assert (page["page"], page["page_label"], page["page_count"], page["width"]) == (2, "2", 2, 612)
    assert attest("documents", "text", filled[1], "--page", "2").stdout.strip() == page["text"].strip()
    assert attest("documents", "text", filled[1], "--page", "3").status == 1
    assert attest("documents", "text", filled[1]).status == 2


def test_deleting_documents_prints_receipts_and_some_may_fail(service: Service, filled, home: Path) -> None:
    done = attest("documents", "delete", filled[0], "nothing", "--json")
    assert done.status == 3
    assert "there is no document nothing" in done.stderr
    receipt = done.json
    assert receipt.keys() == {"document_id", "rows", "vectors", "memories", "files", "bytes_freed"}
    assert receipt["document_id"] == filled[0]
    assert min(receipt["vectors"], receipt["memories"], receipt["bytes_freed"]) > 0
    assert attest("documents", "delete", "nothing").status == 1
    assert b"ninety days" not in b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_jobs(service: Service, keep) -> None:
    service.add_documents([keep("a.txt", "one two three"), keep("b.txt", "four")], "default")
    second, first = attest("jobs", "list", "--json").json["jobs"]
    assert (first["kind"], first["status"], first["stage"], first["done"]) == (
        "ingest",
        "queued",
        "waiting",
        0,
    )
    assert attest("jobs", "show", str(first["id"]), "--json").json == first
    cancelled = attest("jobs", "cancel", str(second["id"]), "--json").json
    assert cancelled["status"] == "cancelled"
    assert attest("documents", "show", second["document_id"], "--json").json["status"] == "cancelled"
    assert attest("jobs", "retry", str(second["id"]), "--json").json["status"] == "queued"
    for verb in ("show", "cancel", "retry"):
        missing = attest("jobs", verb, "99")
        assert missing.status == 1
        assert "there is no job 99; see `attest jobs list`" in missing.stderr


def test_memories_status(service: Service, filled) -> None:
    (bank,) = attest("memories", "status", "--json").json["banks"]
    assert bank["memories"] == sum(
        row["memories"] for row in attest("documents", "list", "--json").json["documents"]
    )
    assert (bank["missing"], bank["fingerprint"]["weights"]) == (0, "fake")


def test_memories_status_of_an_empty_store() -> None:
    assert attest("memories", "status").stdout == "no memories are written yet\n"


def test_models_list_marks_what_is_used() -> None:
    rows = {row["name"]: row for row in attest("models", "list", "--json").json["models"]}
    assert rows["fake"]["used"]
    assert rows["all-minilm-l6-v2"]["used"]
    assert not rows["smollm2-135m-instruct"]["used"]


def test_models_list_shows_adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taught = Registered("taught", "language model", "nowhere", "file", "MIT", adapter="no-such")
    monkeypatch.setitem(REGISTERED, "taught", taught)
    monkeypatch.setenv("ATTEST_ADAPTER", str(tmp_path))
    rows = {row["name"]: row for row in attest("models", "list", "--json").json["models"]}
    described = {"kind": "adapter", "licence": "MIT", "installed": False, "used": False}
    assert rows["no-such"] == {"name": "no-such", **described}
    assert rows[str(tmp_path)] == {
        "name": str(tmp_path),
        **described,
        "licence": None,
        "installed": True,
        "used": True,
    }
    monkeypatch.setenv("ATTEST_ADAPTER", "auto")
    monkeypatch.setenv("ATTEST_MODEL", "taught")
    assert "* no-such  (adapter, MIT; NOT installed)" in attest("models", "list").stdout


def test_a_file_name_that_is_not_text_can_be_printed(tmp_path: Path) -> None:
    done = attest("ingest", tmp_path / "gone\udcff.pdf", "--json")
    assert done.status == 1
    assert json.loads(done.stdout)["path"].endswith("gone\udcff.pdf")


def test_a_store_that_cannot_be_opened_is_a_message(home: Path) -> None:
    home.write_text("a file where the folder should be")
    done = attest("documents", "list")
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr.startswith("attest: ")


@pytest.mark.parametrize(
    "command",
    [
        "",
        "ask",
        "bench ingest",
        "bench speed",
        "bench store",
        "collections",
        "doctor",
        "documents text",
        "ingest",
        "jobs",
        "memories",
        "serve",
    ],
)
def test_help_fits_a_terminal_and_cuts_nothing_off(command: str) -> None:
    done = attest(*command.split(), "--help")
    assert done.status == 0
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert "..." not in done.stdout.partition("\n")[2]


def test_versions_are_listed_shown_and_deleted(service: Service, keep) -> None:
    path = keep("lease.md", LEASE)
    ids = []
    for text in (LEASE, LEASE.replace("ninety", "sixty"), LEASE.replace("ninety", "thirty")):
        path.write_text(text)
        (line,) = attest("ingest", path, "--no-wait", "--json").lines
        ids.append(line["document_id"])
        drain(service)
    first, second, third = ids
    listed = {row["document_id"]: row for row in attest("documents", "list", "--json").json["documents"]}
    assert [listed[each]["superseded_by"] for each in ids] == [third, third, None]
    assert [listed[each]["version"] for each in ids] == [1, 2, 3]
    shown = attest("documents", "show", first, "--json").json
    assert [version["document_id"] for version in shown["versions"]] == ids
    assert shown["sources"][0]["path"] == str(path)
    assert f"superseded by {third}" in attest("documents", "show", first).stdout
    done = attest("documents", "delete", third, "--json")
    assert done.stderr == f"{second}, the version before it, is the newest again\n"
    assert attest("documents", "delete", first, "--json").stderr == ""
    path.write_text(LEASE)
    attest("ingest", path, "--no-wait")
    done = attest("documents", "delete", second, "--all-versions", "--json")
    assert {receipt["document_id"] for receipt in done.lines} == {first, second}
    assert (done.stderr, attest("documents", "list", "--json").json["documents"]) == ("", [])
