import hashlib
import sqlite3
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from storage.database import Database
from storage.errors import SchemaTooNew, StoreDamaged
from storage.schema import Base
from storage.store import Store
from storage.upgrade import HEAD, MIGRATIONS, alembic_config, back_up, revision, upgrade


def test_models_and_migrations_agree(home: Path) -> None:
    home.mkdir()
    database = Database(home / "attest.db")
    upgrade(database)

    def not_words(thing: object, name: str | None, kind: str, *_: object) -> bool:
        return not (kind == "table" and (name or "").startswith("reference_fts"))

    with database.write() as connection:
        options = {"include_object": not_words, "compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []
        assert ScriptDirectory.from_config(alembic_config(connection)).get_current_head() == HEAD
    database.close()


def test_every_migration_runs_from_every_older_one(home: Path) -> None:
    home.mkdir()
    scripts = list(ScriptDirectory(str(MIGRATIONS)).walk_revisions())
    assert scripts[-1].down_revision is None
    for script in scripts:
        database = Database(home / f"{script.revision}.db")
        database.use_write_ahead_log()
        with database.write() as connection:
            from alembic import command

            command.upgrade(alembic_config(connection), script.revision)
        upgrade(database)
        assert revision(database) == HEAD
        database.close()


def test_documents_of_schema_0001_are_kept(home: Path, tmp_path: Path) -> None:
    home.mkdir(mode=0o700)
    database = Database(home / "attest.db")
    database.use_write_ahead_log()
    (tmp_path / "a.txt").write_text("a")
    sha256 = hashlib.sha256(b"a").hexdigest()
    with database.write() as connection:
        from alembic import command

        command.upgrade(alembic_config(connection), "0001")
        for statement in (
            "INSERT INTO collections (name, profile, created_at) VALUES ('law', 'legal', 1)",
            "INSERT INTO documents (id, sha256, name, bytes, status, error, warnings, created_at) "
            f"VALUES ('{sha256[:16]}', '{sha256}', 'a.txt', 1, 'failed', 'no text', '[]', 1)",
            f"INSERT INTO collection_documents VALUES (1, '{sha256[:16]}')",
            "INSERT INTO pages (document_id, number, label, text, headings) "
            f"VALUES ('{sha256[:16]}', 1, 'i', 'a', '[]')",
        ):
            connection.execute(sa.text(statement))
    database.close()
    with Store.open(home) as store:
        (document,) = store.documents.list("law")
        assert (document.name, document.error, document.unreadable_by) == ("a.txt", "no text", None)
        assert store.documents.page(document.id, 1).text == "a"
        again, created = store.documents.add(tmp_path / "a.txt", "law", readers="1")
        assert (again.id, created) == (document.id, True)  # nobody knows why it failed then
    assert (home / "backups" / "attest-0001.db").is_file()


def test_opening_again_changes_nothing(home: Path) -> None:
    with Store.open(home) as store:
        store.collections.add("law", "legal")
    with Store.open(home) as store:
        assert [row.name for row in store.collections.list()] == ["law"]
    assert not (home / "backups").exists()
    assert home.stat().st_mode & 0o077 == 0


def test_a_newer_schema_is_refused_and_left_alone(home: Path) -> None:
    Store.open(home).close()
    with closing(sqlite3.connect(home / "attest.db")) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNew, match="9999"):
        Store.open(home)
    with closing(sqlite3.connect(home / "attest.db")) as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)


def test_an_older_schema_is_copied_before_it_is_changed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(home) as store:
        store.collections.add("law", "legal")
    with (
        closing(sqlite3.connect(home / "attest.db")) as raw,
        raw,
    ):  # an older release's, as far as we can tell
        raw.execute("UPDATE alembic_version SET version_num = '0000'")
    monkeypatch.setattr("storage.upgrade._refuse_newer", lambda found: None)
    monkeypatch.setattr("alembic.command.upgrade", lambda config, target: None)
    with Store.open(home):
        pass
    with closing(sqlite3.connect(home / "backups" / "attest-0000.db")) as copy:
        assert copy.execute("SELECT name FROM collections").fetchall() == [("law",)]


def test_a_migration_that_fails_changes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    database = Database(home / "attest.db")

    def half(config: object, target: str) -> None:
        config.attributes["connection"].execute(sa.text("CREATE TABLE half (id INTEGER)"))  # type: ignore[attr-defined]
        raise RuntimeError("the power went")

    with monkeypatch.context() as patched:
        patched.setattr("alembic.command.upgrade", half)
        with pytest.raises(RuntimeError, match="power"):
            upgrade(database)
    with database.read() as connection:
        assert sa.inspect(connection).get_table_names() == []
    upgrade(database)
    assert revision(database) == HEAD
    database.close()


def test_a_file_that_is_no_database_is_named(home: Path) -> None:
    home.mkdir()
    (home / "attest.db").write_bytes(b"this is not a database, whatever its name says" * 100)
    with pytest.raises(StoreDamaged, match=r"attest\.db"):
        Store.open(home)


def test_backup_replaces_an_unfinished_one(home: Path) -> None:
    Store.open(home).close()
    (home / "backups").mkdir()
    (home / "backups" / "attest-0001.partial").write_bytes(b"cut off")
    target = back_up(home / "attest.db", "0001")
    assert target.read_bytes().startswith(b"SQLite format 3")
    assert list(target.parent.iterdir()) == [target]


def open_and_add(home: Path, name: str) -> None:
    with Store.open(home) as store:
        store.collections.add(name, "general")


def test_processes_may_open_a_new_home_at_once(home: Path) -> None:
    spawn = get_context("spawn")
    names = ["a", "b", "c"]
    processes = [spawn.Process(target=open_and_add, args=(home, name)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with Store.open(home) as store:
        assert [row.name for row in store.collections.list()] == names


def test_what_there_was_before_users_stays_the_local_users(home: Path) -> None:
    home.mkdir(mode=0o700)
    database = Database(home / "attest.db")
    database.use_write_ahead_log()
    with database.write() as connection:
        from alembic import command

        command.upgrade(alembic_config(connection), "0007")
        for statement in (
            "INSERT INTO collections (name, profile, created_at) VALUES ('law', 'legal', 1)",
            "INSERT INTO conversations (collection_id, owner, title, created_at, changed_at) "
            "VALUES (1, NULL, 'lease', 1, 1)",
            "INSERT INTO answers (conversation_id, question, text, mode, max_tokens, stopped, remarks, body, "
            "created_at) VALUES (1, 'When?', 'In May.', 'memory', 64, 0, '[]', '{}', 1)",
            "INSERT INTO api_keys (name, digest, scopes, per_minute, created_at) "
            "VALUES ('scripts', 'digest', '[\"read\"]', 60, 1)",
        ):
            connection.execute(sa.text(statement))
    database.close()
    with Store.open(home) as store:
        assert [row.name for row in store.collections.list()] == ["law"]
        assert [(row.title, row.owner) for row in store.conversations.list()] == [("lease", None)]
        assert [row.text for row in store.answers.of_conversation(1)] == ["In May."]
        _, key = store.keys.of_digest("digest")
        assert key is not None
        assert key.user is None
        assert not store.users.any()
        assert store.trail.verify().rows == 0
    assert (home / "backups" / "attest-0007.db").is_file()
