"""Kept answers: the same after a restart, without the text of any document in their rows."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.answering.answer import Mode
from app.answering.conversations import Kept
from app.answering.keeping import GONE
from app.errors import AttestError
from app.service import Service
from app.settings import Settings
from storage.redaction import BAR
from storage.schema import KeptAnswer
from tests.app.conftest import QUESTION, add, answer
from tests.app.library.test_upkeep import sentences
from tests.storage.residue import left_behind

pytestmark = pytest.mark.usefixtures("fake_model")


def kept_answer(
    service: Service, question: str = QUESTION, *, mode: Mode = "memory", conversation: int | None = None
) -> Kept:
    history = () if conversation is None else service.conversations.history(conversation)
    given = answer(service, question, mode=mode, history=history)
    return service.conversations.keep(conversation, question, "default", given, mode=mode, max_tokens=128)


@pytest.mark.parametrize("mode", ["memory", "text", "none"])
def test_an_answer_comes_back_as_it_was(service: Service, filled, home: Path, mode: Mode) -> None:
    given = answer(service, QUESTION, mode=mode)
    made = service.conversations.keep(None, QUESTION, "default", given, mode=mode, max_tokens=128)
    with Service(Settings(home=home, model="fake")) as again:
        kept = again.conversations.answer(made.id)
    assert kept.answer == given
    assert (kept.question, kept.mode, kept.collection, kept.stopped) == (QUESTION, mode, "default", False)
    assert {source.document_id for source in kept.sources} >= {each.document_id for each in given.citations}


def test_rows_hold_no_text_of_a_page(service: Service, filled) -> None:
    made = kept_answer(service)
    with service.store.answers._database.read() as connection:
        body = json.dumps(connection.execute(sa.select(KeptAnswer.body)).scalar_one())
    assert made.answer.reads
    for read in made.answer.reads:
        for memory in read.memories:
            assert memory.text
            assert memory.text[:12] not in body
    assert not any(name in body for name in ("lease.md", "long.txt", *filled))


def test_what_was_measured_later_is_kept(service: Service, filled) -> None:
    made = kept_answer(service)
    cited = [replace(each, needed=0.25) for each in made.answer.citations]
    again = service.conversations.measured(made.id, replace(made.answer, citations=cited))
    assert [each.needed for each in again.answer.citations] == [0.25] * len(cited)
    assert replace(again.answer, citations=made.answer.citations) == made.answer


def test_a_history_leaves_out_what_only_stands_beside(service: Service, filled) -> None:
    first = kept_answer(service)
    conversation = first.conversation_id
    other = service.conversations.keep(
        conversation, QUESTION, "default", first.answer, mode="none", max_tokens=9, beside=first.id
    )
    declined = replace(first.answer, abstained=True)
    service.conversations.keep(conversation, "The moon?", "default", declined, mode="memory", max_tokens=9)
    last = kept_answer(service, "And the rent?", conversation=conversation)
    assert service.conversations.history(conversation, before=last.id) == [(QUESTION, first.answer.answer)]
    assert [each.id for each in service.conversations.answers(conversation)][:2] == [first.id, other.id]
    (row,) = service.conversations.list(text="RENT")
    assert (row.title, row.answers) == (QUESTION, 3)


def test_a_deleted_source_is_said_to_be_gone_and_leaves_nothing(service: Service, keep, home: Path) -> None:
    """Not in the question that quotes it, not in the answer that does, not in the title made of it."""
    name = "-".join(sentences(5)[0].split()[:4]) + ".txt"
    doomed, _ = add(
        service, keep(name, "\n\n".join(sentences(5))), keep("kept.txt", "\n\n".join(sentences(6)))
    )
    quoted = sentences(5)[0]
    given = answer(service, quoted)
    assert {each.document_id for each in given.citations} == {doomed}
    said = f"They agreed. It says: {quoted} So it ends."
    marks = [
        replace(given.sentences[0], start=0, end=12, citations=[1]),
        replace(given.sentences[0], start=13, end=len(said) - 11),
    ]
    made = service.conversations.keep(
        None, quoted, "default", replace(given, answer=said, sentences=marks), mode="memory", max_tokens=128
    )
    texts = [row.text for row in service.store.references.get(service.store.references.of_document(doomed))]
    service.delete_document(doomed)
    assert left_behind(home, [name.encode(), *(text.encode() for text in texts)]) == []
    now = service.conversations.answer(made.id)
    assert now.deleted >= 1
    assert now.question == BAR * len(quoted)
    assert now.answer.answer == "They agreed. " + BAR * (len(said) - 24) + said[-11:]
    gone = now.answer.citations[0]
    assert (gone.document_name, gone.text, gone.rects) == (GONE, "", None)
    with pytest.raises(AttestError):
        service.page_view(gone.document_id, gone.page)
    assert [round(each.attention, 6) for each in now.answer.citations] == [
        round(each.attention, 6) for each in given.citations
    ]
    assert doomed not in {memory.document_id for read in now.answer.reads for memory in read.memories}


def test_a_conversation_is_renamed_and_deleted(service: Service, filled, home: Path) -> None:
    secret = "xylophonic quibblezorp"
    made = kept_answer(service, f"{QUESTION} {secret}")
    service.conversations.rename(made.conversation_id, "  Notice \n period ")
    assert service.conversations.get(made.conversation_id).title == "Notice period"
    assert service.conversations.delete(made.conversation_id) == 1
    assert left_behind(home, [secret.encode()]) == []
    for gone in (service.conversations.get, service.conversations.answers, service.conversations.delete):
        with pytest.raises(AttestError, match="there is no conversation"):
            gone(made.conversation_id)
    with pytest.raises(AttestError, match="there is no kept answer"):
        service.conversations.rate(made.id, 1, "")
