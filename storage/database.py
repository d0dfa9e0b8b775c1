"""The SQLite database: connections, transactions, and its errors in our words.

Reads see one snapshot (`read`), writes take the write lock at once (`write`, BEGIN IMMEDIATE), so a
transaction never fails half-way for want of the lock. It knows no table.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from storage import files, residue
from storage.errors import DiskFull, StorageError, StoreBusy, StoreDamaged, StoreReadOnly, StoreUnavailable

BUSY_SECONDS = 30.0
_OVERWRITE_TRIES = 20


class Database:
    """One SQLite file, shared by the threads of this process and by other processes."""

    def __init__(self, path: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        url = sa.URL.create("sqlite+pysqlite", database=str(path))
        self.engine = sa.create_engine(
            url,
            connect_args={"timeout": busy_seconds},
            pool_size=8,
            max_overflow=56,
            pool_timeout=busy_seconds,
        )
        # For a transaction whose connection must not hold pages from before it.
        self._afresh = sa.create_engine(url, connect_args={"timeout": busy_seconds}, poolclass=sa.NullPool)
        for engine in (self.engine, self._afresh):
            event.listen(engine, "connect", _prepare)
            event.listen(engine, "begin", _begin)
        self._busy_seconds = busy_seconds
        self._entered = True
        residue.enter(path)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one snapshot. Raises StoreUnavailable."""
        with _in_our_words(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that holds the write lock from its start; commits at the end, or rolls back.

        Raises StoreUnavailable; IntegrityError passes through, since only the caller knows what it means.
        """
        with self._writing(self.engine) as connection:
            yield connection

    @contextmanager
    def _writing(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        with _in_our_words(), engine.connect() as connection:
            connection = connection.execution_options(attest_write=True)
            with connection.begin():
                yield connection

    def use_write_ahead_log(self) -> None:
        """Let readers and a writer work side by side. The file remembers it; call it under a lock."""
        with _in_our_words():
            connection = self.engine.raw_connection()
            try:
                for _ in range(200):  # SQLite does not wait by itself while another process reads
                    try:
                        connection.cursor().execute("PRAGMA journal_mode=WAL")
                        return
                    except sqlite3.OperationalError as error:
                        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                            raise
                    time.sleep(0.05)
                raise StoreBusy("another process is reading the store; try again in a moment")
            finally:
                connection.close()

    def checkpoint(self, seconds: float | None = None) -> bool:
        """Move the write-ahead log into the database and empty it, so that no deleted bytes stay in it.

        Returns False if another process was reading for longer than the wait, of `seconds` if given.
        """
        wait = self._busy_seconds if seconds is None else seconds
        with _in_our_words(), self._afresh.connect() as connection:
            raw = connection.connection.cursor()
            raw.execute(f"PRAGMA busy_timeout={int(1000 * wait)}")
            busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    @contextmanager
    def overwritten(self, seconds: float | None = None) -> Iterator[sa.Connection | None]:
        """A write transaction at whose start nothing that was deleted before is left in the file or the log.

        None if another process was reading, or kept on writing, for longer than the wait. What the caller
        writes makes other connections drop the pages that they remember, with what was left in them.
        """
        for _ in range(_OVERWRITE_TRIES):
            if not self.checkpoint(seconds):
                break
            with self._writing(self._afresh) as connection:
                if files.size(self.path.with_name(f"{self.path.name}-wal")):
                    continue  # another process was quicker; what it wrote has to get into the file first
                with files.in_our_words("the database"):
                    residue.overwrite(self.path)
                yield connection
                return
        yield None

    def shrink(self) -> None:
        """Give the disk back what deleted rows took. Needs as much free space; raises DiskFull, StoreBusy."""
        with _in_our_words(), self._afresh.connect() as connection:
            connection.connection.cursor().execute("VACUUM")
        self.checkpoint()

    def close(self) -> None:
        self.engine.dispose()
        if self._entered:
            self._entered = False
            residue.leave(self.path)


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we send BEGIN ourselves; the driver would delay it
    for pragma in ("foreign_keys=ON", "secure_delete=ON", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("attest_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise translate(error.orig) from error
    except PoolTimeout as error:
        raise StoreBusy("every connection to the store is in use; try again in a moment") from error
    except sqlite3.Error as error:
        raise translate(error) from error


_WORDS: dict[int, StorageError] = {
    sqlite3.SQLITE_BUSY: StoreBusy("another process is writing to the store; try again in a moment"),
    sqlite3.SQLITE_LOCKED: StoreBusy("another connection is writing to the store; try again in a moment"),
    sqlite3.SQLITE_FULL: DiskFull("no space left on the disk of the store; free some and try again"),
    sqlite3.SQLITE_CORRUPT: StoreDamaged(
        "the database is damaged; restore the newest file of the backups folder, or ingest into a new home"
    ),
    sqlite3.SQLITE_NOTADB: StoreDamaged("attest.db is not a database; move it away or choose another home"),
    sqlite3.SQLITE_READONLY: StoreReadOnly("the store cannot be written; check its folder's permissions"),
    sqlite3.SQLITE_CANTOPEN: StoreReadOnly("attest.db cannot be opened; check the home folder's permissions"),
    sqlite3.SQLITE_PERM: StoreReadOnly("attest.db may not be opened; check the home folder's permissions"),
}


def translate(error: BaseException | None) -> StorageError:
    """The storage error that says what a driver error means."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _WORDS:  # the low byte is the primary code
        known = _WORDS[code & 0xFF]
        return type(known)(*known.args)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreUnavailable(f"the database refused ({name}); run `attest doctor` to check the store")
