"""docs/cli.md is what the commands say of themselves."""

from app.cli import main
from app.cli.reference import reference
from tests.conftest import ROOT


def test_the_page_of_the_command_line_is_current() -> None:
    command = "`python -m app.cli.reference > docs/cli.md` writes it anew"
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference(), command


def test_every_command_has_a_section_and_every_option_a_line() -> None:
    page = reference()
    for name, command in main.commands.items():
        assert f"attest {name}" in page
        for parameter in command.params:
            for option in parameter.opts:
                assert not option.startswith("--") or f"`{option}" in page
