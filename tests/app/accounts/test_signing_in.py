"""Signing in with a password, cookies, throttling, and what the log keeps of it."""

from collections.abc import Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher
from click.testing import CliRunner
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.applications import Starlette

from app import cli
from app.accounts.accounts import Accounts, SignInFailed, TooManyAttempts, checked_name
from app.accounts.passwords import LEAST, Passwords
from app.errors import AttestError
from app.service import Service
from app.web.door import Door
from app.web.security import Guard
from app.web.signing_in import COOKIE, LARGEST_FORM, SIGN_IN, SIGN_OUT, sign_in_routes
from app.web.tabs import Tabs
from tests.app.accounts.conftest import CHEAP, HERE, PASSWORD, Office, browser
from tests.app.conftest import attest

SAME = {"origin": HERE}


@pytest.fixture
def client(office: Office) -> Iterator[TestClient]:
    """Signing in behind guard and door, without the page, which takes seconds to build."""
    app = Starlette(routes=sign_in_routes(office.service.accounts, None))
    guarded = Guard(Door(app, office.service.accounts, Tabs()))
    with browser(guarded) as opened:
        yield opened


def form(name: str, password: str | None = None) -> dict[str, str]:
    return {"name": name, "password": PASSWORD.format(name) if password is None else password}


def events(service: Service) -> list[tuple[str, str]]:
    return [(row.event, row.name) for row in service.store.trail.rows()]


def test_the_cookie_is_the_browsers_alone(client: TestClient, office: Office) -> None:
    page = client.get(SIGN_IN)
    assert page.status_code == 200
    assert "<script" not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "same-origin"
    reply = client.post(SIGN_IN, data=form(" ANN ", PASSWORD.format("ann")), headers=SAME)
    assert (reply.status_code, reply.headers["location"]) == (303, "/")
    (cookie,) = reply.headers.get_list("set-cookie")
    assert cookie.startswith(f"{COOKIE}=")
    for part in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert part in cookie
    assert "Secure" not in cookie  # over http it would never come back
    assert client.get(SIGN_IN).headers["location"] == "/"
    token = client.cookies[COOKIE]
    assert token not in str(office.service.store.sessions._database.path.read_bytes())
    assert events(office.service)[-1] == ("signed in", "ann")
    out = client.post(SIGN_OUT, headers=SAME)
    assert (out.status_code, out.headers["location"]) == (303, SIGN_IN)
    assert '"cache"' in out.headers["clear-site-data"]
    assert office.service.accounts.let_in(token) is None
    assert events(office.service)[-1] == ("signed out", "ann")


def test_over_https_the_cookie_is_secure(office: Office) -> None:
    app = Starlette(routes=sign_in_routes(office.service.accounts, None))
    with TestClient(app, base_url="https://attest.example", follow_redirects=False) as client:
        reply = client.post(SIGN_IN, data=form("ann"), headers={"origin": "https://attest.example"})
    assert "Secure" in reply.headers["set-cookie"]


def test_no_reply_tells_who_there_is(client: TestClient, office: Office) -> None:
    office.service.store.users.add("oidc-only", None, "oidc@example.org")
    replies = [
        client.post(SIGN_IN, data=form(name, "wrong password here"), headers=SAME)
        for name in ("ann", "nobody", "oidc-only", "", "x" * 5000, "<script>alert(1)</script>")
    ]
    assert {reply.status_code for reply in replies} == {401}
    assert len({reply.text.replace(_nonce(reply), "") for reply in replies}) == 1
    assert events(office.service)[-6:] == [
        ("sign-in failed", name) for name in ("ann", "", "oidc-only", "", "", "")
    ]


def _nonce(reply: Any) -> str:
    return str(reply.headers["content-security-policy"].split("'nonce-")[1].split("'")[0])


