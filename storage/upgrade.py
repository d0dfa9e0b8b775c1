"""Brings a database's schema to the newest revision when the store is opened.

A store of the newest revision is recognised by one query, without loading Alembic. Otherwise one process
at a time, under a lock, copies a store that has an older schema to backups/ and runs the missing
migrations in one transaction.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from storage.database import BUSY_SECONDS, Database, translate
from storage.errors import SchemaTooNew

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0009"  # a test holds this equal to the newest migration
BACKUPS = "backups"
MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(database: Database) -> None:
    """Bring `database` to HEAD. Raises SchemaTooNew, StoreUnavailable."""
    if database.path.exists() and revision(database) == HEAD:
        return
    with _one_at_a_time(database.path.with_name("upgrade.lock")):
        found = revision(database)
        if found == HEAD:  # another process did it while we waited
            return
        if found is not None:
            _refuse_newer(found)
            back_up(database.path, found)
        from alembic import command

        database.use_write_ahead_log()
        with database.write() as connection:
            config = alembic_config(connection)
            command.upgrade(config, HEAD)


def revision(database: Database) -> str | None:
    """The schema's revision, None for an empty database."""
    with database.read() as connection:
        known = connection.execute(
            sa.text("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'")
        ).first()
        if known is None:
            return None
        found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def alembic_config(connection: sa.Connection) -> "Config":
    """Alembic's configuration for our migrations on an open connection; there is no .ini file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def back_up(path: Path, found: str) -> Path:
    """Copy the database, consistently, to backups/attest-<revision>.db beside it."""
    folder = path.with_name(BACKUPS)
    folder.mkdir(exist_ok=True)
    target = folder / f"{path.stem}-{found}.db"
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(partial)) as copy:
        source.backup(copy)
    partial.replace(target)
    return target


def _refuse_newer(found: str) -> None:
    from alembic.script import ScriptDirectory

    if found not in {script.revision for script in ScriptDirectory(MIGRATIONS).walk_revisions()}:
        raise SchemaTooNew(
            f"the store has schema {found}, this release knows up to {HEAD}; install the release that "
            "wrote it, or choose another home"
        )


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """An exclusive lock that the operating system gives back if we die: SQLite's own, on an empty file."""
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS * 4, isolation_level=None)) as lock:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            raise translate(error) from error
        yield
