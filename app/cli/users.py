"""Who may use this Attest, and what they did: `attest users` and `audit`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from app import settings as settings_of
from app.accounts.accounts import checked_name, known_form
from app.accounts.passwords import Passwords
from app.cli.frame import as_json, main, show
from app.errors import AttestError, for_people
from app.service import Service
from storage.grants import ROLES, Role
from storage.trail import Verified, verify
from storage.users import UserRow

from_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@main.group()
def users() -> None:
    """People who sign in.

    Without any, whoever uses this machine sees everything.
    """


@users.command("add")
@click.argument("name")
@click.option("--oidc", "email", metavar="EMAIL", help="Signs in at the provider of the settings, as EMAIL.")
@from_stdin
@as_json
def users_add(name: str, email: str | None, password_stdin: bool, as_json: bool) -> None:
    """Add a user. With the first, everybody has to sign in; they own everything that there is.

    Those after the first see nothing until it is granted, and what they make themselves.
    """
    name = checked_name(name)
    password = None
    if email is None:
        password = Passwords().hashed(_password(password_stdin))
    elif "@" not in email:
        raise AttestError(f"{email!r} is no e-mail address")
    with Service(settings_of.load()) as service, for_people():
        row, inherited = service.store.users.add(name, password, None if email is None else known_form(email))
        first = len(service.store.users.list()) == 1
        open_keys = sum(key.user_id is None and key.revoked_at is None for key in service.store.keys.list())
    lines = [_user_line(row)]
    if first:
        lines.append(
            f"everybody has to sign in from now on; {name} owns the {inherited.collections} collections and "
            f"has the {inherited.conversations} conversations that there were"
        )
        if open_keys:
            lines.append(f"{open_keys} API keys made before still open everything; see `attest keys list`")
    show({**vars(row), "first": first, "inherited": inherited}, as_json, lines)


@users.command("list")
@as_json
def users_list(as_json: bool) -> None:
    """All users, with what was granted to them."""
    with Service(settings_of.load()) as service, for_people():
        rows = service.store.users.list()
    lines = [_user_line(row) for row in rows]
    show({"users": rows}, as_json, lines or ["there are no users; whoever uses this machine sees everything"])


@users.command("password")
@click.argument("name")
@from_stdin
@as_json
def users_password(name: str, password_stdin: bool, as_json: bool) -> None:
    """Give a user another password. They have to sign in anew, everywhere."""
    with Service(settings_of.load()) as service, for_people():
        service.store.users.get(known_form(name))
        service.store.users.set_password(known_form(name), Passwords().hashed(_password(password_stdin)))
        row = service.store.users.get(known_form(name))
    show(row, as_json, [_user_line(row)])


@users.command("grant")
@click.argument("name")
@click.argument("collection")
@click.option("--role", type=click.Choice(ROLES), default="reader", show_default=True)
@as_json
def users_grant(name: str, collection: str, role: Role, as_json: bool) -> None:
    """Let a user into a collection.

    A reader asks and reads; an editor also adds and deletes documents; an owner also renames, shares
    and deletes the collection.
    """
    with Service(settings_of.load()) as service, for_people():
        service.store.sharing.grant(known_form(name), collection, role)
        row = service.store.users.get(known_form(name))
    show(row, as_json, [_user_line(row)])


@users.command("revoke")
@click.argument("name")
@click.argument("collection")
@as_json
def users_revoke(name: str, collection: str, as_json: bool) -> None:
    """Shut a user out of a collection, at once."""
    with Service(settings_of.load()) as service, for_people():
        service.store.sharing.revoke(known_form(name), collection)
        row = service.store.users.get(known_form(name))
    show(row, as_json, [_user_line(row)])


@users.command("sign-out")
@click.argument("name")
@as_json
def users_sign_out(name: str, as_json: bool) -> None:
    """End all sessions of a user, at once."""
    with Service(settings_of.load()) as service, for_people():
        row = service.store.users.get(known_form(name))
        ended = service.store.sessions.end_all(row.id)
    show({"name": row.name, "sessions": ended}, as_json, [f"ended {ended} sessions of {row.name}"])


@users.command("remove")
@click.argument("name")
@click.confirmation_option(prompt="Remove this user, their keys and their conversations?")
@as_json
def users_remove(name: str, as_json: bool) -> None:
    """Remove a user with their keys and conversations. Documents and collections stay."""
    with Service(settings_of.load()) as service, for_people():
        gone = service.store.users.remove(known_form(name))
    show({"name": name, "conversations": gone}, as_json, [f"removed {name}: {gone} conversations"])


@users.command("forget")
@click.confirmation_option(prompt="Remove all users, so that whoever uses this machine sees everything?")
@as_json
def users_forget(as_json: bool) -> None:
    """Remove all users; from then on nobody has to sign in, as before the first one."""
    with Service(settings_of.load()) as service, for_people():
        count = service.store.users.forget()
    show({"removed": count}, as_json, [f"removed {count} users; nobody has to sign in any more"])


def _password(from_standard_input: bool) -> str:
    if from_standard_input:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


def _user_line(row: UserRow) -> str:
    how = "password" if row.has_password else f"signs in as {row.email}" if row.email else "cannot sign in"
    grants = ", ".join(f"{collection}: {role}" for collection, role in row.grants.items())
    return f"{row.name}  ({how})  {grants or 'no collection'}"


@main.group()
def audit() -> None:
    """The log of who did what.

    It begins with the first user, is a chain of hashes, and is kept for ever.
    """


@audit.command("export")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A file. Default: print.")
def audit_export(out: Path | None) -> None:
    """Write the log as JSON, one row a line. Kept elsewhere, it proves later what it said."""
    with Service(settings_of.load()) as service, for_people():
        service.store.trail.note("log exported")
        lines = (json.dumps(vars(row), ensure_ascii=False) for row in service.store.trail.rows())
        if out is None:
            for line in lines:
                click.echo(line)
            return
        try:
            with out.open("w", encoding="utf-8") as file:
                for line in lines:
                    file.write(f"{line}\n")
        except OSError as error:
            raise AttestError(f"{out} cannot be written ({error.strerror}); choose another place") from error


@audit.command("verify")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json
def audit_verify(file: Path | None, as_json: bool) -> None:
    """Whether the chain is whole. With FILE, an export, also whether the log still begins with it.

    Status 1 if not, with the number of the first row that does not fit.
    """
    with Service(settings_of.load()) as service, for_people():
        kept = service.store.trail.verify()
        found = [("the log", kept)]
        if file is not None:
            exported = verify(_exported(file))
            found.append((str(file), exported))
            if kept.broken is None and exported.broken is None:
                found.append(("the log", _begins_with(service, file)))
    broken = [(what, each) for what, each in found if each.broken is not None]
    lines = [f"{what}: {each.rows} rows, whole; the last hash is {each.last}" for what, each in found]
    if broken:
        lines = [f"{what}: row {each.broken}: {each.reason}" for what, each in broken]
    show({"ok": not broken, "found": [{"of": what, **vars(each)} for what, each in found]}, as_json, lines)
    if broken:
        sys.exit(1)


def _exported(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise AttestError(f"{file}, line {number}: this is no row of an audit log")
            yield row


def _begins_with(service: Service, file: Path) -> Verified:
    """Whether the first rows of the log are those of the file."""
    rows = service.store.trail.rows()
    for number, row in enumerate(_exported(file), 1):
        mine = next(rows, None)
        if mine is None or mine.hash != row["hash"]:
            reason = "it is not in the log any more" if mine is None else "the log has another row there"
            return Verified(number - 1, row["previous"], number, reason)
    return service.store.trail.verify()
