"""Who is signed in: a row for every browser, found by the digest of a token that only its cookie holds.

A session ends when it was not used for `IDLE_SECONDS`, when it is `LONGEST_SECONDS` old, when its user signs
out or is removed, and when the password is changed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from storage.database import Database
from storage.schema import Session, User

IDLE_SECONDS = 2 * 3600.0
LONGEST_SECONDS = 12 * 3600.0
_NOTED_SECONDS = 60.0  # that it was used is written at most so often


@dataclass(frozen=True)
class Entry:
    """Whether users have to sign in, and who has."""

    demanded: bool
    user_id: int | None = None
    name: str = ""


class Sessions:
    """The table of sessions."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def start(self, user_id: int, digest: str) -> None:
        """Those that have ended are cleared away."""
        now = self._clock()
        values = {"digest": digest, "user_id": user_id, "created_at": now, "seen_at": now}
        with self._database.write() as connection:
            connection.execute(sa.delete(Session).where(~_alive(now)))
            connection.execute(sa.insert(Session).values(values))

    def entry(self, digest: str | None) -> Entry:
        """Who the session with this digest belongs to, where signing in is demanded."""
        now = self._clock()
        mine = sa.and_(Session.digest == digest, _alive(now))
        with self._database.read() as connection:
            if connection.execute(sa.select(User.id).limit(1)).first() is None:
                return Entry(demanded=False)
            if digest is None:
                return Entry(demanded=True)
            query = sa.select(User.id, User.name, Session.seen_at).join(User, User.id == Session.user_id)
            row = connection.execute(query.where(mine)).one_or_none()
        if row is None:
            return Entry(demanded=True)
        if now - row.seen_at > _NOTED_SECONDS:
            with self._database.write() as connection:
                connection.execute(sa.update(Session).where(mine).values(seen_at=now))
        return Entry(True, row.id, row.name)

    def end(self, digest: str) -> None:
        with self._database.write() as connection:
            connection.execute(sa.delete(Session).where(Session.digest == digest))

    def end_all(self, user_id: int) -> int:
        """Sign a user out everywhere. Returns of how many browsers."""
        with self._database.write() as connection:
            return connection.execute(sa.delete(Session).where(Session.user_id == user_id)).rowcount


def _alive(now: float) -> sa.ColumnElement[bool]:
    return sa.and_(Session.seen_at > now - IDLE_SECONDS, Session.created_at > now - LONGEST_SECONDS)
