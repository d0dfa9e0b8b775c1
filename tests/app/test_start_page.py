"""docs/start.md: its commands run, one after the other, as they stand there."""

import shlex
from pathlib import Path

import pytest

from app import cli
from tests.app.conftest import attest
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
COMMANDS = [line.strip() for line in PAGE.splitlines() if line.startswith("    ")]
# Shown by other tests: that of the served page, that of the window.
ENDLESS = ["make run", "attest desktop"]


def test_its_commands_run_as_they_stand_there(
    fake_model: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    run = [command for command in COMMANDS if command not in ENDLESS]
    assert len(run) > 5
    for command in run:
        program, *arguments = shlex.split(command)
        assert program == "attest"
        done = attest(*arguments)
        assert done.status == 0, f"{command}: {done.stderr}"
        assert done.stdout
    assert (tmp_path / "why.html").read_text(encoding="utf-8").endswith("</html>\n")


def test_what_it_leaves_out_is_there() -> None:
    assert [command for command in COMMANDS if command in ENDLESS] == ENDLESS
    assert "desktop" in cli.main.commands
    assert "run: " in (ROOT / "Makefile").read_text(encoding="utf-8")
