"""The audit log: who did what, when; ids and sizes, never a name of a document or a word of its text.

Rows are only added: triggers of the database refuse the rest. Each carries the hash of the one before and a
hash of itself, the SHA-256 of its canonical JSON (keys sorted, no white space, UTF-8), so a row that was
changed, taken out or put in breaks the chain at a number that can be told. Whoever can write the file can
forge the whole chain anew; an export kept elsewhere tells that too, since it must be how the chain begins.

The log begins with the first user. It is kept for ever.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from storage.database import Database
from storage.grants import Viewer
from storage.schema import LogEntry, User

Event = Literal[
    "user added",
    "user removed",
    "users forgotten",
    "password set",
    "granted",
    "revoked",
    "key made",
    "key revoked",
    "signed in",
    "sign-in failed",
    "signed out",
    "asked",
    "page read",
    "added",
    "deleted",
    "exported",
    "renamed",
    "moved",
    "collection made",
    "collection renamed",
    "collection deleted",
    "log exported",
]
START = "0" * 64  # what stands before the first row
_STEP = 500


@dataclass(frozen=True)
class LogRow:
    """user_id, name, through: who did it and by what they came; None and "" where nobody is known."""

    number: int
    at: float
    user_id: int | None
    name: str
    through: str
    event: str
    details: dict[str, Any]
    previous: str
    hash: str


@dataclass(frozen=True)
class Verified:
    """rows: how many were looked at. broken: number of the first one that does not fit, and why."""

    rows: int
    last: str
    broken: int | None = None
    reason: str | None = None


class Trail:
    """The table of the audit log."""

    def __init__(self, database: Database, viewer: Viewer, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._viewer = viewer
        self._clock = clock

    def note(self, event: Event, /, **details: int | str | bool | None) -> None:
        """Add a row in a transaction of its own, see `add`."""
        with self._database.read() as connection:
            if not _is_kept(connection):
                return
        with self._database.write() as connection:
            self.add(connection, event, **details)

    def add(self, connection: sa.Connection, event: Event, /, **details: int | str | bool | None) -> None:
        """Add a row inside a write transaction of the caller's, if there are users, or were."""
        if not _is_kept(connection):
            return
        last = connection.execute(_LAST).one_or_none()
        values: dict[str, Any] = {
            "number": 1 if last is None else last.number + 1,
            "at": self._clock(),
            "user_id": self._viewer.user,
            "name": self._viewer.name,
            "through": self._viewer.through,
            "event": event,
            "details": details,
            "previous": START if last is None else last.hash,
        }
        connection.execute(sa.insert(LogEntry).values({**values, "hash": hash_of(values)}))

    def rows(self) -> Iterator[LogRow]:
        """All, oldest first, a few hundred in memory at a time. Raises NotAllowed to users."""
        self._viewer.must_be_local()
        after = 0
        while True:
            query = sa.select(LogEntry).where(LogEntry.number > after).order_by(LogEntry.number).limit(_STEP)
            with self._database.read() as connection:
                found = connection.execute(query).all()
            if not found:
                return
            for row in found:
                yield LogRow(**row._mapping)
            after = found[-1].number

    def verify(self) -> Verified:
        """Whether the chain is whole. Raises NotAllowed to users."""
        return verify(vars(row) for row in self.rows())


def verify(rows: Iterable[dict[str, Any]]) -> Verified:
    """Whether rows, as `LogRow` has them, are one whole chain from its beginning."""
    count, last = 0, START
    for row in rows:
        number = count + 1
        reason = None
        if row.get("number") != number:
            reason = f"a row is missing before it, or it was put in: it says it is {row.get('number')}"
        elif row.get("previous") != last:
            reason = "it does not follow from the row before it"
        elif row.get("hash") != hash_of({name: row[name] for name in row if name != "hash"}):
            reason = "it was changed"
        if reason is not None:
            return Verified(count, last, number, reason)
        count, last = number, row["hash"]
    return Verified(count, last)


def hash_of(values: dict[str, Any]) -> str:
    """Of a row without its hash."""
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8", "backslashreplace")).hexdigest()


def _is_kept(connection: sa.Connection) -> bool:
    begun = sa.select(LogEntry.number).limit(1)
    return any(connection.execute(query).first() for query in (sa.select(User.id).limit(1), begun))


_LAST = sa.select(LogEntry.number, LogEntry.hash).order_by(LogEntry.number.desc()).limit(1)
