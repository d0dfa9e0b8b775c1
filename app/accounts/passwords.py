"""Passwords: which are taken, how they are hashed, and a check as slow for users that do not exist.

argon2id with the parameters of RFC 9106's second recommendation, which argon2-cffi has as its own. A hash
takes 64 MiB, so few are computed at once.
"""

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import AttestError

LEAST, MOST = 12, 1000  # characters
AT_ONCE = 2


class Passwords:
    """Safe to share between threads."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._decoy = self._hasher.hash("nobody's password")
        self._turns = threading.Semaphore(AT_ONCE)

    def hashed(self, password: str) -> str:
        """Raises AttestError for a password that is not taken."""
        if len(password) < LEAST:
            raise AttestError(f"a password needs at least {LEAST} characters; a few words will do")
        if len(password) > MOST:
            raise AttestError(f"a password has at most {MOST} characters")
        with self._turns:
            return self._hasher.hash(_one_form(password))

    def fits(self, kept: str | None, password: str) -> bool:
        """Whether it is the password of this hash. Without one it is not, after the same work."""
        given = _one_form(password[:MOST])
        with self._turns:
            try:
                self._hasher.verify(self._decoy if kept is None else kept, given)
            except (VerificationError, InvalidHashError):
                return False
        return kept is not None

    def is_outdated(self, kept: str) -> bool:
        """Whether a new hash would be made otherwise than this one was."""
        return self._hasher.check_needs_rehash(kept)


def _one_form(password: str) -> bytes:
    """Keyboards differ in how they compose the same letters."""
    return unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")
