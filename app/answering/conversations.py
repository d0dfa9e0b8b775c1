"""Conversations that are kept: each answer with its evidence, found again after any restart.

A conversation is about one collection. Its history is what a follow-up question was asked with: earlier
answers of it that did not abstain. Answers that stand beside another for comparison are no part of it.
"""

from builtins import list as List  # `list` is a method here
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from app.answering.answer import Answer, Mode
from app.answering.keeping import Restorer, stripped
from app.errors import for_people
from storage.records import AnswerRow, AnswerSource, ConversationRow, NewAnswer
from storage.store import Store

MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True)
class Kept:
    """A kept answer with its texts as the pages have them now.

    beside: the answer to the same question that this one is compared with. sources: the documents that it
    names; of a deleted one only when that was. rating: -1, 0 or 1.
    """

    id: int
    conversation_id: int
    collection: str
    question: str
    mode: Mode
    max_tokens: int
    answer: Answer
    sources: Sequence[AnswerSource] = ()
    stopped: bool = False
    remarks: tuple[str, ...] = ()
    beside: int | None = None
    rating: int = 0
    note: str = ""
    asked_at: float = 0.0

    @property
    def deleted(self) -> int:
        """How many of its sources were deleted since."""
        return sum(source.document_id is None for source in self.sources)


class Conversations:
    """Safe to share between threads. Raises AttestError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(
        self,
        conversation_id: int | None,
        question: str,
        collection: str,
        answer: Answer,
        *,
        mode: Mode,
        max_tokens: int,
        stopped: bool = False,
        remarks: Sequence[str] = (),
        beside: int | None = None,
    ) -> Kept:
        """Keep an answer; without a conversation, in a new one that is named after the question.

        beside: the kept answer that this one is compared with; it goes where that one is.
        """
        body, documents = stripped(answer)
        new = NewAnswer(
            question, answer.answer, mode, max_tokens, body, documents, stopped, tuple(remarks), beside
        )
        with for_people():
            if beside is not None:
                conversation_id = self._store.answers.get(beside).conversation_id
            elif conversation_id is None:
                conversation_id = self._store.conversations.start(collection, question).id
            made = self._store.answers.keep(conversation_id, new)
        return self.answer(made)

    def measured(self, answer_id: int, answer: Answer) -> Kept:
        """The same answer with more measured, such as what it needed."""
        with for_people():
            row = self._store.answers.get(answer_id)
            known = [source.document_id or "" for source in row.sources]
            body, _ = stripped(answer, known)
            self._store.answers.replace_body(answer_id, body)
        return self.answer(answer_id)

    def rate(self, answer_id: int, rating: int, note: str) -> Kept:
        with for_people():
            self._store.answers.rate(answer_id, rating, note.strip())
        return self.answer(answer_id)

    def answer(self, answer_id: int) -> Kept:
        with for_people():
            return _kept(Restorer(self._store), self._store.answers.get(answer_id))

    def answers(self, conversation_id: int) -> List[Kept]:
        """Oldest first, with those that stand beside another."""
        restorer = Restorer(self._store)
        with for_people():
            self._store.conversations.get(conversation_id)
            return [_kept(restorer, row) for row in self._store.answers.of_conversation(conversation_id)]

    def rated(self, collection: str | None = None) -> List[Kept]:
        """All that have a rating or a note, oldest first."""
        restorer = Restorer(self._store)
        with for_people():
            return [_kept(restorer, row) for row in self._store.answers.rated(collection)]

    def history(self, conversation_id: int, before: int | None = None) -> List[tuple[str, str]]:
        """Earlier questions and answers, oldest first; before: those that this answer was given after."""
        with for_people():
            rows = self._store.answers.of_conversation(conversation_id)
        return [
            (row.question, row.text)
            for row in rows
            if row.beside is None and not row.body["abstained"] and (before is None or row.id < before)
        ]

    def list(
        self,
        collection: str | None = None,
        *,
        text: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> List[ConversationRow]:
        """The last changed first; `text` must occur in the title, a question or an answer."""
        with for_people():
            return self._store.conversations.list(collection, text=text, limit=limit, offset=offset)

    def get(self, conversation_id: int) -> ConversationRow:
        with for_people():
            return self._store.conversations.get(conversation_id)

    def branch(self, conversation_id: int, last: int) -> int:
        """A new conversation that begins as another one did, up to the answer `last`."""
        with for_people():
            return self._store.conversations.branch(conversation_id, last)

    def rename(self, conversation_id: int, title: str) -> None:
        if title.strip():
            with for_people():
                self._store.conversations.rename(conversation_id, title)

    def delete(self, conversation_id: int) -> int:
        """Remove it wholly. Returns how many answers went."""
        with for_people():
            return self._store.conversations.delete(conversation_id)


def _kept(restorer: Restorer, row: AnswerRow) -> Kept:
    return Kept(
        id=row.id,
        conversation_id=row.conversation_id,
        collection=row.collection,
        question=row.question,
        mode=next(mode for mode in MODES if mode == row.mode),
        max_tokens=row.max_tokens,
        answer=restorer.restored(row),
        sources=row.sources,
        stopped=row.stopped,
        remarks=row.remarks,
        beside=row.beside,
        rating=row.rating,
        note=row.note,
        asked_at=row.created_at,
    )
