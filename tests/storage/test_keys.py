"""Keys: what of them is kept, and what a revoked one still does."""

import pytest

from app.keys import digest_of, make_key
from storage.errors import KeyExists, KeyNotFound
from storage.store import Store


def test_a_key_opens_until_it_is_revoked(store: Store) -> None:
    assert store.keys.of_digest(digest_of("anything")) == (False, None)
    row = store.keys.add("scripts", digest_of("secret"), ["ask", "read"], 60)
    assert (row.scopes, row.per_minute, row.revoked_at) == (("read", "ask"), 60, None)
    assert store.keys.of_digest(digest_of("secret")) == (True, row)
    assert store.keys.of_digest(digest_of("Secret")) == (True, None)
    assert store.keys.of_digest(None) == (True, None)
    revoked = store.keys.revoke("scripts")
    assert revoked.revoked_at is not None
    assert store.keys.revoke("scripts") == revoked
    assert store.keys.of_digest(digest_of("secret")) == (True, None)  # and a key is still demanded
    assert store.keys.list() == [revoked]


def test_names_are_not_used_twice(store: Store) -> None:
    store.keys.add("scripts", digest_of("one"), ["read"], 60)
    store.keys.revoke("scripts")
    with pytest.raises(KeyExists, match="'scripts'"):
        store.keys.add("scripts", digest_of("two"), ["read"], 60)
    with pytest.raises(KeyNotFound, match="'others'"):
        store.keys.revoke("others")


def test_after_all_keys_are_forgotten_none_is_demanded(store: Store) -> None:
    for name in "ab":
        store.keys.add(name, digest_of(name), ["read"], 60)
    assert store.keys.forget() == 2
    assert store.keys.of_digest(digest_of("a")) == (False, None)


def test_the_secret_is_in_no_file_of_the_home_folder(store: Store) -> None:
    _, secret = make_key(store, "scripts", ["read"])
    assert len(secret) > 40
    for file in store.home.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert secret.encode() not in content
            assert secret[-20:].encode() not in content
