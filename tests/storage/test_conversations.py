"""Kept conversations: found again by their words, and gone without a trace."""

from pathlib import Path

import pytest

from storage.errors import AnswerNotFound, CollectionNotFound, ConversationNotFound, DocumentNotFound
from storage.records import NewAnswer
from storage.store import Store
from tests.storage.conftest import AddDocument
from tests.storage.test_removal import where


def new(question: str, text: str = "an answer", **options: object) -> NewAnswer:
    return NewAnswer(question, text, "memory", 128, options.pop("body", {"sentences": []}), **options)  # type: ignore[arg-type]


def test_a_conversation_is_found_by_what_was_said_in_it(store: Store) -> None:
    store.collections.add("other", "general")
    first = store.conversations.start("law", "When does the\n lease end?")
    second = store.conversations.start("other", "Doses")
    kept = store.answers.keep(first.id, new("When does the lease end?", "On 1 March, 100% sure."))
    store.answers.keep(second.id, new("Which dose?", "Five milligrams."))
    beside = store.answers.keep(first.id, new("When does the lease end?", "No idea.", beside=kept))
    assert first.title == "When does the lease end?"
    found = {
        text: [row.id for row in store.conversations.list(text=text)] for text in ("MARCH", "100%", "dos")
    }
    assert found == {"MARCH": [first.id], "100%": [first.id], "dos": [second.id]}
    assert [row.id for row in store.conversations.list()] == [first.id, second.id]  # the last changed first
    assert [row.answers for row in store.conversations.list("law")] == [1]
    assert [row.beside for row in store.answers.of_conversation(first.id)] == [None, kept]
    store.conversations.rename(first.id, "Lease")
    assert store.conversations.get(first.id).title == "Lease"
    assert store.answers.get(beside).collection == "law"
    with pytest.raises(CollectionNotFound):
        store.conversations.start("nowhere", "x")
    with pytest.raises(ConversationNotFound):
        store.answers.keep(99, new("?"))


def test_ratings_and_notes(store: Store) -> None:
    conversation = store.conversations.start("law", "x")
    kept, plain = (store.answers.keep(conversation.id, new(text)) for text in "ab")
    store.answers.rate(kept, -1, "wrong party")
    assert [(row.id, row.rating, row.note) for row in store.answers.rated("law")] == [
        (kept, -1, "wrong party")
    ]
    assert store.answers.rated("other") == []
    store.answers.rate(kept, 0, "")
    assert store.answers.rated() == []
    with pytest.raises(AnswerNotFound):
        store.answers.rate(plain + 1, 1, "")


def test_a_deleted_conversation_leaves_nothing(store: Store, home: Path) -> None:
    kept = store.conversations.start("law", "Zyxquorvanta?")
    gone = store.conversations.start("law", "Quibblezorp?")
    for number in range(60):  # over many database pages
        store.answers.keep(kept.id, new("Zyxquorvanta", f"zyxquorvanta {number} " * 30))
        store.answers.keep(gone.id, new("Quibblezorp", f"quibblezorp {number} " * 30))
    assert where(home, b"quibblezorp") != []
    assert store.conversations.delete(gone.id) == 60
    assert where(home, b"quibblezorp") == []
    assert len(store.answers.of_conversation(kept.id)) == 60
    with pytest.raises(ConversationNotFound):
        store.conversations.delete(gone.id)
    store.collections.delete("law")
    assert where(home, b"zyxquorvanta") == []
    assert store.conversations.list() == []


def test_sources_are_named_until_they_are_deleted(store: Store, add_document: AddDocument) -> None:
    first, second = add_document("a.txt", ["one"]), add_document("b.txt", ["two"])
    conversation = store.conversations.start("law", "x")
    kept = store.answers.keep(conversation.id, new("?", documents=(second, first)))
    assert [source.name for source in store.answers.get(kept).sources] == ["b.txt", "a.txt"]
    sha256 = store.documents.get(first).sha256
    store.documents.delete(second)
    gone, left = store.answers.get(kept).sources
    assert (gone.document_id, gone.name, gone.sha256) == (None, None, None)
    assert gone.deleted_at is not None
    assert (left.document_id, left.sha256, left.deleted_at) == (first, sha256, None)
    with pytest.raises(DocumentNotFound):
        store.answers.keep(conversation.id, new("?", documents=(second,)))


def test_a_branch_begins_as_its_conversation_did(store: Store, add_document: AddDocument) -> None:
    lease = add_document("lease.txt", ["the rent is due"])
    talk = store.conversations.start("law", "The rent").id
    first = store.answers.keep(talk, new("When is it due?", "On Monday.", documents=(lease,)))
    store.answers.keep(talk, new("When is it due?", "No idea.", beside=first))
    second = store.answers.keep(talk, new("And then?", "On Tuesday."))
    store.answers.keep(talk, new("Last one?", "Yes."))
    store.answers.rate(first, 1, "right")
    made = store.conversations.branch(talk, second)
    copies = store.answers.of_conversation(made)
    assert [(row.question, row.text) for row in copies] == [
        ("When is it due?", "On Monday."),
        ("And then?", "On Tuesday."),
    ]
    assert [row.rating for row in copies] == [0, 0]
    assert copies[0].sources[0].document_id == lease
    assert store.conversations.get(made).title == "The rent"
    assert len(store.answers.of_conversation(talk)) == 4
    store.documents.delete(lease)
    assert store.answers.of_conversation(made)[0].sources[0].deleted_at is not None
    with pytest.raises(ConversationNotFound):
        store.conversations.branch(99, second)
