import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage import files
from storage.database import Database, translate
from storage.errors import (
    DiskFull,
    StorageError,
    StoreBusy,
    StoreDamaged,
    StoreReadOnly,
    StoreUnavailable,
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "test.db", busy_seconds=0.2)
    opened.use_write_ahead_log()
    with opened.write() as connection:
        connection.execute(sa.text("CREATE TABLE t (x INTEGER)"))
    yield opened
    opened.close()


def count(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(sa.text("SELECT count(*) FROM t")).scalar_one())


def test_a_write_happens_wholly_or_not_at_all(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        connection.execute(sa.text("INSERT INTO t VALUES (1)")).rowcount / 0
    assert count(database) == 0


def test_a_reader_goes_on_while_another_writes(database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.text("INSERT INTO t VALUES (1)"))
        assert count(database) == 0
    assert count(database) == 1


def test_a_second_writer_waits_and_is_told_why(database: Database) -> None:
    with database.write(), pytest.raises(StoreBusy, match="another"), database.write():
        pass
    done = threading.Event()

    def later() -> None:
        with database.write() as connection:
            connection.execute(sa.text("INSERT INTO t VALUES (2)"))
        done.set()

    with database.write() as connection:
        thread = threading.Thread(target=later)
        thread.start()
        connection.execute(sa.text("INSERT INTO t VALUES (1)"))
    thread.join(10)
    assert done.is_set()
    assert count(database) == 2


def test_the_pragmas_hold_on_every_connection(database: Database) -> None:
    with database.read() as first, database.read() as second:
        for connection in (first, second):
            for pragma, value in {"foreign_keys": 1, "secure_delete": 1, "journal_mode": "wal"}.items():
                assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


def test_the_log_is_emptied(database: Database) -> None:
    log = database.path.with_name("test.db-wal")
    assert log.stat().st_size > 0
    assert database.checkpoint()
    assert log.stat().st_size == 0


def driver_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("made up")
    error.sqlite_errorcode = code
    error.sqlite_errorname = "MADE_UP"
    return error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY, StoreBusy),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreBusy),
        (sqlite3.SQLITE_FULL, DiskFull),
        (sqlite3.SQLITE_CORRUPT, StoreDamaged),
        (sqlite3.SQLITE_NOTADB, StoreDamaged),
        (sqlite3.SQLITE_READONLY, StoreReadOnly),
        (sqlite3.SQLITE_CANTOPEN, StoreReadOnly),
    ],
)
def test_driver_errors_are_mapped(code: int, kind: type[StorageError]) -> None:
    assert type(translate(driver_error(code))) is kind


def test_every_driver_error_becomes_ours(database: Database) -> None:
    """Whatever SQLite can say, nothing but a storage error reaches the caller."""
    codes = {
        value for name, value in vars(sqlite3).items() if name.startswith("SQLITE_") and value is not None
    }
    for code in codes:
        if isinstance(code, int):
            assert isinstance(translate(driver_error(code)), StoreUnavailable)
    with pytest.raises(StoreUnavailable), database.read() as connection:
        connection.execute(sa.text("SELECT * FROM nothing"))


def test_disk_errors_are_mapped() -> None:
    for number, kind in ((28, DiskFull), (13, StoreReadOnly), (5, StoreUnavailable)):
        with pytest.raises(kind, match="the bank"), files.in_our_words("the bank"):
            raise OSError(number, "why")


def test_a_file_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), files.partial(tmp_path) as (_, file):
        file.write(b"half") / 0
    assert list(tmp_path.iterdir()) == []
