"""Keys for programs: made here, shown once, kept as hashes.

A secret is 256 random bits, so its plain SHA-256 tells nobody anything and needs no salt; what is guessable
(a password) would need a slow hash instead.
"""

import hashlib
import secrets
from collections.abc import Sequence

from app.errors import AttestError, for_people
from storage.keys import KeyRow, Scope
from storage.store import Store

PREFIX = "attest-"  # tells what a leaked string is
PER_MINUTE = 240


def make_key(
    store: Store, name: str, scopes: Sequence[Scope], per_minute: int = PER_MINUTE, user: str | None = None
) -> tuple[KeyRow, str]:
    """A new key and its secret, which cannot be had again. user: whose it is.

    Raises AlreadyThere; NotFound if there is no such user.
    """
    if not name.strip():
        raise AttestError("a key needs a name, which says who has it")
    secret = PREFIX + secrets.token_urlsafe(32)
    with for_people():
        user_id = None if user is None else store.users.get(user).id
        return store.keys.add(name.strip(), digest_of(secret), scopes, per_minute, user_id), secret


def digest_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()
