"""Who was let into a collection, and as what: shown to and changed by its owners, and by the administrator.

Everybody else is refused before a user's name is looked at, so that nobody learns here which users there are
but who owns a collection and names one. No list of users is given to anybody.
"""

from builtins import list as List  # `list` is a method here
from dataclasses import dataclass
from typing import cast

import sqlalchemy as sa

from storage import epochs
from storage.codec import clean
from storage.collections import collection_id_of
from storage.database import Database
from storage.errors import NotAllowed, UserNotFound
from storage.grants import Role, Viewer
from storage.schema import Grant, User
from storage.trail import Trail


@dataclass(frozen=True)
class GrantRow:
    """user: the name."""

    user: str
    role: Role


class Sharing:
    """The table of grants. Each method raises CollectionNotFound, and NotAllowed to who is no owner."""

    def __init__(self, database: Database, viewer: Viewer, trail: Trail) -> None:
        self._database = database
        self._viewer = viewer
        self._trail = trail

    def list(self, collection: str) -> List[GrantRow]:
        """By the users' names."""
        with self._database.read() as connection:
            granted = (
                sa.select(User.name, Grant.role)
                .join(Grant, Grant.user_id == User.id)
                .where(Grant.collection_id == self._owned(connection, collection))
                .order_by(User.name)
            )
            return [GrantRow(row.name, row.role) for row in connection.execute(granted)]

    def grant(self, user: str, collection: str, role: Role) -> None:
        """In place of the role that the user has there. Raises UserNotFound."""
        with self._database.write() as connection:
            where = self._place(connection, user, collection)
            if role != "owner":
                self._leave_an_owner(connection, user, collection, where)
            connection.execute(sa.delete(Grant).filter_by(**where))
            connection.execute(sa.insert(Grant).values(**where, role=role))
            epochs.visibility_changed(connection)
            self._trail.add(connection, "granted", **_as_details(where), role=role)

    def revoke(self, user: str, collection: str) -> Role | None:
        """The role that was taken away, if there was one. Raises UserNotFound."""
        with self._database.write() as connection:
            where = self._place(connection, user, collection)
            self._leave_an_owner(connection, user, collection, where)
            gone = sa.delete(Grant).filter_by(**where).returning(Grant.role)
            role = cast(Role | None, connection.execute(gone).scalar())
            if role is not None:
                epochs.visibility_changed(connection)
                self._trail.add(connection, "revoked", **_as_details(where))
        return role

    def _owned(self, connection: sa.Connection, collection: str) -> int:
        return collection_id_of(connection, collection, self._viewer, "owner")

    def _place(self, connection: sa.Connection, user: str, collection: str) -> dict[str, int]:
        collection_id = self._owned(connection, collection)  # first: who may not ask learns of no user
        user_id = connection.execute(sa.select(User.id).where(User.name == clean(user))).scalar()
        if user_id is None:
            raise UserNotFound(f"there is no user {user!r}; {self._hint()}")
        return {"user_id": user_id, "collection_id": collection_id}

    def _hint(self) -> str:
        if self._viewer.user is None:
            return "see `attest users list`"
        return "take the name that stands beside “Sign out” on their page"

    def _leave_an_owner(
        self, connection: sa.Connection, user: str, collection: str, where: dict[str, int]
    ) -> None:
        """Raises NotAllowed if this grant is the only owner's, unless the administrator asks."""
        owners = sa.select(Grant.user_id).filter_by(collection_id=where["collection_id"], role="owner")
        if self._viewer.user is not None and connection.execute(owners).scalars().all() == [where["user_id"]]:
            raise NotAllowed(
                f"{user!r} is the only owner of collection {collection!r}; make somebody else its owner first"
            )


def _as_details(place: dict[str, int]) -> dict[str, int]:
    return {"user": place["user_id"], "collection": place["collection_id"]}
