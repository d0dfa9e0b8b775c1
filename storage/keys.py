"""Keys by which programs are let in: their names, what each may do, and the hash of each secret.

A secret itself never comes here. A revoked key stays as a row, so that a store which once demanded keys goes
on demanding them. A key opens what its user may see; one of the administrator opens everything.
"""

import time
from builtins import list as List  # `list` is a method here
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from storage.codec import clean
from storage.database import Database
from storage.errors import KeyExists, KeyNotFound
from storage.schema import ApiKey, User
from storage.trail import Trail

Scope = Literal["read", "ask", "write"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True)
class KeyRow:
    """A key without its secret. per_minute: how many requests it may make. Times are Unix seconds.

    user_id, user: whose it is; None for those of the administrator.
    """

    id: int
    name: str
    scopes: tuple[Scope, ...]
    per_minute: int
    created_at: float
    revoked_at: float | None
    user_id: int | None = None
    user: str | None = None


class Keys:
    """The table of keys."""

    def __init__(self, database: Database, trail: Trail) -> None:
        self._database = database
        self._trail = trail

    def add(
        self, name: str, digest: str, scopes: Sequence[Scope], per_minute: int, user_id: int | None = None
    ) -> KeyRow:
        """digest: of the secret. Raises KeyExists; the name of a revoked key stays taken."""
        values = {
            "name": clean(name),
            "digest": digest,
            "scopes": [scope for scope in SCOPES if scope in scopes],
            "per_minute": per_minute,
            "created_at": time.time(),
            "user_id": user_id,
        }
        try:
            with self._database.write() as connection:
                made = connection.execute(sa.insert(ApiKey).values(values).returning(ApiKey.id)).scalar_one()
                self._trail.add(connection, "key made", key=made, of_user=user_id)
                return _key(connection.execute(_KEYS.where(ApiKey.id == made)).one())
        except IntegrityError as error:
            raise KeyExists(f"there is or was a key {name!r}; choose another name") from error

    def list(self) -> List[KeyRow]:
        """All keys in the order in which they were made, revoked ones too."""
        with self._database.read() as connection:
            return [_key(row) for row in connection.execute(_KEYS.order_by(ApiKey.id))]

    def of_digest(self, digest: str | None) -> tuple[bool, KeyRow | None]:
        """Whether a key was ever made, and the one whose secret has this hash, unless it is revoked."""
        with self._database.read() as connection:
            if connection.execute(sa.select(ApiKey.id).limit(1)).first() is None:
                return False, None
            found = connection.execute(
                _KEYS.where(ApiKey.digest == digest, ApiKey.revoked_at.is_(None))
            ).first()
        return True, None if found is None else _key(found)

    def revoke(self, name: str) -> KeyRow:
        """From now on the key opens nothing. Raises KeyNotFound."""
        with self._database.write() as connection:
            connection.execute(
                sa.update(ApiKey)
                .where(ApiKey.name == clean(name))
                .values(revoked_at=sa.func.coalesce(ApiKey.revoked_at, time.time()))
            )
            row = connection.execute(_KEYS.where(ApiKey.name == clean(name))).first()
            if row is not None:
                self._trail.add(connection, "key revoked", key=row.id)
        if row is None:
            raise KeyNotFound(f"there is no key {name!r}; see `attest keys list`")
        return _key(row)

    def forget(self) -> int:
        """Remove every key, so that none is demanded any more. Returns how many there were."""
        with self._database.write() as connection:
            return connection.execute(sa.delete(ApiKey)).rowcount


_KEYS = sa.select(ApiKey, User.name.label("user")).join(User, User.id == ApiKey.user_id, isouter=True)


def _key(row: Any) -> KeyRow:
    return KeyRow(
        row.id,
        row.name,
        tuple(row.scopes),
        row.per_minute,
        row.created_at,
        row.revoked_at,
        row.user_id,
        row.user,
    )
