"""Signing in and out: from a name and a password, or a provider's word, to a token that a browser keeps.

What fails says the same, after the same work, whether there is such a user or not. Failed attempts are
counted for each name from each address, for each address, and for each name.
"""

import hashlib
import math
import re
import secrets
import time
import unicodedata

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from app.accounts.passwords import Passwords
from app.errors import AttestError, for_people
from app.keys import digest_of
from storage.grants import LOCAL, Viewer
from storage.store import Store

NAME = re.compile(r"[\w.@+-]{1,64}")
PAGE = "page"
MINUTES = 15
_OF_NAME_HERE = RateLimitItemPerMinute(10, MINUTES)  # failed attempts for a name from one address
_OF_ADDRESS = RateLimitItemPerMinute(50, MINUTES)
_OF_NAME = RateLimitItemPerMinute(100, MINUTES)
WRONG = "The name or the password is wrong."


class SignInFailed(AttestError):
    """Nobody was signed in. The message tells nothing of which users there are."""


class TooManyAttempts(SignInFailed):
    """It is not even tried. seconds: after which it will be."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many attempts failed. Try again in {math.ceil(seconds / 60)} minutes.")
        self.seconds = seconds


class Accounts:
    """Safe to share between threads."""

    def __init__(self, store: Store, passwords: Passwords | None = None) -> None:
        self._store = store
        self._passwords = passwords
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def let_in(self, token: str | None) -> Viewer | None:
        """Who asks, by the token of their cookie; without users the local one. None: they have to sign in."""
        with for_people():
            entry = self._store.sessions.entry(None if token is None else digest_of(token))
        if not entry.demanded:
            return LOCAL
        return None if entry.user_id is None else Viewer(entry.user_id, entry.name, PAGE)

    def demanded(self) -> bool:
        """Whether there are users, so that everybody has to sign in."""
        with for_people():
            return self._store.users.any()

    def sign_in(self, name: str, password: str, address: str) -> str:
        """A new session's token. Raises SignInFailed."""
        name = known_form(name)
        self._check_attempts(name, address)
        with for_people():
            known = self._store.users.password_of(name)
        fits = self._hasher().fits(None if known is None else known[2], password)
        if known is None or not fits:
            self._count(name, address)
            self._note_failure(None if known is None else Viewer(known[0], known[1], PAGE))
            raise SignInFailed(WRONG)
        user_id, name, kept = known
        if kept is not None and self._hasher().is_outdated(kept):
            with for_people():
                self._store.users.rehash(user_id, self._hasher().hashed(password))
        return self.session_of(Viewer(user_id, name, PAGE))

    def session_of(self, viewer: Viewer) -> str:
        """A new session's token for a user who has proved who they are."""
        if viewer.user is None:
            raise SignInFailed(WRONG)
        token = secrets.token_urlsafe(32)
        with for_people():
            self._store.sessions.start(viewer.user, digest_of(token))
            self._store.seen_by(viewer).trail.note("signed in")
        return token

    def vouched_for(self, subject: str, email: str | None) -> str:
        """A session for whom a provider vouches; `email` only if it has verified it. Raises SignInFailed."""
        with for_people():
            user = self._store.users.of_subject(subject, None if email is None else known_form(email))
        if user is None:
            self._note_failure(None)
            raise SignInFailed("Nobody of this address may come in. Ask who administers Attest.")
        return self.session_of(Viewer(user.id, user.name, PAGE))

    def sign_out(self, token: str) -> None:
        """The token opens nothing any more."""
        viewer = self.let_in(token)
        with for_people():
            self._store.sessions.end(digest_of(token))
            if viewer is not None and viewer.user is not None:
                self._store.seen_by(viewer).trail.note("signed out")

    def _hasher(self) -> Passwords:
        if self._passwords is None:  # the decoy's hash is made once, and not where there are no users
            self._passwords = Passwords()
        return self._passwords

    def _note_failure(self, whose: Viewer | None) -> None:
        """The name that was typed is not kept: it may well have been the password."""
        viewer = whose or Viewer(None, "", PAGE)
        with for_people():
            self._store.seen_by(viewer).trail.note("sign-in failed")

    def _check_attempts(self, name: str, address: str) -> None:
        for limit, key in _keys(name, address):
            if not self._limiter.test(limit, *key):
                reset = self._limiter.get_window_stats(limit, *key).reset_time
                raise TooManyAttempts(max(1, math.ceil(reset - time.time())))

    def _count(self, name: str, address: str) -> None:
        for limit, key in _keys(name, address):
            self._limiter.hit(limit, *key)


def known_form(name: str) -> str:
    """A name or address in the one form in which it is kept and looked for."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def checked_name(name: str) -> str:
    """A new user's name in that form. Raises AttestError."""
    form = known_form(name)
    if not NAME.fullmatch(form):
        raise AttestError(f"{name!r} is no name for a user; take letters, digits and . @ + - _ (at most 64)")
    return form


def _keys(name: str, address: str) -> list[tuple[RateLimitItemPerMinute, tuple[str, ...]]]:
    short = hashlib.sha256(
        name.encode(errors="surrogatepass")
    ).hexdigest()  # whatever was typed, in few bytes
    return [
        (_OF_NAME_HERE, ("name and address", short, address)),
        (_OF_ADDRESS, ("address", address)),
        (_OF_NAME, ("name", short)),
    ]
