"""What happens in the middle and on the right: asking, streaming, stopping, and choosing evidence.

Methods are Gradio event handlers: they return updates by component. One stop signal per browser tab is
kept here, because Gradio copies session state and a signal cannot be copied.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr

from app.answering.answer import DoneEvent, Mode, QueuedEvent, ReadEvent, TokenEvent, TrimmedEvent
from app.errors import AttestError, MemoryRefused
from app.web.afterwards import Afterwards
from app.web.choosing import chosen_of, left_of, turn_index
from app.web.conversation import MODES, Conversation, Turn, again_html, history, turn_html
from app.web.documents import notice_html
from app.web.events import data_of, session_of
from app.web.evidence import empty_html, evidence_html
from app.web.panel import Shown, first_shown, panel_of
from app.web.protocol import Service
from app.web.scope import Scope
from app.web.thread import MAX_TOKENS, branched, kept_turn, thread_of, view_of

STREAM_SECONDS = 0.06  # at most this often is a growing answer sent to the browser
NO_COLLECTION = "Create a collection and add documents to it first."
UNEXPECTED = (
    "This answer failed for a reason that was not foreseen. The log of the application has the details."
)

Updates = dict[Any, Any]


@dataclass(frozen=True)
class Opening:
    """A conversation to be shown, none for a new one. at: makes the same one, asked for again, a change."""

    thread: int | None
    at: int


@dataclass(frozen=True)
class Weighed:
    """A conversation whose last answer's needs are known now. at: makes another one a change."""

    conversation: Conversation = field(compare=False)
    at: int


@dataclass(frozen=True)
class ReaderParts:
    """The components that the handlers update. editing: the turn whose question is asked again.

    again: says so above the question.
    """

    past: gr.HTML
    live: gr.HTML
    welcome: gr.HTML
    question: gr.Textbox
    ask: gr.Button
    stop: gr.Button
    fresh: gr.Button
    evidence: gr.HTML
    again: gr.HTML
    conversation: gr.State
    shown: gr.State
    thread: gr.State
    editing: gr.State

    def all(self) -> list[Any]:
        return [getattr(self, name) for name in self.__dataclass_fields__]

    def opened(self) -> list[Any]:
        """Outputs of handlers that open a conversation: not what the reader may be typing into just then."""
        return [each for each in self.all() if each not in (self.question, self.ask, self.stop)]


