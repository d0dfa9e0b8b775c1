"""The group that all commands belong to, and how they print: for people, or as JSON."""

import json
import logging
import sys
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from typing import Any

import click

from app.errors import AttestError

DEFAULT_COLLECTION = "default"

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Faced(click.Group):
    """A group whose commands end with a message and status 1 when the request fails."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AttestError as error:
            click.echo(f"attest: {error}", err=True)
            ctx.exit(1)


@click.group(cls=Faced, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="attest-assistant")
@click.option("--verbose", "-v", is_flag=True, help="Log to stderr what is being done.")
def main(verbose: bool) -> None:
    """Answers from your own documents, read as explicit memories, cited to the page, on this machine."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
    )


def show(data: Any, printed: bool, lines: Iterable[str]) -> None:
    """JSON if asked for, else lines for people."""
    if printed:
        lines = [json.dumps(data, default=_plain, ensure_ascii=False)]
    for line in lines:  # a file name need not be text; JSON reads the escape as the same name
        click.echo(line.encode("utf-8", "backslashreplace").decode())


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
