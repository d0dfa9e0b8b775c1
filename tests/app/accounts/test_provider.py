"""Signing in at a provider, against a small one of our own on a loopback port."""

import base64
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from app.accounts.accounts import SignInFailed
from app.accounts.provider import LAPSE_SECONDS, Provider
from app.accounts.registration import DONE, Registration, registration
from app.errors import AttestError
from app.settings import Settings, load
from app.web.door import Door
from app.web.security import Guard
from app.web.signing_in import COOKIE, PROVIDER, SIGN_IN, TICKET, sign_in_routes
from app.web.tabs import Tabs
from tests.app.accounts.conftest import HERE, Office, browser
from tests.app.api.conftest import served

SECRET = "a client secret that is long enough to sign with"
KEY = RSAKey.generate_key(2048, {"kid": "one"})


@dataclass
class SmallProvider:
    """Lets everybody in as `claims` say, and checks what a provider checks: client, redirect, PKCE."""

    claims: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    key: Any = field(default_factory=lambda: KEY)
    issuer: str = ""
    described_as: str | None = None
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.describe),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
                Route("/keys", self.keys),
            ]
        )

    def describe(self, _: Request) -> Response:
        self.calls.append("description")
        found = {
            "issuer": self.described_as or self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
        }
        return JSONResponse(found)

    def authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert (asked["response_type"], asked["client_id"]) == ("code", "attest")
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        self.codes["a code"] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?code=a+code&state={asked['state']}")

    async def token(self, request: Request) -> Response:
        self.calls.append("token")
        form = await request.form()
        asked = self.codes.pop(str(form["code"]))
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        assert asked["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        assert form["redirect_uri"] == asked["redirect_uri"]
        given = base64.b64decode(request.headers["authorization"].split()[1]).decode()
        assert given.startswith("attest:")
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": "u-1",
            "aud": "attest",
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            "email": "Dora@Example.org",
            "email_verified": True,
            **self.claims,
        }
        left = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.algorithm, "kid": "one"}
        token = jwt.encode(header, left, self.key, algorithms=[self.algorithm])
        return JSONResponse({"access_token": "x", "token_type": "Bearer", "id_token": token})

    def keys(self, _: Request) -> Response:
        self.calls.append("keys")
        return JSONResponse({"keys": [KEY.as_dict(private=False)]})


@pytest.fixture(scope="module")
def small() -> Iterator[SmallProvider]:
    provider = SmallProvider()
    with served(provider.app()) as address:
        provider.issuer = address
        yield provider


@pytest.fixture
def provider(small: SmallProvider) -> Provider:
    small.claims, small.algorithm, small.key, small.described_as = {}, "RS256", KEY, None
    small.calls.clear()
    return Provider(Registration(small.issuer, "attest", SECRET, HERE))


def walk(provider: Provider) -> tuple[str, dict[str, str]]:
    """Through the provider's own page: our ticket, and what the browser brings back."""
    url, ticket = provider.begin()
    back = httpx.get(url)
    assert back.status_code == 307
    returned = {name: each[0] for name, each in parse_qs(urlsplit(back.headers["location"]).query).items()}
    return ticket, returned


def test_a_user_is_found_by_address_once_and_then_by_the_providers_name(
    provider: Provider, small: SmallProvider, office: Office
) -> None:
    office.service.store.users.add("dora", None, "dora@example.org")
    app = Starlette(routes=sign_in_routes(office.service.accounts, provider))
    with browser(Guard(Door(app, office.service.accounts, Tabs()))) as client:
        assert f'href="{PROVIDER}"' in client.get(SIGN_IN).text
        for claims in ({}, {"email": "moved@example.org"}):
            small.claims = claims
            away = client.get(PROVIDER)
            assert away.status_code == 303
            (ticket,) = away.headers.get_list("set-cookie")
            assert "HttpOnly" in ticket
            assert "SameSite=lax" in ticket  # or it would not come back from the provider
            back = httpx.get(away.headers["location"])
            done = client.get(back.headers["location"].removeprefix(HERE))
            assert (done.status_code, 'url=/"' in done.text) == (200, True)
            assert "SameSite=strict" in done.headers.get_list("set-cookie")[0]
            viewer = office.service.accounts.let_in(client.cookies[COOKIE])
            assert viewer is not None
            assert viewer.name == "dora"
            assert TICKET not in client.cookies
            client.cookies.clear()
        small.claims = {"sub": "u-2"}  # another person, to whom the address was given since
        away = client.get(PROVIDER)
        back = httpx.get(away.headers["location"])
        done = client.get(back.headers["location"].removeprefix(HERE))
        assert (done.status_code, COOKIE in client.cookies) == (401, False)
    assert [row.event for row in office.service.store.trail.rows()][-1] == "sign-in failed"


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another client"},
        {"aud": ["attest", "other"], "azp": "other"},
        {"iss": "https://evil.example"},
        {"exp": 1_700_000_000},
        {"iat": None},
        {"sub": None},
        {"nbf": 4_000_000_000},
    ],
)
def test_a_token_that_is_not_for_this_sign_in_is_refused(
    provider: Provider, small: SmallProvider, claims: dict[str, Any]
) -> None:
    ticket, returned = walk(provider)
    small.claims = claims
    with pytest.raises(SignInFailed):
        provider.finish(ticket, returned)
    assert "token" in small.calls


