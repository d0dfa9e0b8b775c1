"""Letting others into a collection over the API, and on the page as data."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.accounts.acting import acting_for, for_whoever_asks
from app.api.server import api_routes
from app.errors import AttestError, NotFound
from app.keys import make_key
from app.web.ordering import Listing, Ordering, Outcome
from app.web.server import build_app
from tests.app.accounts.conftest import COLLECTION, Office, browser

GRANTS = f"/v1/collections/{COLLECTION}/grants"
ALL = [{"user": "ann", "role": "owner"}, {"user": "cid", "role": "reader"}, {"user": "eve", "role": "editor"}]


@pytest.fixture
def client(office: Office, tmp_path: Path) -> Iterator[TestClient]:
    app: FastAPI = build_app(office.service, routes=api_routes(office.service), upload_folder=tmp_path)
    with browser(app) as opened:
        yield opened


def test_an_owner_shares_over_the_api(client: TestClient, office: Office) -> None:
    ann, bob = office.cookie("ann"), office.cookie("bob")
    assert client.get(GRANTS, headers=ann).json() == {"grants": ALL}
    given = client.put(f"{GRANTS}/BOB", headers=ann, json={"role": "reader"})
    assert (given.status_code, given.json()) == (200, {"user": "bob", "role": "reader"})
    assert client.get(f"/v1/documents/{office.document}", headers=bob).status_code == 200
    taken = client.delete(f"{GRANTS}/bob", headers=ann)
    assert (taken.status_code, taken.json()) == (200, {"user": "bob", "role": "reader"})
    assert client.get(f"/v1/documents/{office.document}", headers=bob).status_code == 404
    for reply, status, words in (
        (client.delete(f"{GRANTS}/bob", headers=ann), 404, "no role in collection"),
        (client.put(f"{GRANTS}/bobb", headers=ann, json={"role": "reader"}), 404, "there is no user 'bobb'"),
        (client.put(f"{GRANTS}/bob", headers=ann, json={"role": "king"}), 422, "role"),
        (client.put(f"{GRANTS}/bob", headers=ann, content=b"reader"), 415, "application/json"),
        (client.delete(f"{GRANTS}/ann", headers=ann), 403, "only owner"),
        (client.put(f"{GRANTS}/ann", headers=ann, json={"role": "reader"}), 403, "only owner"),
    ):
        assert reply.status_code == status
        assert words in reply.json()["error"]["message"]
    assert client.get(GRANTS, headers=ann).json() == {"grants": ALL}


@pytest.mark.parametrize(("name", "status"), [("cid", 403), ("eve", 403), ("bob", 404)])
def test_nobody_else_does_and_names_tell_nothing(
    client: TestClient, office: Office, name: str, status: int
) -> None:
    headers = office.cookie(name)
    listed = client.get(GRANTS, headers=headers)
    assert listed.status_code == status
    assert "ann" not in listed.text
    said = set()
    for user in ("ann", "bob", "nobody"):
        for reply in (
            client.put(f"{GRANTS}/{user}", headers=headers, json={"role": "owner"}),
            client.delete(f"{GRANTS}/{user}", headers=headers),
        ):
            assert reply.status_code == status
            said.add(reply.text)
    assert len(said) == 1
    assert office.service.store.users.get(name).grants.get(COLLECTION) != "owner"


def test_keys_and_the_administrator(client: TestClient, office: Office) -> None:
    ways = {}
    for user, scopes in (("ann", ["read"]), ("ann", ["write"]), (None, ["read", "write"])):
        _, secret = make_key(office.service.store, f"{user} {scopes}", scopes, user=user)
        ways[user, len(scopes), scopes[0]] = {"authorization": f"Bearer {secret}"}
    assert client.get(GRANTS, headers=ways["ann", 1, "read"]).json() == {"grants": ALL}
    assert client.delete(f"{GRANTS}/cid", headers=ways["ann", 1, "read"]).status_code == 403
    assert client.delete(f"{GRANTS}/cid", headers=ways["ann", 1, "write"]).status_code == 200
    administrator = ways[None, 2, "read"]
    assert client.get(GRANTS, headers=administrator).json() == {"grants": [ALL[0], ALL[2]]}
    assert client.delete(f"{GRANTS}/ann", headers=administrator).status_code == 200  # as on the command line


def act(office: Office, name: str, **data: str) -> Outcome:
    """A click on the page in the tab of this user."""
    with acting_for(office.users[name]):
        return Ordering(for_whoever_asks(office.service)).act(data, COLLECTION, Listing())


def test_only_an_owner_is_shown_who_may_use_it(office: Office) -> None:
    sheet = act(office, "ann", act="edit-collection").dialog or ""
    assert "You and 2 others" in sheet
    for name in ("cid", "eve"):
        sheet = act(office, name, act="edit-collection").dialog or ""
        assert "rename-collection" in sheet
        assert "Who may use it" not in sheet
        for asked in ("share", "grant-now", "revoke-now"):
            done = act(office, name, act=asked, collection=COLLECTION, user="bob", whose="ann", role="reader")
            assert done.dialog == ""
            assert "this takes the role" in done.notice
            assert "ann" not in done.notice
    for asked in ("share", "grant-now", "revoke-now"):
        done = act(office, "bob", act=asked, collection=COLLECTION, user="bob", whose="ann", role="owner")
        assert done.dialog == ""
        assert "there is no collection" in done.notice
    assert [vars(row) for row in office.of("ann").sharing.list(COLLECTION)] == ALL


def test_what_an_owner_does_is_said_in_the_sheet(office: Office) -> None:
    about = {"collection": COLLECTION}
    done = act(office, "ann", act="grant-now", user=" Bob ", role="owner", **about).dialog or ""
    assert f"bob is owner of “{COLLECTION}” now." in done
    for user, role, words in (
        ("bobb", "reader", "there is no user"),
        ("", "owner", "type it"),
        ("bob", "", "no role"),
    ):
        sheet = act(office, "ann", act="grant-now", user=user, role=role, **about).dialog or ""
        assert words in sheet
        assert f'value="{user}"' in sheet  # to be put right
    gone = act(office, "ann", act="revoke-now", whose="ann", **about)
    assert (gone.dialog, "ann may not use" in gone.notice) == ("", True)
    sheet = act(office, "bob", act="revoke-now", whose="bob", **about).dialog or ""
    assert "make somebody else its owner first" in sheet
    assert "bob (you)" in sheet
    assert 'data-whose="bob"' not in sheet  # nor is it offered
    assert 'data-whose="cid"' in sheet


def test_a_sheet_is_about_its_own_collection(office: Office) -> None:
    """Whatever collection the tab has gone to meanwhile."""
    ann = office.of("ann")
    ann.add_collection("Another", "general")
    act(office, "ann", act="grant-now", user="bob", role="reader", collection="Another")
    assert office.of("bob").profiles().keys() == {"Another"}
    gone = act(office, "ann", act="drop-collection", collection="Deleted meanwhile")
    assert "there is no collection" in gone.notice
    act(office, "ann", act="rename-collection", value="Renamed", collection="Another")
    assert ann.profiles().keys() == {COLLECTION, "Renamed"}
    act(office, "ann", act="drop-collection", collection="Renamed")
    assert ann.profiles().keys() == {COLLECTION}


def test_the_local_user_has_nobody_to_share_with(office: Office) -> None:
    office.service.store.users.forget()
    sheet = Ordering(office.service).act({"act": "edit-collection"}, COLLECTION, Listing()).dialog or ""
    assert "rename-collection" in sheet
    assert "Who may use it" not in sheet
    assert office.service.sharing.list(COLLECTION) == []
    with pytest.raises(NotFound, match="attest users list"):
        office.service.sharing.grant("ann", COLLECTION, "reader")
    with pytest.raises(AttestError, match="no role"):
        office.service.sharing.grant("ann", COLLECTION, "king")
