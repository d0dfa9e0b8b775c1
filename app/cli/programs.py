"""What other programs use: `attest keys` and `attest mcp`."""

from collections.abc import Sequence

import click

from app import settings as settings_of
from app.accounts.accounts import known_form
from app.cli.frame import as_json, main, show
from app.cli.work import when
from app.errors import for_people
from app.keys import PER_MINUTE, make_key
from app.service import Service
from storage.keys import SCOPES, KeyRow, Scope


@main.group()
def keys() -> None:
    """Keys of programs that call /v1. Once there was one, every call takes one.

    A key opens what its user may see; without --user it opens everything.
    """


@keys.command("add")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    default=SCOPES,
    show_default=True,
    help="What the program may do; several may be given.",
)
@click.option("--per-minute", type=click.IntRange(1, 100_000), default=PER_MINUTE, show_default=True)
@click.option("--user", help="Whose it is; it opens what they may see.")
@as_json
def keys_add(name: str, scopes: Sequence[Scope], per_minute: int, user: str | None, as_json: bool) -> None:
    """Make a key. Its secret is printed now and never again."""
    with Service(settings_of.load()) as service:
        row, secret = make_key(
            service.store, name, scopes, per_minute, None if user is None else known_form(user)
        )
    click.echo("keep the secret now: only a hash of it is stored", err=True)
    show({**vars(row), "secret": secret}, as_json, [secret])


@keys.command("list")
@as_json
def keys_list(as_json: bool) -> None:
    """All keys, revoked ones too; their secrets are not kept."""
    with Service(settings_of.load()) as service, for_people():
        rows = service.store.keys.list()
    show({"keys": rows}, as_json, [_key_line(row) for row in rows] or ["no key was made; none is demanded"])


@keys.command("revoke")
@click.argument("name")
@as_json
def keys_revoke(name: str, as_json: bool) -> None:
    """Shut a key out, at once. Keys are still demanded, even if this was the last."""
    with Service(settings_of.load()) as service, for_people():
        row = service.store.keys.revoke(name)
    show(row, as_json, [_key_line(row)])


@keys.command("forget")
@click.confirmation_option(prompt="Remove all keys, so that /v1 opens to every program of this machine?")
@as_json
def keys_forget(as_json: bool) -> None:
    """Remove all keys; from then on none is demanded, as before the first one."""
    with Service(settings_of.load()) as service, for_people():
        count = service.store.keys.forget()
    show({"removed": count}, as_json, [f"removed {count} keys"])


def _key_line(row: KeyRow) -> str:
    line = f"{row.name}  {', '.join(row.scopes)}  {row.per_minute} a minute  made {when(row.created_at)}"
    line += "" if row.user is None else f"  of {row.user}"
    return line if row.revoked_at is None else f"{line}  REVOKED {when(row.revoked_at)}"


@main.command()
def mcp() -> None:
    """Serve the Model Context Protocol. Assistants speak it on standard input and output."""
    from app.api.assistants import build_server

    with Service(settings_of.load()) as service:
        build_server(service).run("stdio")
