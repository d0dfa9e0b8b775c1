"""The report of an answer: one file with everything in it, and a record by which it can be had again."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app.answering.answer import Claim, Mode
from app.errors import AttestError
from app.evidence.record import read_record, record_of
from app.evidence.report import report_of
from app.evidence.verifying import TOLERANCE, largest_difference, verify
from app.service import Service
from tests.app.answering.test_conversations import kept_answer
from tests.app.conftest import QUESTION, add, answer, attest
from tests.app.web.double import DoubleService
from tests.app.web.scripted import HOSTILE, legal_answer, medical_answer

pytestmark = pytest.mark.usefixtures("fake_model")
TURBINE = "How long is the warranty period of the turbine?"


class Elements(HTMLParser):
    """All elements with their attributes, and whether every one was closed in its turn."""

    EMPTY = frozenset({"meta", "img", "br", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_self_contained(html: str) -> None:
    """No script, nothing fetched, everything closed."""
    page = Elements(html)
    assert page.open == []
    assert not {tag for tag, _ in page.found} & {
        "script",
        "link",
        "iframe",
        "object",
        "embed",
        "form",
        "base",
    }
    for tag, attributes in page.found:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("src", "href", "srcset", "data", "action"):
            assert (attributes.get(name) or "data:image/png;base64,").startswith("data:image/png;base64,")
    assert "url(" not in html
    assert "@import" not in html
    policies = [each.get("content") for tag, each in page.found if each.get("http-equiv")]
    assert policies == [
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    ]


def test_a_report_has_all_that_a_colleague_needs(service: Service, filled) -> None:
    kept = kept_answer(service, TURBINE)
    html = report_of(service, kept.id)
    check_self_contained(html)
    pdf = next(source for source in kept.sources if source.name == "warranty.pdf")
    engine = kept.answer.engine
    for wanted in (
        TURBINE,
        engine.model,
        engine.fingerprint,
        pdf.sha256,
        "warranty.pdf",
        "p. 1",
        "not measured",
    ):
        assert wanted is not None
        assert wanted in html
    assert html.count("data:image/png;base64,") >= 1
    assert "at-outline" in html
    assert read_record(html.encode()) == record_of(kept, [])


def test_a_measured_answer_says_what_was_needed(service: Service, filled) -> None:
    kept = kept_answer(service, TURBINE)
    service.conversations.measured(kept.id, service.needed(TURBINE, "default", kept.answer))
    html = report_of(service, kept.id)
    assert re.search(r"needed -?\d+\.\d\d nats", html)


def test_what_an_answer_states_stands_in_its_report(service: Service, filled) -> None:
    kept = kept_answer(service, TURBINE)
    text, n = kept.answer.answer, kept.answer.citations[0].n
    claims = [Claim(0, 4, "name", [n]), Claim(5, 8, "name", [])]
    service.conversations.measured(kept.id, replace(kept.answer, claims=claims))
    html = report_of(service, kept.id)
    assert f"<td>{text[:4]}</td><td>name</td><td>[{n}]</td>" in html
    assert f"<td>{text[5:8]}</td><td>name</td><td><strong>not in the cited passages</strong></td>" in html
    assert html.count('class="at-unfound"') == 1


def test_nothing_foreign_is_run(tmp_path: Path) -> None:
    service = DoubleService(tmp_path)
    service.library["leaflet"] = replace(service.library["leaflet"], name=HOSTILE)
    given = medical_answer()
    service.conversations.keep(
        None, HOSTILE, HOSTILE, given, mode="memory", max_tokens=9, remarks=[HOSTILE, '"><img src=x>']
    )
    html = report_of(service, 1)
    check_self_contained(html)
    assert "<script" not in html
    assert read_record(html.encode()).question == HOSTILE


def test_pictures_lie_where_the_words_are(tmp_path: Path) -> None:
    service = DoubleService(tmp_path)
    service.conversations.keep(None, "How?", "Contracts", legal_answer(), mode="memory", max_tokens=9)
    html = report_of(service, 1)
    check_self_contained(html)
    assert html.count("<img") == 2  # of three citations one stands in a format without pages
    assert "Notes of the meeting" in html
    service.delete_document("lease")
    gone = report_of(service, 1)
    assert gone.count("<img") == 0
    assert "The document was deleted after the answer was written." in gone
    assert "1 of its sources were deleted since" in gone


@pytest.mark.parametrize("mode", ["memory", "text", "none"])
def test_asking_again_gives_the_same(service: Service, filled, mode: Mode) -> None:
    first = kept_answer(service, QUESTION, mode=mode)
    second = kept_answer(service, "And what of the rent?", mode=mode, conversation=first.conversation_id)
    record = record_of(second, service.conversations.history(second.conversation_id, before=second.id))
    assert record.history == ([] if first.answer.abstained else [(QUESTION, first.answer.answer)])
    verdict = verify(service, record)
    assert (verdict.same_answer, verdict.same_reads, verdict.largest_difference) == (True, True, 0.0)
    assert verdict.reasons == ()
    assert verdict.ok


def test_what_differs_is_said(service: Service, filled, keep) -> None:
    kept = kept_answer(service, TURBINE)
    record = record_of(kept, [])
    other = replace(record, answer=replace(record.answer, answer="Sixty years."))
    assert verify(service, other).reasons == ("the words of the answer differ",)
    engine = replace(record.answer.engine, fingerprint="other")
    said = verify(service, replace(record, answer=replace(record.answer, engine=engine)))
    assert (said.ok, said.same_engine, said.same_answer) == (False, False, True)
    assert "fingerprint other" in said.reasons[0]
    changed = [replace(each, sha256="0" * 64) for each in record.documents]
    assert not verify(service, replace(record, documents=changed)).ok
    pdf = next(each for each in record.documents if each.name == "warranty.pdf")
    original = service.original(pdf.document_id).path
    original.chmod(0o600)
    original.write_bytes(original.read_bytes() + b" ")
    (standing,) = {each.standing for each in verify(service, record).documents if each.name == pdf.name}
    assert standing == "changed"
    service.delete_document(pdf.document_id)
    gone = verify(service, record)
    assert not gone.ok
    assert "warranty.pdf: it is not in the store" in gone.reasons


def test_more_documents_may_change_what_is_read(service: Service, filled, keep) -> None:
    record = record_of(kept_answer(service, TURBINE), [])
    add(
        service,
        keep("more.txt", "The warranty period of the turbine is a matter of the warranty of turbines."),
    )
    verdict = verify(service, record)
    assert not verdict.same_reads
    assert "other memories were read" in verdict.reasons


def test_attention_is_compared_with_a_tolerance(service: Service, filled) -> None:
    reads = answer(service, "What does clause 7 oblige the contractor to deliver?").reads
    assert largest_difference(reads, reads) == 0.0
    first = reads[0].memories[0]
    moved = replace(first, attention=first.attention + 0.01)
    other = [replace(reads[0], memories=[moved, *reads[0].memories[1:]]), *reads[1:]]
    assert largest_difference(reads, other) == pytest.approx(0.01)
    assert TOLERANCE < 0.01
    assert largest_difference(reads, reads[:-1]) is None
    shorter = [*reads[:-1], replace(reads[-1], to_token=reads[-1].to_token - 1)]
    assert largest_difference(shorter, reads) is None
    assert largest_difference(shorter, reads, whole=False) == 0.0


@pytest.mark.parametrize(
    "content", [b"", b"<p>hello", b'<pre id="attest-record">{}</pre>', b'<pre id="attest-record">{"a"']
)
def test_other_files_are_no_reports(content: bytes) -> None:
    with pytest.raises(AttestError):
        read_record(content)


def test_from_the_question_to_the_verified_report(service: Service, filled, tmp_path: Path) -> None:
    asked = attest("ask", TURBINE, "--json")
    number = str(asked.json["answer_id"])
    assert asked.stderr == ""
    assert "Kept as answer " in attest("ask", "And the liability?").stdout
    assert "answer_id" not in attest("ask", TURBINE, "--no-keep", "--json").json
    found = attest("conversations", "list", "--text", "turbine", "--json").json["conversations"]
    row = next(each for each in found if each["title"] == TURBINE)
    assert row["answers"] == 1
    shown = attest("answers", "show", number, "--json").json
    assert shown["answer"]["answer"] == asked.json["answer"]
    assert {pin["citation"] for pin in shown["pin_cites"]} <= {each["n"] for each in asked.json["citations"]}
    assert "read" in attest("conversations", "show", str(row["id"])).stdout
    report = tmp_path / "out" / "why.html"
    assert (
        attest("answers", "export", number, "--out", report, "--json").json["bytes"] == report.stat().st_size
    )
    for given in (report, number):
        verdict = attest("answers", "verify", given, "--json")
        assert (verdict.status, verdict.json["ok"]) == (0, True), verdict.stdout
    folder = tmp_path / "all"
    assert (
        len(attest("conversations", "export", str(row["id"]), "--out", folder, "--json").json["files"]) == 1
    )
    assert attest("conversations", "rename", str(row["id"]), "Turbine").stdout.split()[1] == "Turbine"
    assert attest("conversations", "delete", str(row["id"]), "99", "--json").status == 3
    assert attest("answers", "show", number).status == 1
    assert attest("answers", "verify", report).status == 0  # the report alone is enough
    report.write_text(report.read_text().replace("sixty", "seventy"))
    assert attest("answers", "verify", report).status == 1
    assert "no such file" in attest("answers", "verify", "nothing.html").stderr
