"""What each user sees and may change, asked of the store itself."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from storage.errors import (
    AnswerNotFound,
    CollectionExists,
    CollectionNotFound,
    ConversationNotFound,
    DocumentNotFound,
    JobNotFound,
    NotAllowed,
    NotFound,
    PageNotFound,
    UserExists,
    UserNotFound,
)
from storage.grants import Role, Viewer
from storage.records import NewAnswer, PageRow
from storage.store import Store
from tests.storage.conftest import DIMENSION, EMBEDDER, references_of, vector_of

PASSAGE = "The lease ends in March."
Add = Callable[..., str]


@pytest.fixture
def add(store: Store, tmp_path: Path) -> Add:
    def added(name: str, collection: str, text: str = PASSAGE, **options: bool) -> str:
        path = tmp_path / name
        path.write_text(text)
        row, created = store.documents.add(path, collection, **options)  # type: ignore[arg-type]
        if created:
            store.documents.add_pages(row.id, [PageRow(1, "1", text)])
            store.references.replace(row.id, references_of([text]), EMBEDDER)
            store.documents.set_status(row.id, "answerable")
        return row.id

    return added


def user(store: Store, name: str, **roles: Role) -> Store:
    """The store as a new user sees it. Not the first one, who would own everything."""
    if not store.users.any():
        store.users.add("first", None)
    row, _ = store.users.add(name, None)
    for collection, role in roles.items():
        store.sharing.grant(name, collection, role)
    return store.seen_by(Viewer(row.id, row.name, "test"))


def new(document_id: str) -> NewAnswer:
    return NewAnswer("When?", "In March.", "memory", 64, {"abstained": False}, (document_id,))


def refusals(seen: Store, document_id: str, job_id: int, conversation_id: int, answer_id: int) -> None:
    """Nothing of it is there for this user, whatever is asked."""
    for missing, ask in (
        (CollectionNotFound, lambda: seen.collections.get("law")),
        (CollectionNotFound, lambda: seen.collections.id_of("law")),
        (CollectionNotFound, lambda: seen.collections.delete("law")),
        (CollectionNotFound, lambda: seen.collections.add("law", "general")),
        (CollectionNotFound, lambda: seen.documents.list("law")),
        (CollectionNotFound, lambda: seen.documents.count("law")),
        (CollectionNotFound, lambda: seen.listing.page("law", 0, 10)),
        (CollectionNotFound, lambda: seen.conversations.start("law", "x")),
        (CollectionNotFound, lambda: seen.conversations.list("law")),
        (CollectionNotFound, lambda: seen.sources.under("law", Path("/"))),
        (CollectionNotFound, lambda: seen.sources.drop("law", "/a.txt")),
        (CollectionNotFound, lambda: seen.documents.add(Path(__file__), "law")),
        (CollectionNotFound, lambda: found(seen, "law")),
        (CollectionNotFound, lambda: seen.sharing.list("law")),
        (CollectionNotFound, lambda: seen.sharing.grant("first", "law", "reader")),
        (CollectionNotFound, lambda: seen.sharing.revoke("first", "law")),
        (DocumentNotFound, lambda: seen.documents.get(document_id)),
        (DocumentNotFound, lambda: seen.documents.original(document_id)),
        (DocumentNotFound, lambda: seen.documents.readable(document_id)),
        (DocumentNotFound, lambda: seen.documents.delete(document_id)),
        (DocumentNotFound, lambda: seen.images.path(document_id, 1, 100)),
        (DocumentNotFound, lambda: seen.images.keep(document_id, 1, 100, b"")),
        (PageNotFound, lambda: seen.documents.page(document_id, 1)),
        (JobNotFound, lambda: seen.jobs.get(job_id)),
        (JobNotFound, lambda: seen.jobs.cancel(job_id)),
        (JobNotFound, lambda: seen.jobs.retry(job_id)),
        (ConversationNotFound, lambda: seen.conversations.get(conversation_id)),
        (ConversationNotFound, lambda: seen.conversations.rename(conversation_id, "mine")),
        (ConversationNotFound, lambda: seen.conversations.delete(conversation_id)),
        (ConversationNotFound, lambda: seen.answers.keep(conversation_id, new(document_id))),
        (AnswerNotFound, lambda: seen.answers.get(answer_id)),
        (AnswerNotFound, lambda: seen.answers.rate(answer_id, 1, "mine")),
        (AnswerNotFound, lambda: seen.answers.replace_body(answer_id, {})),
    ):
        with pytest.raises(missing):
            ask()
    assert seen.collections.list() == []
    assert (seen.collections.profiles(), seen.collections.has("law")) == ({}, False)
    assert (seen.documents.list(), seen.documents.count(), seen.documents.of_ids([document_id])) == (
        [],
        0,
        {},
    )
    assert (seen.pages.numbers(document_id), list(seen.pages.iterate(document_id))) == ([], [])
    assert seen.documents.confidences(document_id) == {}
    assert (seen.references.get([1]), seen.references.of_document(document_id)) == ([], [])
    assert seen.references.heading_path(document_id, 1, 0) == ()
    assert (seen.references.count(), seen.references.documents_without_memory("f")) == (0, {})
    assert (seen.sources.versions(document_id), seen.jobs.list()) == ([], [])
    assert seen.jobs.newest(document_id, "ingest") is None
    assert (seen.conversations.list(), seen.answers.of_conversation(conversation_id)) == ([], [])
    assert (seen.answers.rated(), seen.listing.written(None)) == ([], (0, 0))
    assert found(seen) == []


def found(seen: Store, collection: str | None = None) -> list[int]:
    """References that a search for the passage itself finds."""
    vector = vector_of(PASSAGE)
    hits = seen.search(EMBEDDER, DIMENSION).hybrid(PASSAGE, np.array(vector), collection)
    return [hit.reference_id for hit in hits]


def test_without_a_grant_nothing_is_there_and_with_one_all_is(store: Store, add: Add) -> None:
    document_id = add("a.txt", "law", stays=True)
    bob = user(store, "bob")
    ann = user(store, "ann", law="reader")
    conversation = ann.conversations.start("law", "mine")
    answer_id = ann.answers.keep(conversation.id, new(document_id))
    ann.answers.rate(answer_id, 1, "good")
    job_id = store.jobs.list()[0].id
    refusals(bob, document_id, job_id, conversation.id, answer_id)
    assert [row.name for row in ann.collections.list()] == ["law"]
    assert ann.documents.get(document_id).sources
    assert (ann.documents.page(document_id, 1).text, ann.jobs.get(job_id).id) == (PASSAGE, job_id)
    assert len(found(ann)) == len(found(ann, "law")) == len(ann.references.of_document(document_id)) == 1
    assert [row.owner for row in ann.conversations.list("law")] == ["ann"]
    assert [row.id for row in ann.answers.rated()] == [answer_id]
    store.sharing.revoke("ann", "law")  # at once, the search too
    refusals(ann, document_id, job_id, conversation.id, answer_id)
    store.sharing.grant("bob", "law", "reader")
    assert found(bob)
    with pytest.raises(ConversationNotFound):  # what others ask is theirs
        bob.conversations.get(conversation.id)
    with pytest.raises(AnswerNotFound):
        bob.answers.get(answer_id)


def test_readers_read_editors_write_owners_delete_the_collection(
    store: Store, add: Add, tmp_path: Path
) -> None:
    document_id = add("a.txt", "law")
    job_id = store.jobs.list()[0].id
    other = tmp_path / "b.txt"
    other.write_text("another")
    reader, editor = user(store, "reader", law="reader"), user(store, "editor", law="editor")
    for refused in (
        lambda: reader.documents.add(other, "law"),
        lambda: reader.documents.delete(document_id),
        lambda: reader.jobs.cancel(job_id),
        lambda: reader.jobs.retry(job_id),
        lambda: reader.collections.delete("law"),
        lambda: reader.sources.mark_gone("law", "/a.txt"),
        lambda: editor.collections.delete("law"),
    ):
        with pytest.raises(NotAllowed):
            refused()
    row, created = editor.documents.add(other, "law")
    assert created
    assert editor.jobs.cancel(editor.jobs.list()[0].id).status == "cancelled"
    editor.documents.delete(row.id)
    owner = user(store, "owner", law="owner")
    assert [receipt.document_id for receipt in owner.collections.delete("law")] == [document_id]


def test_owners_say_who_else_may_use_a_collection(store: Store, add: Add) -> None:
    add("a.txt", "law")
    owner, bob = user(store, "owner", law="owner"), user(store, "bob")
    owner.sharing.grant("bob", "law", "reader")
    assert len(found(bob)) == 1
    owner.sharing.grant("bob", "law", "editor")
    assert [(row.user, row.role) for row in owner.sharing.list("law")] == [
        ("bob", "editor"),
        ("first", "owner"),
        ("owner", "owner"),
    ]
    assert owner.sharing.revoke("bob", "law") == "editor"
    assert (found(bob), bob.collections.profiles()) == ([], {})
    assert owner.sharing.revoke("bob", "law") is None
    log = [row for row in store.trail.rows() if row.event in ("granted", "revoked") and row.name == "owner"]
    ids = {"user": bob.viewer.user, "collection": store.collections.id_of("law")}
    assert [(row.event, row.user_id, row.through) for row in log] == [
        ("granted", owner.viewer.user, "test"),
        ("granted", owner.viewer.user, "test"),
        ("revoked", owner.viewer.user, "test"),
    ]
    assert [row.details for row in log] == [{**ids, "role": "reader"}, {**ids, "role": "editor"}, ids]
    assert store.trail.verify().broken is None


@pytest.mark.parametrize("role", ["reader", "editor", None])
def test_who_is_no_owner_grants_nothing_and_learns_of_no_user(
    store: Store, add: Add, role: Role | None
) -> None:
    add("a.txt", "law")
    ann = user(store, "ann", **({} if role is None else {"law": role}))
    ann.collections.add("hers", "general")  # owning one opens no other
    before = store.sharing.list("law")
    refused: type[NotAllowed | CollectionNotFound] = CollectionNotFound if role is None else NotAllowed
    with pytest.raises(refused):
        ann.sharing.list("law")
    said = set()
    for name in ("ann", "first", "nobody"):
        for ask in (
            lambda name=name: ann.sharing.grant(name, "law", "owner"),
            lambda name=name: ann.sharing.revoke(name, "law"),
        ):
            with pytest.raises(refused) as refusal:
                ask()
            said.add(str(refusal.value))
    assert len(said) == 1  # whether there is such a user or not
    assert store.sharing.list("law") == before
    with pytest.raises(UserNotFound):
        ann.sharing.grant("nobody", "hers", "reader")


def test_a_grant_in_one_collection_is_none_in_another(store: Store) -> None:
    ann, bob = user(store, "ann"), user(store, "bob")
    for name in ("one", "two"):
        ann.collections.add(name, "general")
        ann.sharing.grant("bob", name, "owner")
    assert bob.sharing.revoke("ann", "one") == "owner"
    assert (ann.collections.profiles().keys(), bob.collections.profiles().keys()) == ({"two"}, {"one", "two"})
    with pytest.raises(CollectionNotFound):
        ann.sharing.list("one")


def test_the_only_owner_cannot_leave_by_mistake(store: Store) -> None:
    ann, bob = user(store, "ann"), user(store, "bob")
    ann.collections.add("hers", "general")
    ann.sharing.grant("bob", "hers", "editor")
    for leave in (
        lambda: ann.sharing.revoke("ann", "hers"),
        lambda: ann.sharing.grant("ann", "hers", "editor"),
    ):
        with pytest.raises(NotAllowed, match="make somebody else its owner first"):
            leave()
    ann.sharing.grant("ann", "hers", "owner")  # as it is
    ann.sharing.grant("bob", "hers", "owner")
    ann.sharing.grant("ann", "hers", "reader")
    with pytest.raises(NotAllowed):
        ann.sharing.list("hers")
    with pytest.raises(NotAllowed, match="make somebody else"):
        bob.sharing.revoke("bob", "hers")
    assert store.sharing.revoke("bob", "hers") == "owner"  # the administrator may
    assert [(row.user, row.role) for row in store.sharing.list("hers")] == [("ann", "reader")]


def test_what_the_worker_and_the_administrator_do_no_user_can(store: Store, add: Add) -> None:
    document_id = add("a.txt", "law")
    owner = user(store, "owner", law="owner")
    for refused in (
        lambda: owner.documents.set_status(document_id, "failed"),
        lambda: owner.documents.add_warning(document_id, None, "x"),
        lambda: owner.documents.add_pages(document_id, []),
        lambda: owner.references.replace(document_id, [], EMBEDDER),
        lambda: owner.jobs.enqueue("ingest", document_id),
        lambda: owner.jobs.claim("w"),
        lambda: owner.jobs.finish(1, "done"),
        lambda: owner.jobs.requeue(1),
        lambda: owner.jobs.progress(1, "reading", 0, 1),
        owner.trail.verify,
        owner.audit,
        owner.compact,
        owner.sweep,
        owner.close,
        *(lambda part=part: getattr(owner, part) for part in ("users", "keys", "sessions", "banks")),
        *(lambda part=part: getattr(owner, part) for part in ("codebooks", "checkpoints")),
    ):
        with pytest.raises(NotAllowed):
            refused()
    assert store.documents.get(document_id).status == "answerable"
    assert owner.bank_status() == store.banks.status()


def test_of_a_document_in_two_collections_only_the_granted_one_is_told(store: Store, add: Add) -> None:
    store.collections.add("secret", "legal")
    document_id = add("a.txt", "secret", stays=True)
    add("copy.txt", "law", stays=True)
    ann = user(store, "ann", law="editor")
    row = ann.documents.get(document_id)
    assert (row.collections, [each.collection for each in row.sources]) == (("law",), ["law"])
    assert row.job is None  # it is the other collection's
    assert [each.collection for each in ann.sources.versions(document_id)] == ["law"]
    receipt = ann.documents.delete(document_id)  # takes it out of hers
    assert (receipt.vectors, receipt.bytes_freed) == (0, 0)
    with pytest.raises(DocumentNotFound):
        ann.documents.get(document_id)
    assert store.documents.get(document_id).collections == ("secret",)
    assert found(ann) == []


def test_the_same_file_of_another_collection_is_new_to_who_adds_it(
    store: Store, add: Add, tmp_path: Path
) -> None:
    store.collections.add("secret", "legal")
    document_id = add("a.txt", "secret")
    ann = user(store, "ann", law="editor")
    assert [ann.documents.add(tmp_path / "a.txt", "law")[1] for _ in range(2)] == [True, False]
    assert ann.documents.get(document_id).collections == ("law",)


def test_an_older_version_is_none_where_the_newer_one_is_not_seen(store: Store, add: Add) -> None:
    store.collections.add("secret", "legal")
    before = add("a.txt", "secret", stays=True)
    after = add("a.txt", "secret", "The lease ends in April.", stays=True)
    add("copy.txt", "law")
    ann = user(store, "ann", law="reader")
    assert found(store) == store.references.of_document(after)
    assert found(ann) == ann.references.of_document(before)


def test_a_document_that_is_not_seen_any_more_is_as_a_deleted_one(store: Store, add: Add) -> None:
    store.collections.add("other", "legal")
    document_id = add("a.txt", "law")
    ann = user(store, "ann", law="reader")
    conversation = ann.conversations.start("law", "x")
    answer_id = ann.answers.keep(conversation.id, new(document_id))
    assert ann.answers.get(answer_id).sources[0].name == "a.txt"
    add("a.txt", "other")
    user(store, "eve", law="editor").documents.delete(document_id)
    (source,) = ann.answers.get(answer_id).sources
    assert (source.document_id, source.name, source.sha256) == (None, None, None)
    assert store.answers.get(answer_id).sources[0].name == "a.txt"


def test_who_makes_a_collection_owns_it(store: Store) -> None:
    ann, bob = user(store, "ann"), user(store, "bob")
    ann.collections.add("mine", "general")
    with pytest.raises(CollectionExists):
        ann.collections.add("mine", "general")
    with pytest.raises(CollectionNotFound):
        bob.collections.get("mine")
    assert ann.collections.delete("mine") == []


def test_the_first_user_owns_everything_and_the_last_stays(store: Store, add: Add) -> None:
    document_id = add("a.txt", "law")
    conversation = store.conversations.start("law", "before")
    ann, inherited = store.users.add("ann", "hash")
    assert (inherited.collections, inherited.conversations) == (1, 1)
    assert store.users.get("ann").grants == {"law": "owner"}
    seen = store.seen_by(Viewer(ann.id))
    assert seen.documents.get(document_id)
    assert seen.conversations.get(conversation.id).owner == "ann"
    with pytest.raises(NotAllowed, match="last user"):
        store.users.remove("ann")
    bob, nothing = store.users.add("bob", None, "bob@example.org")
    assert (nothing.collections, store.users.list()[1].grants, bob.has_password) == (0, {}, False)
    assert store.users.remove("ann") == 1
    with pytest.raises(ConversationNotFound):
        store.conversations.get(conversation.id)
    for again in (
        lambda: store.users.add("bob", None),
        lambda: store.users.add("b", None, "bob@example.org"),
    ):
        with pytest.raises(UserExists):
            again()
    assert store.users.forget() == 1
    assert not store.users.any()
    for unknown in (
        store.users.get,
        store.users.remove,
        lambda name: store.sharing.grant(name, "law", "reader"),
    ):
        with pytest.raises(UserNotFound):
            unknown("bob")


def test_a_removed_users_id_is_never_anothers(store: Store) -> None:
    store.users.add("first", None)
    gone, _ = store.users.add("gone", None)
    store.conversations.start("law", "x")
    store.users.remove("gone")
    assert store.users.add("next", None)[0].id > gone.id


def test_every_part_of_a_users_store_is_bound_to_them_or_refuses(store: Store) -> None:
    """A part that is added to the store later must take a side."""
    bob = user(store, "bob")
    free = {"workers", "home", "viewer"}  # which processes work is no secret
    for name in (each for each in vars(bob) if not each.startswith("_")):
        part = getattr(bob, name)
        assert name in free or part._viewer is bob.viewer, name
    for name in (each for each, value in vars(Store).items() if isinstance(value, property)):
        with pytest.raises((NotAllowed, NotFound)):
            getattr(bob, name)
