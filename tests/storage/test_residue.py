import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from storage import residue
from storage.database import Database
from tests.storage.residue import left_behind


@pytest.mark.parametrize("auto_vacuum", [0, 1])
def test_what_sqlite_leaves_of_deleted_rows_is_overwritten(tmp_path: Path, auto_vacuum: int) -> None:
    """Rows in random order make SQLite balance pages; secure_delete does not reach the copies it leaves."""
    path = tmp_path / "home" / "test.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA auto_vacuum={auto_vacuum}")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x BLOB)")
        connection.commit()
    database = Database(path, busy_seconds=1)
    database.use_write_ahead_log()
    random = np.random.default_rng(3)
    rows = {int(key): random.bytes(int(random.integers(60, 900))) for key in random.permutation(600)}
    with database.write() as connection:
        for key, value in rows.items():
            connection.execute(sa.text("INSERT INTO t VALUES (:key, :value)"), {"key": key, "value": value})
    gone = [rows.pop(key) for key in list(rows)[::2]]
    with database.write() as connection:
        for key in set(range(600)) - set(rows):
            connection.execute(sa.text("DELETE FROM t WHERE id = :key"), {"key": key})
    assert database.checkpoint()
    assert left_behind(path.parent, gone)  # SQLite did leave something, so that the rest proves something
    with database.overwritten() as connection:
        assert connection is not None
        assert left_behind(path.parent, gone) == []
        connection.execute(sa.text("INSERT INTO t VALUES (1000, 'x')"))
    with database.read() as connection:
        assert connection.execute(sa.text("PRAGMA integrity_check")).scalars().all() == ["ok"]
        held = dict(connection.execute(sa.text("SELECT id, x FROM t WHERE id < 1000")).all())
    assert held == rows
    assert residue.overwrite(path) == 0
    database.close()


def test_a_reader_puts_it_off(tmp_path: Path) -> None:
    database = Database(tmp_path / "test.db", busy_seconds=0.1)
    database.use_write_ahead_log()
    with database.write() as connection:
        connection.execute(sa.text("CREATE TABLE t (x INTEGER)"))
    with database.read() as reader:
        reader.execute(sa.text("SELECT * FROM t")).all()
        with database.write() as connection:
            connection.execute(sa.text("INSERT INTO t VALUES (1)"))
        with database.overwritten() as connection:
            assert connection is None
    with database.overwritten() as connection:
        assert connection is not None
    database.close()
