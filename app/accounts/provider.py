"""Signing in at a provider (OpenID Connect): authorization code flow with PKCE, state and nonce.

Off until the settings name an issuer, and then the only thing for which Attest calls anybody: the issuer's
own addresses. A sign-in that was begun is remembered here under a ticket that only the browser's cookie
holds, serves once, and lapses.
"""

import hmac
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from app.accounts.accounts import SignInFailed
from app.accounts.registration import Registration

log = logging.getLogger(__name__)

LAPSE_SECONDS = 600.0
MOST_BEGUN = 1000
LEEWAY_SECONDS = 60  # by which two clocks may differ
# Signatures that only the provider can make: with a shared secret we could sign for it ourselves.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


@dataclass(frozen=True)
class Vouched:
    """Whom the provider names. subject: with the provider's own name. email: if it has verified it."""

    subject: str
    email: str | None


@dataclass(frozen=True)
class _Begun:
    state: str
    nonce: str
    verifier: str
    at: float


class Provider:
    """Safe to share between threads."""

    def __init__(self, registration: Registration, clock: Callable[[], float] = time.time) -> None:
        self._registration = registration
        self._clock = clock
        self._begun: OrderedDict[str, _Begun] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """For people."""
        return urlsplit(self._registration.issuer).hostname or self._registration.issuer

    def begin(self) -> tuple[str, str]:
        """Where the browser is to go, and the ticket that it keeps. Raises SignInFailed."""
        state, nonce, verifier = (secrets.token_urlsafe(48) for _ in range(3))
        begun = _Begun(state, nonce, verifier, self._clock())
        with self._calling() as client:
            endpoint = self._described(client)["authorization_endpoint"]
            url, _ = client.create_authorization_url(
                endpoint, state=begun.state, nonce=begun.nonce, code_verifier=begun.verifier
            )
        ticket = secrets.token_urlsafe(32)
        with self._lock:
            self._begun[ticket] = begun
            while len(self._begun) > MOST_BEGUN:
                self._begun.popitem(last=False)
        return str(url), ticket

    def finish(self, ticket: str | None, returned: Mapping[str, str]) -> Vouched:
        """returned: what the provider sent along with the browser. Raises SignInFailed."""
        with self._lock:
            begun = self._begun.pop(ticket or "", None)
        if begun is None or self._clock() - begun.at > LAPSE_SECONDS:
            raise SignInFailed("This sign-in has lapsed. Begin again.")
        if not hmac.compare_digest(returned.get("state", "").encode(), begun.state.encode()):
            raise SignInFailed("This sign-in was not begun here. Begin again.")
        if returned.get("iss", self._registration.issuer) != self._registration.issuer:
            raise SignInFailed("Another provider answered than was asked. Begin again.")
        if "code" not in returned:
            raise SignInFailed(f"{self.name} let nobody in.")
        with self._calling() as client:
            described = self._described(client)
            token = client.fetch_token(
                described["token_endpoint"],
                code=returned["code"],
                code_verifier=begun.verifier,
                grant_type="authorization_code",
            )
            keys = client.request("GET", described["jwks_uri"], withhold_token=True).raise_for_status().json()
            claims = self._claims(token, described, keys, begun.nonce)
        verified = claims.get("email") if claims.get("email_verified") is True else None
        return Vouched(f"{claims['iss']} {claims['sub']}", verified)

    def _claims(
        self, token: Mapping[str, Any], described: Mapping[str, Any], keys: Any, nonce: str
    ) -> CodeIDToken:
        offered = described.get("id_token_signing_alg_values_supported", ["RS256"])
        registry = JWSRegistry(
            algorithms=[each for each in ALGORITHMS if each in offered], strict_check_header=False
        )
        decoded = jwt.decode(token["id_token"], KeySet.import_key_set(keys), registry=registry)
        options = {
            "iss": {"essential": True, "value": self._registration.issuer},
            "aud": {"essential": True, "value": self._registration.client_id},
            "nonce": {"essential": True, "value": nonce},
        }
        asked = {
            "nonce": nonce,
            "client_id": self._registration.client_id,
            "access_token": token.get("access_token"),
        }
        claims = CodeIDToken(decoded.claims, decoded.header, options, asked)
        claims.validate(leeway=LEEWAY_SECONDS)
        return claims

    def _described(self, client: OAuth2Client) -> Mapping[str, Any]:
        """The provider's own description, which has to be of the issuer that it was asked for."""
        where = self._registration.issuer.rstrip("/") + "/.well-known/openid-configuration"
        described = client.request("GET", where, withhold_token=True).raise_for_status().json()
        if described["issuer"] != self._registration.issuer:
            raise ValueError("the provider describes another issuer")
        return described  # type: ignore[no-any-return]

    def _calling(self) -> "_Calling":
        return _Calling(self._registration, self.name)


class _Calling:
    """One conversation with the provider, whose failures become SignInFailed."""

    def __init__(self, registration: Registration, name: str) -> None:
        self._name = name
        self._client = OAuth2Client(
            registration.client_id,
            registration.secret,
            scope="openid email",
            redirect_uri=registration.redirect,
            code_challenge_method="S256",
            timeout=10.0,
        )

    def __enter__(self) -> OAuth2Client:
        return self._client

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._client.close()
        if isinstance(
            error, httpx2.HTTPError | AuthlibBaseError | JoseError | ValueError | KeyError | TypeError
        ):
            log.warning("signing in at %s failed: %s", self._name, type(error).__name__)
            raise SignInFailed(f"Signing in at {self._name} failed. Try again.") from error
