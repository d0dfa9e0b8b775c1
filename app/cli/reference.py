"""docs/cli.md, made of the commands themselves: `python -m app.cli.reference > docs/cli.md`.

Knows click, and nothing of what a command does. Defaults that are this machine's are left out.
"""

import sys
from collections.abc import Iterator
from typing import Any

import click

from app.cli import main


def reference() -> str:
    """The page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    commands = list(_commands(main, ("attest",)))
    yield "# The command line"
    yield ""
    yield "Made from the commands by `python -m app.cli.reference > docs/cli.md`; `--help` shows the same."
    yield "What `--json` prints, the exit statuses and the settings are in [interface.md](interface.md)."
    yield ""
    for words, command in commands:
        if not isinstance(command, click.Group):
            yield f"* [`{' '.join(words)}`](#{'-'.join(words)}): {command.get_short_help_str(limit=200)}"
    yield ""
    yield "Before the command, `attest` takes `--verbose` (log to stderr what is being done) and `--version`."
    for words, command in commands:
        if not isinstance(command, click.Group):
            yield ""
            yield from _command(words, command)


def _commands(group: click.Group, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in sorted(group.commands.items()):
        if not command.hidden:
            yield (*words, name), command
            if isinstance(command, click.Group):
                yield from _commands(command, (*words, name))


def _command(words: tuple[str, ...], command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(words))
    yield f"## {' '.join(words)}"
    yield ""
    yield from _paragraphs(command.help or "")
    yield ""
    usage = " ".join([*words, *command.collect_usage_pieces(context)])
    yield f"    {usage}"
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    if options:
        yield ""
    for option in options:
        yield f"* {_option(option, context)}"


def _paragraphs(words: str) -> Iterator[str]:
    for index, paragraph in enumerate(words.replace("\b", "").strip().split("\n\n")):
        if index:
            yield ""
        yield " ".join(paragraph.split())


def _option(option: click.Option, context: click.Context) -> str:
    value = "" if option.is_flag else f" {_value(option, context)}"
    names = [f"`{name}{value}`" for name in (*option.opts, *option.secondary_opts)]
    facts = [option.help.rstrip(".")] if option.help else []
    if option.required:
        facts.append("required")
    if (default := _default(option)) is not None:
        facts.append(f"default {default}")
    return ", ".join(names) + (f": {'; '.join(facts)}" if facts else "")


def _value(option: click.Option, context: click.Context) -> str:
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    if isinstance(option.type, click.types.IntParamType | click.types.FloatParamType):
        return "N"
    return option.make_metavar(context)


def _default(option: click.Option) -> str | None:
    default: Any = option.default
    if not option.show_default or option.is_flag or default is None or callable(default):
        return None
    if isinstance(default, (list, tuple)):
        return ", ".join(f"`{each}`" for each in default)
    return f"`{default}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
