"""Who may call /v1: nobody's browser, programs of this machine, and keys for what they are for."""

import random
import re
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from starlette.types import ASGIApp

from app import cli
from app.api.access import PREFIX, scope_of
from app.api.server import build_api
from app.keys import digest_of, make_key
from app.service import Service
from storage.keys import SCOPES
from tests.app.api.conftest import HERE, QUESTION
from tests.app.api.test_library import error
from tests.app.conftest import attest


def operations(service: Service) -> list[tuple[str, str]]:
    """Every method and path under /v1, with values in place of parameters."""
    values = {"document_id": "abc", "page": "1", "job_id": "1", "name": "default", "user": "ann"}
    found = []
    for path, methods in build_api(service).openapi()["paths"].items():
        filled = re.sub(r"\{(\w+)\}", lambda part: values[part.group(1)], path)
        found += [(method.upper(), filled) for method in methods]
    return found


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def test_every_route_takes_a_key_of_its_scope_once_there_is_one(client: TestClient, ready: Service) -> None:
    routes = operations(ready)
    assert len(routes) >= 13
    for method, path in routes:
        assert client.request(method, PREFIX + path).status_code not in (401, 403), path
    secrets = {scope: make_key(ready.store, scope, [scope], 10_000)[1] for scope in SCOPES}
    used = set()
    for method, path in routes:
        refused = client.request(method, PREFIX + path)
        assert error(refused) == (401, "key_required"), path
        assert refused.headers["www-authenticate"] == "Bearer"
        for scope, secret in secrets.items():
            status = client.request(method, PREFIX + path, headers=bearer(secret)).status_code
            if scope == scope_of(method, path):
                used.add(scope)
                assert status not in (401, 403), path
            else:
                assert status == 403, path
    assert used == set(SCOPES)


def test_scopes() -> None:
    asking = [("POST", "/answers"), ("POST", "/chat/completions"), ("GET", "/models"), ("GET", "/models/a/b")]
    reading = [("GET", "/collections"), ("GET", "/documents/a/pages/1.png"), ("HEAD", "/modelsx")]
    writing = [("POST", "/documents"), ("DELETE", "/answers"), ("POST", "/answers/"), ("ANY", "/thing")]
    assert {scope_of(*each) for each in asking} == {"ask"}
    assert {scope_of(*each) for each in reading} == {"read"}
    assert {scope_of(*each) for each in writing} == {"write"}


def test_without_a_key_a_thousand_requests_get_nothing(
    client: TestClient, ready: Service, filled: list[str]
) -> None:
    _, secret = make_key(ready.store, "real", SCOPES)
    _, revoked = make_key(ready.store, "revoked", SCOPES)
    ready.store.keys.revoke("revoked")
    forged = [
        *(
            revoked,
            secret[:-1],
            secret + "x",
            secret.swapcase(),
            digest_of(secret),
            "real",
            "null",
            "' OR 1=1",
        ),
        *("attest-", "*", "%", "\x00", "Bearer", secret[::-1], "a" * 5000),
    ]
    headers: list[dict[str, str]] = [
        {},
        *({"authorization": f"Bearer {each}"} for each in forged),
        *({"authorization": f"{kind} {secret}"} for kind in ("Basic", "Token", "", "Bearer:")),
        {"authorization": secret},
        {"x-api-key": secret},
        {"cookie": f"key={secret}"},
        {"x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1"},
    ]
    paths = [path.replace("abc", filled[1]) for _, path in operations(ready)]
    paths += [
        "",
        "/",
        "/nothing",
        "/openapi.json",
        "/docs",
        "//collections",
        "/collections/",
        "/../v1/models",
    ]
    chance = random.Random(7)
    seen = set()
    for _ in range(1000):
        method = chance.choice(["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE"])
        path = chance.choice(paths)
        if chance.random() < 0.3:
            place = chance.randrange(len(path) + 1)
            path = path[:place] + chance.choice(["%00", "%2e%2e/", "?key=1", "é", "%ff", ";"]) + path[place:]
        content = chance.choice([None, b"{}", b'{"question": "%s"}' % QUESTION.encode(), b"\x00" * 100])
        reply = client.request(method, PREFIX + path, content=content, headers=chance.choice(headers))
        seen.add(reply.status_code)
        assert reply.status_code in (401, 404), (method, path)
        assert b"turbine" not in reply.content
    assert 401 in seen
    assert ready.store.documents.count() == len(filled)
    assert client.get("/v1/models", headers=bearer(secret)).status_code == 200


