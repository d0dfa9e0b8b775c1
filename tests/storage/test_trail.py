"""The audit log: nothing of it can be changed unseen."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from storage.grants import Viewer
from storage.sessions import IDLE_SECONDS, LONGEST_SECONDS, Sessions
from storage.store import Store
from storage.trail import START, Trail, verify


@pytest.fixture
def logged(store: Store) -> Store:
    """A store with five rows: a user, three reads by her, and a grant."""
    ann, _ = store.users.add("ann", None)
    seen = store.seen_by(Viewer(ann.id, "ann", "page"))
    for page in (1, 2, 3):
        seen.trail.note("page read", document="abc", page=page, as_picture=False)
    store.sharing.grant("ann", "law", "editor")
    return store


def test_without_users_nothing_is_kept(store: Store) -> None:
    store.trail.note("page read", document="abc", page=1)
    store.collections.add("other", "legal")
    assert list(store.trail.rows()) == []
    assert (store.trail.verify().rows, store.trail.verify().last) == (0, START)


def test_rows_say_who_did_what(logged: Store) -> None:
    rows = list(logged.trail.rows())
    assert [row.number for row in rows] == [1, 2, 3, 4, 5]
    assert [(row.event, row.name, row.through) for row in rows[:2]] == [
        ("user added", "local", "this machine"),
        ("page read", "ann", "page"),
    ]
    assert rows[1].details == {"document": "abc", "page": 1, "as_picture": False}
    assert rows[4].details == {"user": 1, "collection": 1, "role": "editor"}
    whole = logged.trail.verify()
    assert (whole.rows, whole.last, whole.broken) == (5, rows[4].hash, None)
    logged.users.forget()
    logged.trail.note("page read", document="abc", page=1)  # it goes on without users
    assert logged.trail.verify().rows == 7


@pytest.mark.parametrize("deed", ["UPDATE audit_log SET name = 'bob'", "DELETE FROM audit_log"])
def test_the_database_refuses_to_change_rows(logged: Store, deed: str) -> None:
    with pytest.raises(IntegrityError, match="only added to"), logged._database.write() as connection:
        connection.execute(sa.text(deed))
    assert logged.trail.verify().broken is None


@pytest.mark.parametrize(
    ("deed", "broken", "reason"),
    [
        ("UPDATE audit_log SET name = 'bob' WHERE number = 3", 3, "changed"),
        ("UPDATE audit_log SET details = json_set(details, '$.page', 9) WHERE number = 3", 3, "changed"),
        ("UPDATE audit_log SET at = at + 1 WHERE number = 5", 5, "changed"),
        ("UPDATE audit_log SET hash = printf('%064d', 7) WHERE number = 5", 5, "changed"),
        ("DELETE FROM audit_log WHERE number = 2", 2, "missing"),
        ("DELETE FROM audit_log WHERE number = 1", 1, "missing"),
        (
            "INSERT INTO audit_log SELECT 6, at, user_id, name, through, event, details, previous, hash "
            "FROM audit_log WHERE number = 5",
            6,
            "follow",
        ),
    ],
)
def test_tampering_is_found_and_named(logged: Store, home: Path, deed: str, broken: int, reason: str) -> None:
    with closing(sqlite3.connect(home / "attest.db")) as raw, raw:
        for trigger in ("update", "delete"):
            raw.execute(f"DROP TRIGGER audit_log_no_{trigger}")
        assert raw.execute(deed).rowcount == 1
    verdict = logged.trail.verify()
    assert verdict.broken == broken
    assert reason in (verdict.reason or "")
    assert verdict.rows == broken - 1


def test_an_export_is_verified_without_the_store(logged: Store) -> None:
    lines = [json.dumps(vars(row)) for row in logged.trail.rows()]
    assert verify(json.loads(line) for line in lines).rows == 5
    assert verify(json.loads(line) for line in lines[1:]).broken == 1
    assert verify({} for _ in range(1)).broken == 1


def test_two_logs_at_once_make_one_chain(logged: Store) -> None:
    other = Trail(logged._database, Viewer(1, "ann", "key 1"))
    for _ in range(3):
        logged.trail.note("asked", collection=1)
        other.note("asked", collection=1)
    assert logged.trail.verify().rows == 11


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_sessions_end_when_idle_when_old_and_with_the_password(store: Store) -> None:
    clock = Clock()
    sessions = Sessions(store._database, clock)
    assert not sessions.entry("a").demanded
    ann, _ = store.users.add("ann", "hash")
    assert (sessions.entry(None).demanded, sessions.entry("a").user_id) == (True, None)
    sessions.start(ann.id, "a")
    for _ in range(20):  # used again and again
        clock.now += IDLE_SECONDS / 2
        if clock.now - 1000 < LONGEST_SECONDS:
            assert sessions.entry("a").user_id == ann.id
    assert sessions.entry("a").user_id is None
    sessions.start(ann.id, "b")
    clock.now += IDLE_SECONDS + 1
    assert sessions.entry("b").user_id is None
    sessions.start(ann.id, "c")
    sessions.start(ann.id, "d")
    sessions.end("c")
    assert [sessions.entry(each).user_id for each in "cd"] == [None, ann.id]
    store.users.set_password("ann", "another")
    assert sessions.entry("d").user_id is None
    sessions.start(ann.id, "e")
    assert sessions.end_all(ann.id) == 1
    assert sessions.entry("e").user_id is None