def test_a_user_that_does_not_exist_costs_the_same_work(office: Office, monkeypatch: Any) -> None:
    verified: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:
            verified.append(str(hash).split("$")[3])
            return super().verify(hash, password)

    hasher = Counting(time_cost=1, memory_cost=8, parallelism=1)
    accounts = Accounts(office.service.store, Passwords(hasher))
    office.service.store.users.add("oidc-only", None, "oidc@example.org")
    for name in ("ann", "nobody", "oidc-only"):
        with pytest.raises(SignInFailed):
            accounts.sign_in(name, "wrong", "127.0.0.1")
    assert verified == ["m=8,t=1,p=1"] * 3


def test_forms_of_other_sites_are_not_taken(client: TestClient, office: Office) -> None:
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert client.post(SIGN_IN, data=form("ann"), headers=headers).status_code == 403
    assert client.post(SIGN_IN, data=form("ann")).status_code == 401  # a browser says where it comes from
    assert client.post(SIGN_IN, content=b"name=ann", headers=SAME).status_code == 401
    assert client.post(SIGN_IN, content=b"\xff" * 20, headers=SAME).status_code == 401
    large = f"name=ann&password={'x' * LARGEST_FORM}"
    assert client.post(SIGN_IN, content=large, headers=SAME).status_code == 401
    assert (
        client.post(SIGN_IN, data=form("ann"), headers={"sec-fetch-site": "same-origin"}).status_code == 303
    )
    assert client.post(SIGN_OUT).status_code == 401
    assert client.get(SIGN_IN).status_code == 303  # still signed in


def test_failed_attempts_are_throttled(client: TestClient, office: Office) -> None:
    for _ in range(10):
        assert client.post(SIGN_IN, data=form("ann", "wrong"), headers=SAME).status_code == 401
    refused = client.post(SIGN_IN, data=form("ann"), headers=SAME)  # though the password is right
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 15 * 60
    assert client.post(SIGN_IN, data=form("cid"), headers=SAME).status_code == 303
    assert office.service.accounts.sign_in("ann", PASSWORD.format("ann"), "192.168.1.9")  # from elsewhere
    for number in range(50):
        with pytest.raises(SignInFailed, match="wrong"):
            office.service.accounts.sign_in(f"guess {number}", "wrong", "192.168.1.7")
    with pytest.raises(TooManyAttempts):
        office.service.accounts.sign_in("guess 51", "wrong", "192.168.1.7")


def test_passwords() -> None:
    passwords = Passwords(CHEAP)
    kept = passwords.hashed("correct horse battery")
    assert kept.startswith("$argon2id$")
    assert passwords.fits(kept, "correct horse battery")
    assert not passwords.fits(kept, "correct horse batteri")
    assert not passwords.fits(None, "nobody's password")
    assert not passwords.fits("no hash", "x")
    assert passwords.fits(passwords.hashed("zwölf Boxkämpfer"), "zwo\u0308lf Boxka\u0308mpfer")
    assert passwords.is_outdated(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1).hash("x"))
    for bad in ("x" * (LEAST - 1), "x" * 1001):
        with pytest.raises(AttestError):
            passwords.hashed(bad)


def test_an_outdated_hash_is_made_anew(office: Office) -> None:
    accounts = Accounts(office.service.store, Passwords(PasswordHasher(2, 16, 1)))
    accounts.sign_in("ann", PASSWORD.format("ann"), "")
    known = office.service.store.users.password_of("ann")
    assert known is not None
    assert "m=16,t=2" in str(known[2])
    assert accounts.sign_in("ann", PASSWORD.format("ann"), "")


def test_names() -> None:
    assert checked_name(" Ann.Lee@Example ") == "ann.lee@example"
    for bad in ("", "a b", "<b>", "a" * 65, "a\n"):
        if bad.strip() != "a":
            with pytest.raises(AttestError):
                checked_name(bad)


