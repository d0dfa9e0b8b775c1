"""`python -m app.desktop.build OUT [--fast]`."""

from pathlib import Path

import click

from app.desktop.build.folder import build
from app.desktop.toolkit import LINUX
from app.errors import AttestError


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--fast", is_flag=True, help="With the fast engine, for processors like this machine's only.")
def main(out: Path, fast: bool) -> None:
    """Make a folder that runs on another Linux machine."""
    if not LINUX:
        raise click.ClickException("this builds for Linux; docs/desktop.md has what to do elsewhere")
    try:
        folder = build(out, fast)
    except AttestError as error:
        raise click.ClickException(str(error)) from error
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    click.echo(f"{folder}  {size / 1e9:.1f} GB")


if __name__ == "__main__":
    main()
