"""A home with users, and the whole server around it: page, files, API, door and guard."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import ASGIApp

from app.accounts.accounts import Accounts
from app.accounts.passwords import Passwords
from app.answering.conversations import Kept
from app.api.server import api_routes
from app.service import Service
from app.settings import Settings
from app.web.server import build_app
from app.web.signing_in import COOKIE
from storage.grants import Viewer
from tests.app.conftest import add, answer

HERE = "http://127.0.0.1:7861"
COLLECTION, FILE, SECRET = "Zanzibar matter", "quokka-brief.md", "wombats"
TEXT = f"# Quokka\n\nThe {SECRET} of the defendant may be sold with ninety days notice.\n"
PASSWORD = "a pass phrase of {}"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass(frozen=True)
class Office:
    """ann owns the only collection, cid reads it, eve edits it, bob was granted nothing. kept: an answer that
    ann got.
    """

    service: Service
    users: dict[str, Viewer]
    document: str
    job: int
    kept: Kept

    def of(self, name: str) -> Service:
        return self.service.as_user(self.users[name])

    def cookie(self, name: str) -> dict[str, str]:
        """Headers of a browser in which this user signed in."""
        token = self.service.accounts.sign_in(name, PASSWORD.format(name), "127.0.0.1")
        return {"cookie": f"{COOKIE}={token}"}


def furnish(service: Service, folder: Path) -> Office:
    """Fill an empty service."""
    service.accounts = Accounts(service.store, Passwords(CHEAP))
    path = folder / FILE
    path.write_text(TEXT)
    (document,) = add(service, path, collection=COLLECTION)
    users = {}
    for name in ("ann", "bob", "cid", "eve"):
        row, _ = service.store.users.add(name, CHEAP.hash(PASSWORD.format(name)))
        users[name] = Viewer(row.id, row.name, "test")
    service.store.sharing.grant("cid", COLLECTION, "reader")
    service.store.sharing.grant("eve", COLLECTION, "editor")
    ann = service.as_user(users["ann"])
    given = answer(ann, "What may be sold?", collection=COLLECTION)
    kept = ann.conversations.keep(None, "What may be sold?", COLLECTION, given, mode="memory", max_tokens=32)
    return Office(service, users, document, service.store.jobs.list()[0].id, kept)


@pytest.fixture
def office(service: Service, tmp_path: Path) -> Office:
    return furnish(service, tmp_path)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One for a whole file of tests that only read."""
    folder = tmp_path_factory.mktemp("office")
    with Service(Settings(home=folder / "home", model="fake")) as service:
        yield furnish(service, folder)


@pytest.fixture(scope="module")
def whole(standing: Office, tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """All that `attest serve` serves."""
    folder = tmp_path_factory.mktemp("uploads")
    return build_app(standing.service, routes=api_routes(standing.service), upload_folder=folder)


def browser(app: ASGIApp) -> TestClient:
    """A client that has no session yet."""
    return TestClient(
        app,
        base_url=HERE,
        client=("127.0.0.1", 50000),
        raise_server_exceptions=False,
        follow_redirects=False,
    )