class Reader:
    """Handlers of one page; shared by all its sessions."""

    def __init__(self, service: Service, parts: ReaderParts) -> None:
        self._service = service
        self._parts = parts
        self._stops: dict[str, threading.Event] = {}
        self._asked: dict[str, int] = {}  # questions of each tab
        self._afterwards = Afterwards(service)

    def ask(
        self,
        question: str,
        collection: str | None,
        mode_label: str,
        conversation: Conversation,
        thread: int | None,
        scope: Scope,
        editing: int | None,
        request: gr.Request,
    ) -> Iterator[Updates]:
        """Answer `question`; the last update holds the finished turn, which is kept. One at a time in a tab.

        thread: the kept conversation. A question to another collection begins a new one. scope: the documents
        that alone are asked. editing: the turn in whose place it is asked, in a conversation of its own.
        """
        question, session, stop = question.strip(), session_of(request), threading.Event()
        if not question or self._stops.setdefault(session, stop) is not stop:
            yield gr.skip()  # nothing to answer, or the tab's last question is still being answered
            return
        try:
            yield from self._answered(
                question, collection, mode_label, conversation, thread, scope, editing, session, stop
            )
        finally:
            stop.set()  # also when the browser went away in the middle
            del self._stops[session]

    def _answered(
        self,
        question: str,
        collection: str | None,
        mode_label: str,
        conversation: Conversation,
        thread: int | None,
        scope: Scope,
        editing: int | None,
        session: str,
        stop: threading.Event,
    ) -> Iterator[Updates]:
        if not collection:
            yield {self._parts.live: notice_html(NO_COLLECTION, problem=True)}
            return
        if conversation and conversation[-1].collection != collection:
            conversation, thread, editing = (), None, None
            yield {self._parts.past: ""}
        if editing is not None and editing < len(conversation):
            conversation, thread = branched(self._service, conversation, editing, thread)
            yield {self._parts.past: view_of(conversation, thread)}
        mode = mode_of(mode_label)
        chosen = tuple(identity for identity, _ in scope) if scope and mode != "none" else None
        turn = Turn(question, collection, mode, documents=chosen)
        self._asked[session] = self._asked.get(session, 0) + 1
        yield self._opening(turn, len(conversation))
        for update in self._stream(turn, conversation, stop, session):
            if isinstance(update, Turn):
                turn = update
            else:
                yield update
        turn, thread = kept_turn(self._service, turn, thread)
        yield self._closing(turn, conversation, thread)

    def _stream(
        self, turn: Turn, conversation: Conversation, stop: threading.Event, client: str
    ) -> Iterator[Updates | Turn]:
        index, sent = len(conversation), 0.0
        try:
            for event in self._service.ask(
                turn.question,
                turn.collection,
                mode=turn.mode,
                history=history(conversation),
                max_tokens=MAX_TOKENS,
                stop=stop,
                client=client,
                documents=turn.documents,
            ):
                if isinstance(event, QueuedEvent):
                    yield {self._parts.live: turn_html(turn, index, waiting=event.sentence)}
                elif isinstance(event, TrimmedEvent):
                    turn = replace(turn, notes=(*turn.notes, event.sentence))
                elif isinstance(event, TokenEvent):
                    turn = replace(turn, text=turn.text + event.text)
                    if time.monotonic() - sent >= STREAM_SECONDS:
                        sent = time.monotonic()
                        yield {self._parts.live: turn_html(turn, index, waiting="")}
                elif isinstance(event, ReadEvent):
                    turn = replace(turn, reads=(*turn.reads, event.read))
                    yield {self._parts.evidence: self._evidence(turn, Shown(index), writing=True)}
                elif isinstance(event, DoneEvent):
                    turn = replace(turn, answer=event.answer, reads=tuple(event.answer.reads))
        except MemoryRefused as refused:
            note = f"Answered from re-read text: {refused}."
            yield from self._stream(replace(turn, mode="text", notes=(note,)), conversation, stop, client)
            return
        except AttestError as problem:
            turn = replace(turn, error=str(problem))
        yield replace(turn, stopped=stop.is_set())

    def _opening(self, turn: Turn, index: int) -> Updates:
        engine = self._service.engine_status()
        waiting = "Finding the passages …" if turn.mode != "none" else "Thinking …"
        if not engine.ready:
            waiting = engine.message or "Waiting for the model …"
        return {
            self._parts.welcome: gr.update(visible=False),
            self._parts.live: turn_html(turn, index, waiting=waiting),
            self._parts.question: "",
            self._parts.ask: gr.update(visible=False),
            self._parts.stop: gr.update(visible=True),
            self._parts.fresh: gr.update(visible=False),
            self._parts.editing: None,
            self._parts.again: "",
        }

    def _closing(self, turn: Turn, conversation: Conversation, thread: int | None) -> Updates:
        index = len(conversation)
        conversation = (*conversation, turn)
        shown = first_shown(index, turn)
        return {
            self._parts.past: view_of(conversation, thread),
            self._parts.thread: thread,
            self._parts.live: "",
            self._parts.conversation: conversation,
            self._parts.shown: shown,
            self._parts.evidence: self._evidence(turn, shown) if turn.reads or turn.answer else empty_html(),
            **self._idle(),
        }

    def weigh(self, conversation: Conversation, request: gr.Request) -> Any:
        """The conversation with what its last answer needed, if nobody waits for an answer.

        Nothing if a question came meanwhile.
        """
        session = session_of(request)
        before = self._asked.get(session)
        measured = None
        if conversation:
            measured = self._afterwards.unasked(conversation[-1], history(conversation[:-1]))
        if measured is None or self._asked.get(session) != before:
            return gr.skip()
        return Weighed((*conversation[:-1], measured), time.monotonic_ns())

    def weighed(self, found: Weighed, shown: Shown | None, thread: int | None) -> Updates:
        """Show what `weigh` found; what the reader may be writing stays."""
        conversation = found.conversation
        index = len(conversation) - 1
        if shown is None or shown.turn != index:
            shown = first_shown(index, conversation[index])
        return {
            self._parts.past: view_of(conversation, thread),
            self._parts.conversation: conversation,
            self._parts.evidence: self._evidence(conversation[index], shown),
        }

    def _idle(self) -> Updates:
        return {
            self._parts.ask: gr.update(visible=True),
            self._parts.stop: gr.update(visible=False),
            self._parts.fresh: gr.update(visible=True),
        }

    def failed(self) -> Updates:
        """The handler above raised something that is not ours: say so, and let the reader go on."""
        return {self._parts.live: notice_html(UNEXPECTED, problem=True), **self._idle()}

    def leave(self, request: gr.Request) -> None:
        """The tab is closed."""
        self.stop(request)
        self._asked.pop(session_of(request), None)

    def stop(self, request: gr.Request) -> None:
        """Stop the answer of this tab; what was written so far stays."""
        signal = self._stops.get(session_of(request))
        if signal is not None:
            signal.set()

    def clear(self) -> Updates:
        """Begin a new conversation."""
        return {
            self._parts.past: "",
            self._parts.live: "",
            self._parts.conversation: (),
            self._parts.shown: None,
            self._parts.thread: None,
            self._parts.evidence: empty_html(),
            self._parts.welcome: gr.update(visible=True),
            self._parts.fresh: gr.update(visible=False),
            self._parts.editing: None,
            self._parts.again: "",
        }

    def open(self, opening: Opening) -> Updates:
        """Show what a click or the tab's address asks for."""
        return self._opened(opening.thread)

    def _opened(self, thread: int | None) -> Updates:
        """Show a kept conversation, with the evidence of its last answer; an empty one if it is gone."""
        try:
            conversation = thread_of(self._service, thread) if thread is not None else ()
        except AttestError:
            conversation = ()
        if not conversation:
            return self.clear()
        shown = first_shown(len(conversation) - 1, conversation[-1])
        return {
            self._parts.past: view_of(conversation, thread),
            self._parts.live: "",
            self._parts.conversation: conversation,
            self._parts.shown: shown,
            self._parts.thread: thread,
            self._parts.evidence: self._evidence(conversation[-1], shown),
            self._parts.welcome: gr.update(visible=False),
            self._parts.fresh: gr.update(visible=True),
            self._parts.editing: None,
            self._parts.again: "",
        }

    def arrive(self, request: gr.Request) -> Any:
        """A tab was opened: the conversation that its address names is to be shown."""
        number = str(request.query_params.get("conversation", ""))
        return Opening(int(number), time.monotonic_ns()) if number.isdecimal() else gr.skip()

    def again(self, conversation: Conversation, thread: int | None, shown: Shown | None) -> Updates:
        """Something was deleted: show what is left of the conversation, where the reader is."""
        if thread is None or not conversation:
            return gr.skip()  # type: ignore[no-any-return]
        fresh = self._opened(thread)
        turns = fresh[self._parts.conversation]
        if shown is not None and shown.turn < len(turns):
            fresh[self._parts.shown] = shown = replace(shown, spot=left_of(turns[shown.turn], shown))
            fresh[self._parts.evidence] = self._evidence(turns[shown.turn], shown)
        return fresh

    def edit(self, conversation: Conversation, event: gr.EventData) -> Updates:
        """Put a question that was asked into the field, to be asked again; or leave it."""
        data = data_of(event)
        index = turn_index(data, conversation)
        if data.get("act") == "edit" and index is not None:
            question = conversation[index].question
            return {
                self._parts.question: question,
                self._parts.editing: index,
                self._parts.again: again_html(index, len(conversation)),
            }
        if data.get("act") == "leave":
            return {self._parts.question: "", self._parts.editing: None, self._parts.again: ""}
        return gr.skip()  # type: ignore[no-any-return]

    def suggest(self, event: gr.EventData) -> str:
        """The text of a suggested question."""
        return str(data_of(event).get("question", ""))[:500]

    def act(
        self, conversation: Conversation, shown: Shown | None, thread: int | None, event: gr.EventData
    ) -> Iterator[Updates]:
        """Show the sentence, citation, passage, page or stretch that was clicked; or judge the answer."""
        data = data_of(event)
        index = turn_index(data, conversation)
        if index is not None and data.get("act") in Afterwards.ACTS:
            for turn in self._afterwards.act(data, index, conversation):
                conversation = (*conversation[:index], turn, *conversation[index + 1 :])
                yield self._changed(conversation, thread, index, shown, measuring=turn.measuring)
            return
        try:
            chosen = chosen_of(data, conversation, shown)
        except (KeyError, TypeError, ValueError):
            chosen = None
        if chosen is None:
            yield gr.skip()
            return
        evidence = self._evidence(conversation[chosen.turn], chosen)
        yield {self._parts.shown: chosen, self._parts.evidence: evidence}

    def _changed(
        self,
        conversation: Conversation,
        thread: int | None,
        index: int,
        shown: Shown | None,
        *,
        measuring: bool,
    ) -> Updates:
        updates = {self._parts.past: view_of(conversation, thread), self._parts.conversation: conversation}
        if shown is not None and shown.turn == index:
            evidence = self._evidence(conversation[index], shown, measuring=measuring)
            updates[self._parts.evidence] = evidence
        return updates

    def _evidence(self, turn: Turn, shown: Shown, *, writing: bool = False, measuring: bool = False) -> str:
        return evidence_html(panel_of(self._service, turn, shown, writing=writing, measuring=measuring))


def mode_of(label: str) -> Mode:
    """The mode behind a label of the page; the default for anything else."""
    return next((mode for mode, words in MODES.items() if words == label), "memory")