def test_what_users_do_is_logged_and_never_a_word(whole: FastAPI, standing: Office) -> None:
    with browser(whole) as client:
        ann = standing.cookie("ann")
        document = f"/v1/documents/{standing.document}"
        client.get(f"{document}/original", headers=ann)
        client.get(f"/page/answers/{standing.kept.id}/report", headers=ann)
        standing.of("ann").page_view(standing.document, 1)
    rows = list(standing.service.store.trail.rows())
    assert {"user added", "granted", "asked", "signed in", "exported", "page read"} <= {
        row.event for row in rows
    }
    read = next(row for row in rows if row.event == "page read")
    assert (read.name, read.details["document"], read.details["page"]) == ("ann", standing.document, 1)
    told = " ".join(str(row) for row in rows)
    for word in ("Zanzibar", "quokka", "wombats", "sold", PASSWORD.format("ann")):
        assert word not in told


@pytest.mark.usefixtures("fake_model")
def test_users_on_the_command_line(service: Service) -> None:
    assert "there are no users" in attest("users", "list").stdout
    attest("collections", "add", "law")
    attest("keys", "add", "old")
    made = CliRunner().invoke(cli.main, ["users", "add", "Ann", "--password-stdin"], input="too short\n")
    assert made.exit_code == 1
    assert "at least 12 characters" in made.stderr
    made = CliRunner().invoke(
        cli.main, ["users", "add", "Ann", "--password-stdin"], input="correct horse battery\n"
    )
    assert "everybody has to sign in from now on; ann owns the 1 collections" in made.stdout
    assert "1 API keys made before still open everything" in made.stdout
    assert service.accounts.let_in(None) is None  # at once, in a process that runs
    token = service.accounts.sign_in("ann", "correct horse battery", "")
    assert attest("users", "add", "bob", "--oidc", "no address").status == 1
    assert (
        attest("users", "add", "bob", "--oidc", "Bob@Example.org", "--json").json["email"]
        == "bob@example.org"
    )
    assert attest("users", "grant", "bob", "law", "--role", "editor", "--json").json["grants"] == {
        "law": "editor"
    }
    assert attest("users", "revoke", "bob", "law", "--json").json["grants"] == {}
    assert attest("users", "sign-out", "ann", "--json").json["sessions"] == 1
    assert service.accounts.let_in(token) is None
    again = CliRunner().invoke(
        cli.main, ["users", "password", "ann", "--password-stdin"], input="battery staple horse\n"
    )
    assert again.exit_code == 0
    with pytest.raises(SignInFailed):
        service.accounts.sign_in("ann", "correct horse battery", "")
    assert attest("keys", "add", "hers", "--user", "ann", "--json").json["user"] == "ann"
    assert "no user 'eve'" in attest("keys", "add", "his", "--user", "eve").stderr
    assert attest("users", "remove", "--yes", "bob").status == 0
    assert "last user" in attest("users", "remove", "--yes", "ann").stderr
    assert attest("users", "forget", "--yes", "--json").json == {"removed": 1}
    assert service.accounts.let_in(None) is not None


@pytest.mark.usefixtures("fake_model")
def test_the_log_on_the_command_line(service: Service, tmp_path: Any) -> None:
    service.store.users.add("ann", None)
    service.store.trail.note("asked", collection=1)
    file = tmp_path / "log.jsonl"
    assert attest("audit", "export", "--out", file).status == 0
    assert len(file.read_text().splitlines()) == len(attest("audit", "export").stdout.splitlines()) - 1
    done = attest("audit", "verify", file)
    assert (done.status, done.stdout.count("whole")) == (0, 3)
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], lines[1].replace("asked", "ASKED"), *lines[2:]]) + "\n")
    done = attest("audit", "verify", file)
    assert (done.status, "row 2: it was changed" in done.stdout) == (1, True)
    file.write_text("\n".join(lines) + "\nno row\n")
    assert attest("audit", "verify", file).status == 1
    with service.store._database.write() as connection:  # somebody begins the log anew
        for trigger in ("update", "delete"):
            connection.exec_driver_sql(f"DROP TRIGGER audit_log_no_{trigger}")
        connection.exec_driver_sql("DELETE FROM audit_log")
    service.store.trail.note("asked", collection=1)
    file.write_text("\n".join(lines) + "\n")
    done = attest("audit", "verify", file)
    assert (done.status, done.stdout) == (1, "the log: row 1: the log has another row there\n")