def test_a_key_may_make_so_many_requests_a_minute(client: TestClient, ready: Service) -> None:
    _, few = make_key(ready.store, "few", ["read"], 3)
    _, many = make_key(ready.store, "many", ["read"])
    for _ in range(3):
        assert client.get("/v1/collections", headers=bearer(few)).status_code == 200
    refused = client.get("/v1/collections", headers=bearer(few))
    assert error(refused) == (429, "too_many_requests")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert client.get("/v1/collections", headers=bearer(many)).status_code == 200


def test_a_revoked_key_opens_nothing_at_once(client: TestClient, ready: Service) -> None:
    _, secret = make_key(ready.store, "scripts", SCOPES)
    assert client.get("/v1/collections", headers=bearer(secret)).status_code == 200
    ready.store.keys.revoke("scripts")
    assert client.get("/v1/collections", headers=bearer(secret)).status_code == 401
    assert client.get("/v1/collections").status_code == 401
    ready.store.keys.forget()
    assert client.get("/v1/collections").status_code == 200


@pytest.fixture
def stranger(guarded: ASGIApp) -> Iterator[TestClient]:
    """Somebody on another machine, who gets as far as /v1."""
    with TestClient(guarded, base_url=HERE, client=("192.168.1.5", 50000)) as opened:
        yield opened


def test_from_another_machine_a_key_is_needed_in_any_case(stranger: TestClient, ready: Service) -> None:
    assert error(stranger.get("/v1/collections")) == (401, "key_required")
    _, secret = make_key(ready.store, "scripts", SCOPES)
    assert stranger.get("/v1/collections", headers=bearer(secret)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/collections", "/v1/documents/x/pages/1.png", "/v1/answers"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_browsers_of_other_origins_are_refused(client: TestClient, method: str, path: str) -> None:
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        reply = client.request(method, path, headers=headers)
        assert error(reply) == (403, "refused")
        assert "access-control-allow-origin" not in reply.headers
    for host in ("evil.example", "127.0.0.1.evil.example", ""):
        assert error(client.request(method, path, headers={"host": host})) == (400, "refused")


def test_the_pages_own_origin_may_call(client: TestClient) -> None:
    same = {"origin": HERE, "sec-fetch-site": "same-origin"}
    assert client.post("/v1/collections", json={"name": "a"}, headers=same).status_code == 201


@pytest.mark.usefixtures("fake_model")
def test_keys_on_the_command_line(client: TestClient) -> None:
    assert attest("keys", "list").stdout == "no key was made; none is demanded\n"
    made = attest("keys", "add", "scripts", "--scope", "read", "--per-minute", "5", "--json").json
    assert (made["name"], made["scopes"], made["per_minute"]) == ("scripts", ["read"], 5)
    assert client.get("/v1/collections", headers=bearer(made["secret"])).status_code == 200
    listed = attest("keys", "list", "--json")
    assert made["secret"] not in listed.stdout
    assert [key["name"] for key in listed.json["keys"]] == ["scripts"]
    again = attest("keys", "add", "scripts")
    assert (again.status, again.stdout) == (1, "")
    assert "there is or was a key 'scripts'" in again.stderr
    assert attest("keys", "revoke", "scripts").status == 0
    assert "REVOKED" in attest("keys", "list").stdout
    assert client.get("/v1/collections", headers=bearer(made["secret"])).status_code == 401
    assert CliRunner().invoke(cli.main, ["keys", "forget"], input="n\n").exit_code == 1
    assert client.get("/v1/collections").status_code == 401
    assert attest("keys", "forget", "--yes", "--json").json == {"removed": 1}
    assert client.get("/v1/collections").status_code == 200