@pytest.mark.parametrize("email_verified", [False, None, "true"])
def test_an_address_that_is_not_verified_finds_nobody(
    provider: Provider, small: SmallProvider, email_verified: Any
) -> None:
    ticket, returned = walk(provider)
    small.claims = {"email_verified": email_verified}
    assert provider.finish(ticket, returned).email is None


def test_who_signed_the_token_is_checked(provider: Provider, small: SmallProvider) -> None:
    for algorithm, key in (
        ("RS256", RSAKey.generate_key(2048)),  # of somebody else
        ("HS256", OctKey.import_key(SECRET)),  # which we could make as well
    ):
        ticket, returned = walk(provider)
        small.algorithm, small.key = algorithm, key
        with pytest.raises(SignInFailed):
            provider.finish(ticket, returned)


def test_state_ticket_and_issuer_have_to_be_of_this_sign_in(provider: Provider, small: SmallProvider) -> None:
    ticket, returned = walk(provider)
    for state in ("", "another"):
        ticket, returned = walk(provider)
        with pytest.raises(SignInFailed, match="not begun here"):
            provider.finish(ticket, {**returned, "state": state})
    ticket, returned = walk(provider)
    for stranger in (None, "", "another"):
        with pytest.raises(SignInFailed, match="lapsed"):
            provider.finish(stranger, returned)
    with pytest.raises(SignInFailed, match="Another provider"):
        provider.finish(ticket, {**returned, "iss": "https://evil.example"})
    ticket, returned = walk(provider)
    assert provider.finish(ticket, returned).email == "Dora@Example.org"
    with pytest.raises(SignInFailed, match="lapsed"):  # it serves once
        provider.finish(ticket, returned)
    ticket, returned = walk(provider)
    with pytest.raises(SignInFailed, match="let nobody in"):
        provider.finish(ticket, {"state": returned["state"], "error": "access_denied"})
    small.described_as = "https://evil.example"
    with pytest.raises(SignInFailed):
        provider.begin()


def test_a_sign_in_lapses(small: SmallProvider, provider: Provider) -> None:
    now = [1000.0]
    slow = Provider(Registration(small.issuer, "attest", SECRET, HERE), lambda: now[0])
    ticket, returned = walk(slow)
    now[0] += LAPSE_SECONDS + 1
    with pytest.raises(SignInFailed, match="lapsed"):
        slow.finish(ticket, returned)


def test_a_provider_that_is_away_is_told(office: Office) -> None:
    away = Provider(Registration("http://127.0.0.1:9", "attest", SECRET, HERE))
    app = Starlette(routes=sign_in_routes(office.service.accounts, away))
    with TestClient(app, base_url=HERE, follow_redirects=False) as client:
        reply = client.get(PROVIDER)
        assert (reply.status_code, "failed. Try again." in reply.text) == (503, True)
        assert client.get(DONE).status_code == 401


def test_without_a_provider_there_is_none(office: Office) -> None:
    assert office.service.provider is None
    app = Starlette(routes=sign_in_routes(office.service.accounts, None))
    with TestClient(app, base_url=HERE, follow_redirects=False) as client:
        assert [client.get(path).status_code for path in (PROVIDER, DONE)] == [404, 404]
        assert "elsewhere" not in client.get(SIGN_IN).text


def test_settings(home: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert registration(load()) is None
    whole = {
        "OIDC_ISSUER": "https://id.example",
        "OIDC_CLIENT_ID": "attest",
        "OIDC_CLIENT_SECRET": "s3cret",
        "OIDC_ADDRESS": "https://attest.example/",
    }
    for name, value in whole.items():
        monkeypatch.setenv(f"ATTEST_{name}", value)
    found = registration(load())
    assert found is not None
    assert found.redirect == "https://attest.example/sign-in/provider/done"
    assert "s3cret" not in repr(load()) + repr(found)
    (tmp_path / "secret").write_text("from a file\n")
    monkeypatch.setenv("ATTEST_OIDC_CLIENT_SECRET_FILE", str(tmp_path / "secret"))
    filed = registration(load())
    assert filed is not None
    assert filed.secret == "from a file"
    for wrong in (
        {"oidc_client_id": ""},
        {"oidc_client_secret": "", "oidc_client_secret_file": ""},
        {"oidc_client_secret_file": str(tmp_path / "nothing")},
        {"oidc_address": ""},
        {"oidc_address": "http://attest.example"},
        {"oidc_issuer": "http://id.example"},
    ):
        with pytest.raises(AttestError):
            registration(Settings(**{**vars(load()), **wrong}))
