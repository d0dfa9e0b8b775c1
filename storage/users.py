"""Users, with what was granted to them. Without any, whoever reaches the page or the API sees everything.

A password comes here as a hash that somebody else made. Names and addresses are compared as they are given:
whoever calls makes them one form first.
"""

import time
from builtins import list as List  # `list` is a method here
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from storage import epochs
from storage.codec import clean
from storage.database import Database
from storage.errors import NotAllowed, UserExists, UserNotFound
from storage.grants import ROLES, Role
from storage.removal import Remover
from storage.schema import ApiKey, Collection, Conversation, Grant, Session, User
from storage.trail import Trail


@dataclass(frozen=True)
class UserRow:
    """A user. email: by which a sign-in elsewhere is known. has_password: whether they have one here.

    grants: collections by name, with the role.
    """

    id: int
    name: str
    email: str | None
    has_password: bool
    created_at: float
    grants: dict[str, Role]


@dataclass(frozen=True)
class Inherited:
    """What the first user got: how many collections and conversations there were before."""

    collections: int = 0
    conversations: int = 0


class Users:
    """The table of users."""

    def __init__(self, database: Database, trail: Trail, remover: Remover) -> None:
        self._database = database
        self._trail = trail
        self._remover = remover

    def any(self) -> bool:
        """Whether there is a user, so that everybody has to sign in."""
        with self._database.read() as connection:
            return connection.execute(sa.select(User.id).limit(1)).first() is not None

    def add(self, name: str, password: str | None, email: str | None = None) -> tuple[UserRow, Inherited]:
        """The first user becomes the owner of everything that there is. Raises UserExists."""
        values = {"name": clean(name), "password": password, "email": email, "created_at": time.time()}
        try:
            with self._database.write() as connection:
                first = connection.execute(sa.select(User.id).limit(1)).first() is None
                made = connection.execute(sa.insert(User).values(values).returning(User.id)).scalar_one()
                inherited = _inherit(connection, made) if first else Inherited()
                self._trail.add(connection, "user added", user=made, owns=inherited.collections)
                return _rows(connection, User.id == made)[0], inherited
        except IntegrityError as error:
            raise UserExists(f"there is a user {name!r}, or one of that address; choose another") from error

    def get(self, name: str) -> UserRow:
        """Raises UserNotFound."""
        with self._database.read() as connection:
            found = _rows(connection, User.name == clean(name))
        if not found:
            raise _missing(name)
        return found[0]

    def list(self) -> List[UserRow]:
        """All users by name."""
        with self._database.read() as connection:
            return _rows(connection)

    def password_of(self, name: str) -> tuple[int, str, str | None] | None:
        """Id, name and hash of the user of that name."""
        query = sa.select(User.id, User.name, User.password).where(User.name == clean(name))
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (row.id, row.name, row.password)

    def set_password(self, name: str, password: str) -> None:
        """Whoever is signed in as this user has to sign in anew. Raises UserNotFound."""
        with self._database.write() as connection:
            user_id = _id_of(connection, name)
            connection.execute(sa.update(User).where(User.id == user_id).values(password=password))
            connection.execute(sa.delete(Session).where(Session.user_id == user_id))
            self._trail.add(connection, "password set", user=user_id)

    def rehash(self, user_id: int, password: str) -> None:
        """Another hash of the same password."""
        with self._database.write() as connection:
            connection.execute(sa.update(User).where(User.id == user_id).values(password=password))

    def of_subject(self, subject: str, email: str | None) -> UserRow | None:
        """Who signed in elsewhere: known by `subject`, or by the address at the first time, and linked then.

        email: None unless the provider has verified it.
        """
        with self._database.write() as connection:
            known = _rows(connection, User.subject == subject)
            if known or email is None:
                return next(iter(known), None)
            link = sa.update(User).where(User.email == email, User.subject.is_(None)).values(subject=subject)
            if not connection.execute(link).rowcount:
                return None
            return _rows(connection, User.subject == subject)[0]

    def remove(self, name: str) -> int:
        """Remove a user with grants, sessions, keys and conversations. Returns how many of these there were.

        Raises UserNotFound; NotAllowed for the last one, with whom the demand to sign in would go.
        """
        with self._database.write() as connection:
            user_id = _id_of(connection, name)
            if connection.execute(sa.select(User.id).where(User.id != user_id).limit(1)).first() is None:
                raise NotAllowed(
                    f"{name!r} is the last user; `attest users forget` removes all, and opens everything to "
                    "whoever uses this machine"
                )
            talked = sa.delete(Conversation).where(Conversation.user_id == user_id)
            conversations = connection.execute(talked).rowcount
            connection.execute(sa.delete(ApiKey).where(ApiKey.user_id == user_id))
            connection.execute(sa.delete(User).where(User.id == user_id))  # grants and sessions cascade
            self._trail.add(connection, "user removed", user=user_id, conversations=conversations)
            epochs.visibility_changed(connection)
            self._remover.note_rows(connection)
        self._remover.finish()
        return conversations

    def forget(self) -> int:
        """Remove all users and their keys; their conversations become the local user's. Returns how many."""
        with self._database.write() as connection:
            connection.execute(sa.update(Conversation).values(user_id=None))
            connection.execute(sa.delete(ApiKey).where(ApiKey.user_id.is_not(None)))
            gone = connection.execute(sa.delete(User)).rowcount
            self._trail.add(connection, "users forgotten", users=gone)
            epochs.visibility_changed(connection)
            self._remover.note_rows(connection)
        self._remover.finish()
        return gone


def _inherit(connection: sa.Connection, user_id: int) -> Inherited:
    owned = sa.select(sa.literal(user_id), Collection.id, sa.literal(ROLES[-1]))
    names = ["user_id", "collection_id", "role"]
    collections = connection.execute(sa.insert(Grant).from_select(names, owned)).rowcount
    mine = sa.update(Conversation).where(Conversation.user_id.is_(None)).values(user_id=user_id)
    return Inherited(collections, connection.execute(mine).rowcount)


def _id_of(connection: sa.Connection, name: str) -> int:
    found = connection.execute(sa.select(User.id).where(User.name == clean(name))).scalar()
    if found is None:
        raise _missing(name)
    return found


def _missing(name: str) -> UserNotFound:
    return UserNotFound(f"there is no user {name!r}; see `attest users list`")


def _rows(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> List[UserRow]:
    grants: dict[int, dict[str, Any]] = {}
    granted = (
        sa.select(Grant.user_id, Collection.name, Grant.role)
        .join(Collection, Collection.id == Grant.collection_id)
        .join(User, User.id == Grant.user_id)
        .where(*where)
        .order_by(Collection.name)
    )
    for user_id, collection, role in connection.execute(granted):
        grants.setdefault(user_id, {})[collection] = role
    return [
        UserRow(row.id, row.name, row.email, row.password is not None, row.created_at, grants.get(row.id, {}))
        for row in connection.execute(sa.select(User).where(*where).order_by(User.name))
    ]
