"""Conversations: named threads of kept answers about one collection, found again by their words.

A user sees their own, about collections that were granted. Deleting one is as total as deleting a document:
its rows are overwritten, in the file and in its log.
"""

import time
from builtins import list as List  # `list` is a method here

import sqlalchemy as sa

from storage.codec import clean
from storage.collections import collection_id_of
from storage.database import Database
from storage.errors import ConversationNotFound
from storage.grants import Viewer
from storage.records import ConversationRow
from storage.removal import Remover
from storage.schema import AnswerDocument, Collection, Conversation, KeptAnswer, User

TITLE = 120  # most characters of a title


class Conversations:
    """The table of conversations."""

    def __init__(self, database: Database, viewer: Viewer, remover: Remover) -> None:
        self._database = database
        self._viewer = viewer
        self._remover = remover

    def start(self, collection: str, title: str) -> ConversationRow:
        """It is the viewer's. Raises CollectionNotFound."""
        now = time.time()
        with self._database.write() as connection:
            row = {
                "collection_id": collection_id_of(connection, collection, self._viewer),
                "user_id": self._viewer.user,
                "title": _titled(title),
                "created_at": now,
                "changed_at": now,
            }
            made = connection.execute(
                sa.insert(Conversation).values(row).returning(Conversation.id)
            ).scalar_one()
        return self.get(made)

    def get(self, conversation_id: int) -> ConversationRow:
        """Raises ConversationNotFound."""
        with self._database.read() as connection:
            query = _described().where(Conversation.id == conversation_id, seen(self._viewer))
            row = connection.execute(query).one_or_none()
        if row is None:
            raise _missing(conversation_id)
        return ConversationRow(**row._mapping)

    def list(
        self,
        collection: str | None = None,
        *,
        text: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> List[ConversationRow]:
        """The last changed first; `text` must occur in the title, a question or an answer.

        Raises CollectionNotFound.
        """
        query = _described().where(seen(self._viewer))
        if text:
            words = clean(text)
            said = sa.or_(
                KeptAnswer.question.icontains(words, autoescape=True),
                KeptAnswer.text.icontains(words, autoescape=True),
            )
            speaking = sa.select(KeptAnswer.conversation_id).where(said)
            query = query.where(
                sa.or_(Conversation.title.icontains(words, autoescape=True), Conversation.id.in_(speaking))
            )
        query = query.order_by(Conversation.changed_at.desc(), Conversation.id.desc())
        with self._database.read() as connection:
            if collection is not None:
                query = query.where(
                    Conversation.collection_id == collection_id_of(connection, collection, self._viewer)
                )
            found = connection.execute(query.limit(limit).offset(offset)).all()
        return [ConversationRow(**row._mapping) for row in found]

    def rename(self, conversation_id: int, title: str) -> None:
        """Raises ConversationNotFound."""
        change = sa.update(Conversation).where(Conversation.id == conversation_id, seen(self._viewer))
        with self._database.write() as connection:
            changed = connection.execute(change.values(title=_titled(title))).rowcount
        if not changed:
            raise _missing(conversation_id)

    def branch(self, conversation_id: int, last: int) -> int:
        """A new conversation that begins with copies of another one's answers, up to the answer `last`.

        Ratings, notes and answers for comparison are not copied. Raises ConversationNotFound.
        """
        now = time.time()
        with self._database.write() as connection:
            row = connection.execute(
                sa.select(Conversation).where(Conversation.id == conversation_id)
            ).one_or_none()
            if row is None:
                raise _missing(conversation_id)
            values = {**row._mapping, "created_at": now, "changed_at": now}
            del values["id"]
            made = connection.execute(
                sa.insert(Conversation).values(values).returning(Conversation.id)
            ).scalar_one()
            answers = connection.execute(
                sa.select(KeptAnswer)
                .where(
                    KeptAnswer.conversation_id == conversation_id,
                    KeptAnswer.beside.is_(None),
                    KeptAnswer.id <= last,
                )
                .order_by(KeptAnswer.id)
            ).all()
            for answer in answers:
                values = {**answer._mapping, "conversation_id": made, "rating": 0, "note": ""}
                del values["id"]
                copy = connection.execute(
                    sa.insert(KeptAnswer).values(values).returning(KeptAnswer.id)
                ).scalar_one()
                named = sa.select(
                    sa.literal(copy),
                    AnswerDocument.number,
                    AnswerDocument.document_id,
                    AnswerDocument.deleted_at,
                ).where(AnswerDocument.answer_id == answer.id)
                columns = ("answer_id", "number", "document_id", "deleted_at")
                connection.execute(sa.insert(AnswerDocument).from_select(columns, named))
        return int(made)

    def delete(self, conversation_id: int) -> int:
        """Remove a conversation wholly. Returns how many answers went. Raises ConversationNotFound."""
        with self._database.write() as connection:
            answers = connection.execute(
                sa.select(sa.func.count()).where(KeptAnswer.conversation_id == conversation_id)
            ).scalar_one()
            gone = sa.delete(Conversation).where(Conversation.id == conversation_id, seen(self._viewer))
            if not connection.execute(gone).rowcount:  # its answers cascade
                raise _missing(conversation_id)
            self._remover.note_rows(connection)
        self._remover.finish()
        return answers


def seen(viewer: Viewer) -> sa.ColumnElement[bool]:
    """Whether a conversation is the viewer's to see and to change."""
    return sa.and_(viewer.own(Conversation.user_id), viewer.collections(Conversation.collection_id))


def _described() -> sa.Select[tuple[int, str, str | None, str, float, float, int]]:
    answers = (
        sa.select(sa.func.count())
        .where(KeptAnswer.conversation_id == Conversation.id, KeptAnswer.beside.is_(None))
        .scalar_subquery()
    )
    return (
        sa.select(
            Conversation.id,
            Collection.name.label("collection"),
            User.name.label("owner"),
            Conversation.title,
            Conversation.created_at,
            Conversation.changed_at,
            answers.label("answers"),
        )
        .join(Collection, Collection.id == Conversation.collection_id)
        .join(User, User.id == Conversation.user_id, isouter=True)
    )


def _titled(title: str) -> str:
    line = " ".join(clean(title).split())
    return line if len(line) <= TITLE else line[: TITLE - 1].rstrip() + "…"


def _missing(conversation_id: int) -> ConversationNotFound:
    return ConversationNotFound(
        f"there is no conversation {conversation_id}; see `attest conversations list`"
    )
