"""Kept answers: what was asked, what the model wrote, and where it was read from.

No row holds the text of a page or the name of a document: the body of an answer names documents by number,
`answer_documents` says which they are, and text is read from the pages when the answer is looked at. So what
is left of a deleted document is what people and the model wrote, and `storage.redaction` blacks out what of
that quotes it.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from storage.codec import clean
from storage.conversations import seen
from storage.database import Database
from storage.errors import AnswerNotFound, ConversationNotFound, DocumentNotFound
from storage.grants import Viewer
from storage.records import AnswerRow, AnswerSource, NewAnswer
from storage.schema import AnswerDocument, Collection, Conversation, Document, KeptAnswer


class Answers:
    """The table of answers, with the documents that they name."""

    def __init__(self, database: Database, viewer: Viewer) -> None:
        self._database = database
        self._viewer = viewer

    def keep(self, conversation_id: int, answer: NewAnswer) -> int:
        """Returns its id. Raises ConversationNotFound; DocumentNotFound if a source was deleted meanwhile."""
        now = time.time()
        row = {
            "conversation_id": conversation_id,
            "beside": answer.beside,
            "question": clean(answer.question),
            "text": clean(answer.text),
            "mode": answer.mode,
            "max_tokens": answer.max_tokens,
            "stopped": answer.stopped,
            "remarks": list(answer.remarks),
            "body": dict(answer.body),
            "created_at": now,
        }
        with self._database.write() as connection:
            changed = sa.update(Conversation).where(Conversation.id == conversation_id, seen(self._viewer))
            if not connection.execute(changed.values(changed_at=now)).rowcount:
                raise ConversationNotFound(f"there is no conversation {conversation_id}; begin a new one")
            _check_documents(connection, self._viewer, answer.documents)
            made = connection.execute(sa.insert(KeptAnswer).values(row).returning(KeptAnswer.id)).scalar_one()
            _name_documents(connection, made, answer.documents)
        return made

    def replace_body(self, answer_id: int, body: Mapping[str, Any]) -> None:
        """The same answer about the same documents, with more measured. Raises AnswerNotFound."""
        self._change(answer_id, body=dict(body))

    def rate(self, answer_id: int, rating: int, note: str) -> None:
        """rating: -1, 0 or 1. Raises AnswerNotFound."""
        self._change(answer_id, rating=max(-1, min(rating, 1)), note=clean(note))

    def get(self, answer_id: int) -> AnswerRow:
        """Raises AnswerNotFound."""
        found = self._rows(KeptAnswer.id == answer_id)
        if not found:
            raise _missing(answer_id)
        return found[0]

    def of_conversation(self, conversation_id: int) -> list[AnswerRow]:
        """Oldest first, with those that stand beside another for comparison."""
        return self._rows(KeptAnswer.conversation_id == conversation_id)

    def rated(self, collection: str | None = None) -> list[AnswerRow]:
        """All that have a rating or a note, oldest first."""
        where = sa.or_(KeptAnswer.rating != 0, KeptAnswer.note != "")
        return self._rows(
            where if collection is None else sa.and_(where, Collection.name == clean(collection))
        )

    def _rows(self, where: sa.ColumnElement[bool]) -> list[AnswerRow]:
        query = (
            sa.select(KeptAnswer, Collection.name.label("collection"))
            .join(Conversation, Conversation.id == KeptAnswer.conversation_id)
            .join(Collection, Collection.id == Conversation.collection_id)
            .where(where, seen(self._viewer))
            .order_by(KeptAnswer.id)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            sources = _sources(connection, self._viewer, [row.id for row in rows])
        return [
            AnswerRow(
                **{
                    **row._mapping,
                    "sources": tuple(sources.get(row.id, ())),
                    "remarks": tuple(row.remarks),
                }
            )
            for row in rows
        ]

    def _change(self, answer_id: int, **values: Any) -> None:
        mine = sa.select(Conversation.id).where(seen(self._viewer))
        change = sa.update(KeptAnswer).where(KeptAnswer.id == answer_id, KeptAnswer.conversation_id.in_(mine))
        with self._database.write() as connection:
            if not connection.execute(change.values(**values)).rowcount:
                raise _missing(answer_id)


def _check_documents(connection: sa.Connection, viewer: Viewer, documents: Sequence[str]) -> None:
    query = sa.select(Document.id).where(Document.id.in_(documents), viewer.documents(Document.id))
    gone = set(documents) - set(connection.execute(query).scalars())
    if gone:
        raise DocumentNotFound(f"document {min(gone)} was deleted; ask again without it")


def _name_documents(connection: sa.Connection, answer_id: int, documents: Sequence[str]) -> None:
    rows = [
        {"answer_id": answer_id, "number": number, "document_id": document_id}
        for number, document_id in enumerate(documents)
    ]
    if rows:
        connection.execute(sa.insert(AnswerDocument), rows)


def _sources(connection: sa.Connection, viewer: Viewer, ids: Sequence[int]) -> dict[int, list[AnswerSource]]:
    """A document that the viewer does not see any more is as one that was deleted."""
    here = sa.and_(Document.id == AnswerDocument.document_id, viewer.documents(Document.id))
    query = (
        sa.select(
            AnswerDocument.answer_id,
            Document.id.label("document_id"),
            Document.name,
            Document.sha256,
            AnswerDocument.deleted_at,
        )
        .join(Document, here, isouter=True)
        .where(AnswerDocument.answer_id.in_(ids))
        .order_by(AnswerDocument.answer_id, AnswerDocument.number)
    )
    found: dict[int, list[AnswerSource]] = {}
    for row in connection.execute(query):
        source = AnswerSource(row.document_id, row.name, row.sha256, row.deleted_at)
        found.setdefault(row.answer_id, []).append(source)
    return found


def _missing(answer_id: int) -> AnswerNotFound:
    return AnswerNotFound(f"there is no kept answer {answer_id}; see `attest conversations list`")
