"""Conversations and answers that a service without a model keeps, in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.answering.answer import (
    Answer,
    Mode,
)
from app.answering.conversations import Kept
from app.errors import AttestError
from storage.records import AnswerSource
from tests.app.web.shelf import Document


@dataclass
class Talk:
    """A kept conversation."""

    id: int
    collection: str
    title: str
    changed_at: float = 1_700_000_000.0
    answers: int = 0


class DoubleConversations:
    """Kept in memory; documents that are gone from `library` are deleted sources."""

    def __init__(self, library: dict[str, Document]) -> None:
        self.library = library
        self.talks: dict[int, Talk] = {}
        self.kept: dict[int, Kept] = {}

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
        if beside is not None:
            conversation_id = self.kept[beside].conversation_id
        if conversation_id is None:
            conversation_id = len(self.talks) + 1
            self.talks[conversation_id] = Talk(conversation_id, collection, question)
        self.talks[conversation_id].answers += beside is None
        number = len(self.kept) + 1
        remarks = tuple(remarks)
        self.kept[number] = Kept(
            number,
            conversation_id,
            collection,
            question,
            mode,
            max_tokens,
            answer,
            (),
            stopped,
            remarks,
            beside,
        )
        return self._now(number)

    def measured(self, answer_id: int, answer: Answer) -> Kept:
        self.kept[answer_id] = replace(self.kept[answer_id], answer=answer)
        return self._now(answer_id)

    def rate(self, answer_id: int, rating: int, note: str) -> Kept:
        self.kept[answer_id] = replace(self.kept[answer_id], rating=rating, note=note)
        return self._now(answer_id)

    def answer(self, answer_id: int) -> Kept:
        if answer_id not in self.kept:
            raise AttestError(f"there is no kept answer {answer_id}")
        return self._now(answer_id)

    def history(self, conversation_id: int, before: int | None = None) -> list[tuple[str, str]]:
        earlier = [kept for key, kept in self.kept.items() if before is None or key < before]
        return [(kept.question, kept.answer.answer) for kept in earlier]

    def answers(self, conversation_id: int) -> list[Kept]:
        self.get(conversation_id)
        return [self._now(key) for key, kept in self.kept.items() if kept.conversation_id == conversation_id]

    def list(self, collection: str | None = None, *, text: str | None = None, limit: int = 100) -> list[Talk]:
        found = [talk for talk in self.talks.values() if (text or "").lower() in talk.title.lower()]
        return sorted(found, key=lambda talk: -talk.id)[:limit]

    def get(self, conversation_id: int) -> Talk:
        if conversation_id not in self.talks:
            raise AttestError(f"there is no conversation {conversation_id}")
        return self.talks[conversation_id]

    def branch(self, conversation_id: int, last: int) -> int:
        made = len(self.talks) + 1
        self.talks[made] = replace(self.get(conversation_id), id=made)
        for key, kept in list(self.kept.items()):
            if kept.conversation_id == conversation_id and kept.beside is None and key <= last:
                number = len(self.kept) + 1
                self.kept[number] = replace(kept, id=number, conversation_id=made, rating=0, note="")
        return made

    def rename(self, conversation_id: int, title: str) -> None:
        self.get(conversation_id).title = title

    def delete(self, conversation_id: int) -> int:
        self.get(conversation_id)
        del self.talks[conversation_id]
        return 1

    def _now(self, number: int) -> Kept:
        """With the texts of deleted documents gone, as the store does it."""
        kept = self.kept[number]
        named = dict.fromkeys(cited.document_id for cited in kept.answer.citations)
        sources = [
            AnswerSource(key, self.library[key].name, "ab" * 32, None)
            if key in self.library
            else AnswerSource(None, None, None, 1_700_000_000.0)
            for key in named
        ]
        cited = [
            each
            if each.document_id in self.library
            else replace(each, document_name="a deleted document", text="", document_id="deleted-0")
            for each in kept.answer.citations
        ]
        return replace(kept, sources=sources, answer=replace(kept.answer, citations=cited))
