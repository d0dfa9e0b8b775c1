"""A kept conversation and the page: its turns read from the service, a new turn handed to it to be kept.

An answer that cannot be kept (its collection or a document of it was deleted meanwhile) is still shown, and
says so.
"""

from collections.abc import Sequence
from dataclasses import replace

from app.errors import AttestError
from app.evidence.citing import Presented
from app.web.conversation import Conversation, Turn, conversation_html
from app.web.protocol import Service
from app.web.views import KeptAnswer

MAX_TOKENS = 128  # of an answer on the page


def kept_turn(service: Service, turn: Turn, thread: int | None) -> tuple[Turn, int | None]:
    """Keep a finished turn. Returns it as it is shown from now on, and the conversation that it is in."""
    if turn.answer is None:
        return turn, thread
    try:
        kept = service.conversations.keep(
            thread,
            turn.question,
            turn.collection,
            turn.answer,
            mode=turn.mode,
            max_tokens=MAX_TOKENS,
            stopped=turn.stopped,
            remarks=turn.notes,
        )
    except AttestError as problem:
        note = f"This answer is not kept: {problem}."
        return replace(turn, notes=(*turn.notes, note), presented=_presented(service, turn)), thread
    return turn_of(service, kept), kept.conversation_id


def branched(
    service: Service, conversation: Conversation, index: int, thread: int | None
) -> tuple[Conversation, int | None]:
    """A conversation of its own with the turns before one, which stays where it is; nothing to begin with
    if there were none. Its turns are those that were kept.
    """
    before = [turn.kept for turn in conversation[:index] if turn.kept is not None]
    if thread is None or not before:
        return conversation[:index] if thread is None else (), None
    try:
        thread = service.conversations.branch(thread, before[-1])
        return thread_of(service, thread), thread
    except AttestError:  # it was deleted meanwhile
        return (), None


def turn_of(service: Service, kept: KeptAnswer, beside: Sequence[KeptAnswer] = ()) -> Turn:
    """A kept answer as a turn, with those that stand beside it."""
    turn = Turn(
        kept.question,
        kept.collection,
        kept.mode,
        answer=kept.answer,
        reads=tuple(kept.answer.reads),
        stopped=kept.stopped,
        notes=kept.remarks,
        kept=kept.id,
        rating=kept.rating,
        note=kept.note,
        deleted=kept.deleted,
        beside=tuple(turn_of(service, each) for each in beside),
        documents=None if kept.answer.documents is None else tuple(kept.answer.documents),
    )
    return replace(turn, presented=_presented(service, turn))


def thread_of(service: Service, thread: int) -> Conversation:
    """All turns of a kept conversation. Raises AttestError if it is gone."""
    answers = service.conversations.answers(thread)
    return tuple(
        turn_of(service, kept, [each for each in answers if each.beside == kept.id])
        for kept in answers
        if kept.beside is None
    )


def view_of(conversation: Conversation, thread: int | None) -> str:
    """The turns as HTML, under a mark of the conversation's id, by which a reload finds it again."""
    mark = f'<span id="at-thread-id" hidden data-thread="{"" if thread is None else thread}"></span>'
    return mark + conversation_html(conversation)


def _presented(service: Service, turn: Turn) -> Presented | None:
    return None if turn.answer is None else service.present(turn.answer, turn.collection)
