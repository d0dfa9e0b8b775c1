"""`attest ingest --password`: locked files become documents, and the password stays nowhere."""

import logging
from pathlib import Path

import pytest

from app.service import Service
from tests.app.conftest import answer, attest, drain
from tests.ingest.test_unlocking import locked

pytestmark = pytest.mark.usefixtures("fake_model")

SECRET = "tuna-7-fish"
QUESTION = "How long is the warranty period?"


def test_a_locked_file_is_read_drawn_and_deleted_like_any_other(
    service: Service, keep, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = keep("w.pdf", locked(SECRET))
    options = ("--no-wait", "--json")
    assert attest("ingest", path, *options).lines[0]["status"] == "queued"
    drain(service)
    (view,) = service.documents("default")
    assert (view.status, "give its password" in str(view.error)) == ("failed", True)
    assert attest("ingest", path, *options).lines[0]["status"] == "duplicate"
    assert attest("ingest", path, *options, "--password", "wrong").lines[0]["status"] == "duplicate"
    assert "none of the passwords opens" in caplog.text
    words = keep("passwords.txt", f"wrong\n{SECRET}\n")
    assert attest("ingest", path, *options, "--passwords", words).lines[0]["status"] == "queued"
    drain(service)
    (view,) = service.documents("default")
    assert (view.status, view.pages, view.error) == ("ready", 2, None)
    assert answer(service, QUESTION).citations[0].rects
    assert service.page_png(view.document_id, 2, 100).startswith(b"\x89PNG")
    assert service.original(view.document_id).path.read_bytes() == path.read_bytes()
    files = [file for file in home.rglob("*") if file.is_file()]
    assert not any(SECRET.encode() in file.read_bytes() for file in files)
    assert SECRET not in caplog.text
    assert service.store.sweep(older_than=-60) == 0  # both copies are named by the document
    kept = [file for file in (home / "originals").rglob("*") if file.is_file()]
    assert len(kept) == 2
    receipt = service.delete_document(view.document_id)
    assert receipt.bytes_freed > sum(len(path.read_bytes()) for _ in kept) // 2
    assert not [file for file in (home / "originals").rglob("*") if file.is_file()]


def test_the_first_call_with_a_password_is_enough(service: Service, keep) -> None:
    path = keep("w.pdf", locked(SECRET, algorithm="RC4-128"))
    assert attest("ingest", path, "--no-wait", "--password", "x", "--password", SECRET).status == 0
    drain(service)
    assert service.documents("default")[0].status == "ready"
    assert service.jobs()[0].error is None
