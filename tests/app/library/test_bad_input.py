"""Every bad file gets a message that names it and says what to do, and the good ones go on."""

import io
import os
import socket
from pathlib import Path

import pytest
from PIL import Image

from app.library.ingesting import IngestOptions, ingest_paths
from app.service import Service
from tests.app.conftest import LEASE, WARRANTY, attest, attest_process
from tests.ingest.make_pdf import make_pdf, rewritten

pytestmark = pytest.mark.usefixtures("fake_model")


def png() -> bytes:
    output = io.BytesIO()
    Image.new("RGB", (8, 8), "white").save(output, "PNG")
    return output.getvalue()


def test_bad_files_fail_with_reasons_and_the_others_become_ready(keep, tmp_path: Path) -> None:
    bad = {
        keep("a/empty.txt", b""): "empty",
        keep("a/truncated.pdf", WARRANTY[: len(WARRANTY) // 4]): "truncated.pdf",
        keep(
            "a/locked.pdf", rewritten(WARRANTY, lambda w: w.encrypt("key", algorithm="AES-256"))
        ): "password",
        keep("a/picture.pdf", png()): "no text was found",
        keep("a/none.pdf", make_pdf()): "no pages",
        tmp_path / "missing.pdf": "there is no such file or folder; check the path",
    }
    good = [keep("a/lease.md", LEASE), keep("a/warranty.pdf", WARRANTY)]
    done = attest_process("ingest", tmp_path / "docs", tmp_path / "missing.pdf", "--json")
    assert done.status == 3
    outcomes = {Path(line["path"]): line for line in done.lines}
    assert outcomes.keys() == {*bad, *good}
    for path, words in bad.items():
        outcome = outcomes[path]
        assert outcome["status"] == "failed"
        assert path.name in outcome["error"]
        assert words in outcome["error"]
        assert outcome["memories"] == 0
    for path in good:
        outcome = outcomes[path]
        assert (outcome["status"], outcome["error"], outcome["bytes"]) == ("ready", None, path.stat().st_size)
        assert outcome["memories"] == outcome["references"] > 0
        assert outcome["seconds"] >= 0
    assert done.lines[0].keys() == {
        "path",
        "document_id",
        "status",
        "pages",
        "references",
        "memories",
        "bytes",
        "seconds",
        "warnings",
        "error",
        "version",
        "replaces",
    }
    assert "Traceback" not in done.stderr
    assert not any(word in done.stderr for word in ("tenant", "turbine"))  # logs hold no text
    again = attest("ingest", *good, "--json")
    assert again.status == 0
    assert [line["status"] for line in again.lines] == ["duplicate", "duplicate"]
    assert [line["references"] for line in again.lines] == [outcomes[path]["references"] for path in good]


def test_only_bad_paths_are_status_1(tmp_path: Path) -> None:
    done = attest("ingest", tmp_path / "one.pdf", tmp_path / "two.pdf")
    assert done.status == 1
    assert done.stdout.count("there is no such file or folder") == 2


def test_a_folder_without_permission(service: Service, keep, monkeypatch: pytest.MonkeyPatch) -> None:
    keep("a/one.txt", "one")
    keep("closed/two.txt", "two")
    docs = keep("b/three.txt", "three").parents[1]
    scandir = os.scandir

    def refuse(path: str) -> object:  # root may read everything, so a mode would not do
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    outcomes = {
        Path(each.path).name: each for each in ingest_paths(service, [docs], IngestOptions("c", wait=False))
    }
    assert {name: each.status for name, each in outcomes.items()} == {
        "one.txt": "queued",
        "three.txt": "queued",
        "closed": "failed",
    }
    assert str(docs / "closed") in str(outcomes["closed"].error)
    assert "change its permissions" in str(outcomes["closed"].error)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(service: Service, keep) -> None:
    path = keep("closed.txt", "x")
    path.chmod(0)
    (outcome,) = ingest_paths(service, [path], IngestOptions("c", wait=False))
    assert "no permission to read this file" in str(outcome.error)


def test_what_is_not_a_file_is_refused_at_once(service: Service, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        outcomes = list(ingest_paths(service, [pipe, tmp_path / "socket"], IngestOptions("c", wait=False)))
    assert [each.status for each in outcomes] == ["failed", "failed"]
    assert all("not a file that can be read" in str(each.error) for each in outcomes)


def test_a_folder_without_files_is_not_silent(service: Service, tmp_path: Path) -> None:
    (tmp_path / "empty" / ".hidden").mkdir(parents=True)
    (tmp_path / "empty" / ".hidden" / "a.txt").write_text("x")
    (outcome,) = ingest_paths(service, [tmp_path / "empty"], IngestOptions("c"))
    assert outcome.status == "failed"
    assert "there are no files in this folder" in str(outcome.error)


def test_a_path_below_a_file_and_an_endless_link(service: Service, keep, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    paths = [keep("a.txt", "x") / "below.txt", tmp_path / "loop"]
    outcomes = list(ingest_paths(service, paths, IngestOptions("c")))
    assert [each.status for each in outcomes] == ["failed", "failed"]
    assert all(str(path) in str(each.error) for path, each in zip(paths, outcomes, strict=True))
