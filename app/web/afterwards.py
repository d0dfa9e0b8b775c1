"""What can be done with an answer once it is there: measure what it needed, judge it, compare it.

Each step yields the turn as it is then; the first one says what is on its way. Knows nothing of Gradio.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from app.answering.answer import DoneEvent, Mode
from app.errors import AttestError
from app.web.conversation import Conversation, Turn, history
from app.web.panel import can_be_measured
from app.web.protocol import Service
from app.web.thread import MAX_TOKENS, turn_of

LONGEST_NOTE = 2000


class Afterwards:
    """Safe to share between sessions."""

    ACTS: ClassVar[tuple[str, ...]] = ("needed", "rate", "note", "compare")

    def __init__(self, service: Service) -> None:
        self._service = service

    def act(self, data: Mapping[str, Any], index: int, conversation: Conversation) -> Iterator[Turn]:
        """What a click with `data` (as the browser sent it, so: anything) asks for."""
        turn, act = conversation[index], data.get("act")
        before = history(conversation[:index])
        try:
            if act == "needed" and can_be_measured(turn):
                yield replace(turn, measuring=True)
                yield self._measured(turn, before)
            elif act == "rate" and turn.kept is not None and str(data.get("rating")) in ("-1", "0", "1"):
                yield self._judged(turn, int(data["rating"]), turn.note)
            elif act == "note" and turn.kept is not None:
                yield self._judged(turn, turn.rating, str(data.get("value", ""))[:LONGEST_NOTE])
            elif act == "compare" and turn.kept is not None and not turn.beside:
                yield from self._compared(turn, before)
        except AttestError as problem:
            yield replace(turn, notes=(*turn.notes, str(problem)))

    def unasked(self, turn: Turn, before: list[tuple[str, str]]) -> Turn | None:
        """The turn with what its citations were needed for, if nobody waits for an answer meanwhile."""
        if turn.stopped or not can_be_measured(turn) or not self._service.idle():
            return None
        try:
            return self._measured(turn, before)
        except AttestError:  # the button is still there, and will say why
            return None

    def _measured(self, turn: Turn, before: list[tuple[str, str]]) -> Turn:
        if turn.answer is None:
            return turn
        answer = self._service.needed(turn.question, turn.collection, turn.answer, history=before)
        if turn.kept is None:
            presented = self._service.present(answer, turn.collection)
            return replace(turn, answer=answer, presented=presented)
        kept = turn_of(self._service, self._service.conversations.measured(turn.kept, answer))
        return replace(kept, beside=turn.beside)

    def _judged(self, turn: Turn, rating: int, note: str) -> Turn:
        if turn.kept is None:
            return turn
        kept = self._service.conversations.rate(turn.kept, rating, note)
        return replace(turn, rating=kept.rating, note=kept.note)

    def _compared(self, turn: Turn, before: list[tuple[str, str]]) -> Iterator[Turn]:
        """The same question in the other modes, one after the other; each is kept beside the answer."""
        yield replace(turn, comparing=True)
        others: list[Mode] = [mode for mode in ("none", "text", "memory") if mode != turn.mode][:2]
        beside: list[Turn] = []
        for mode in others:
            beside.append(self._asked(turn, mode, before))
            yield replace(turn, beside=tuple(beside), comparing=len(beside) < len(others))

    def _asked(self, turn: Turn, mode: Mode, before: list[tuple[str, str]]) -> Turn:
        try:
            for event in self._service.ask(
                turn.question,
                turn.collection,
                mode=mode,
                history=before,
                max_tokens=MAX_TOKENS,
                documents=turn.documents,
            ):
                if isinstance(event, DoneEvent):
                    kept = self._service.conversations.keep(
                        None,
                        turn.question,
                        turn.collection,
                        event.answer,
                        mode=mode,
                        max_tokens=MAX_TOKENS,
                        beside=turn.kept,
                    )
                    return turn_of(self._service, kept)
        except AttestError as problem:
            return Turn(turn.question, turn.collection, mode, error=str(problem))
        return Turn(turn.question, turn.collection, mode, error="the answer was stopped")
