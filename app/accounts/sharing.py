"""Letting others into a collection: whoever owns it names them, and says as what. Raises AttestError.

Who may do that, and what nobody is told, the store decides (`storage.sharing`).
"""

from builtins import list as List  # `list` is a method here

from app.accounts.accounts import known_form
from app.errors import AttestError, NotFound, for_people
from storage.grants import ROLES
from storage.sharing import GrantRow
from storage.store import Store


class Sharing:
    """Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def me(self) -> str | None:
        """The user who asks. None: the local one, or the administrator, who grants on the command line."""
        return None if self._store.viewer.user is None else self._store.viewer.name

    def list(self, collection: str) -> List[GrantRow]:
        """Who may use it, by name."""
        with for_people():
            return self._store.sharing.list(collection)

    def grant(self, user: str, collection: str, role: str) -> GrantRow:
        """In place of the role that the user has there."""
        user, known = known_form(user), next((each for each in ROLES if each == role), None)
        if not user:
            raise AttestError("a user is let in by name; type it")
        if known is None:
            raise AttestError(f"{role!r} is no role; choose one of {', '.join(ROLES)}")
        with for_people():
            self._store.sharing.grant(user, collection, known)
        return GrantRow(user, known)

    def revoke(self, user: str, collection: str) -> GrantRow:
        """What was taken away, at once."""
        user = known_form(user)
        with for_people():
            role = self._store.sharing.revoke(user, collection)
        if role is None:
            raise NotFound(f"{user!r} has no role in collection {collection!r} that could be taken away")
        return GrantRow(user, role)
