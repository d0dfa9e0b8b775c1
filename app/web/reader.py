"""What happens in the middle and on the right: asking, streaming, stopping, and choosing evidence.

Methods are Gradio event handlers: they return updates by component. One stop signal per browser tab is
kept here, because Gradio copies session state and a signal cannot be copied.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from app.answer import DoneEvent, Mode, QueuedEvent, ReadEvent, TokenEvent, TrimmedEvent
from app.errors import AttestError, MemoryRefused
from app.web.conversation import MODES, Conversation, Turn, conversation_html, history, turn_html
from app.web.documents import notice_html
from app.web.evidence import empty_html, evidence_html
from app.web.panel import Shown, first_shown, panel_of
from app.web.protocol import Service
from app.web.reading import Spot

STREAM_SECONDS = 0.06  # at most this often is a growing answer sent to the browser
NO_COLLECTION = "Create a collection and add documents to it first."
UNEXPECTED = (
    "This answer failed for a reason that was not foreseen. The log of the application has the details."
)

Updates = dict[Any, Any]


@dataclass(frozen=True)
class ReaderParts:
    """The components that the handlers update."""

    past: gr.HTML
    live: gr.HTML
    welcome: gr.HTML
    question: gr.Textbox
    ask: gr.Button
    stop: gr.Button
    fresh: gr.Button
    evidence: gr.HTML
    conversation: gr.State
    shown: gr.State

    def all(self) -> list[Any]:
        return [getattr(self, name) for name in self.__dataclass_fields__]


class Reader:
    """Handlers of one page; shared by all its sessions."""

    def __init__(self, service: Service, parts: ReaderParts) -> None:
        self._service = service
        self._parts = parts
        self._stops: dict[str, threading.Event] = {}

    def ask(
        self,
        question: str,
        collection: str | None,
        mode_label: str,
        conversation: Conversation,
        request: gr.Request,
    ) -> Iterator[Updates]:
        """Answer `question`; the last update holds the finished turn."""
        question = question.strip()
        if not question:
            yield gr.skip()
            return
        if not collection:
            yield {self._parts.live: notice_html(NO_COLLECTION, problem=True)}
            return
        turn = Turn(question, collection, mode_of(mode_label))
        stop = threading.Event()
        session = session_of(request)
        self._stops[session] = stop
        try:
            yield self._opening(turn, len(conversation))
            for update in self._stream(turn, conversation, stop, session):
                if isinstance(update, Turn):
                    turn = update
                else:
                    yield update
        finally:
            stop.set()  # also when the browser went away in the middle
            if self._stops.get(session) is stop:
                del self._stops[session]
        yield self._closing(turn, conversation)

    def _stream(
        self, turn: Turn, conversation: Conversation, stop: threading.Event, client: str
    ) -> Iterator[Updates | Turn]:
        index, sent = len(conversation), 0.0
        try:
            for event in self._service.ask(
                turn.question,
                turn.collection,
                mode=turn.mode,
                history=history(conversation, turn.collection),
                stop=stop,
                client=client,
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
        }

    def _closing(self, turn: Turn, conversation: Conversation) -> Updates:
        index = len(conversation)
        conversation = (*conversation, turn)
        shown = first_shown(index, turn)
        return {
            self._parts.past: conversation_html(conversation),
            self._parts.live: "",
            self._parts.conversation: conversation,
            self._parts.shown: shown,
            self._parts.evidence: self._evidence(turn, shown) if turn.reads or turn.answer else empty_html(),
            **self._idle(),
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
            self._parts.evidence: empty_html(),
            self._parts.welcome: gr.update(visible=True),
            self._parts.fresh: gr.update(visible=False),
        }

    def suggest(self, event: gr.EventData) -> str:
        """The text of a suggested question."""
        return str(data_of(event).get("question", ""))[:500]

    def choose(self, conversation: Conversation, shown: Shown | None, event: gr.EventData) -> Updates:
        """Show what was clicked: a citation, a passage, a page or a stretch."""
        try:
            chosen = chosen_of(data_of(event), conversation, shown)
        except (KeyError, TypeError, ValueError):
            chosen = None
        if chosen is None:
            return gr.skip()  # type: ignore[no-any-return]
        turn = conversation[chosen.turn]
        return {self._parts.shown: chosen, self._parts.evidence: self._evidence(turn, chosen)}

    def _evidence(self, turn: Turn, shown: Shown, *, writing: bool = False) -> str:
        return evidence_html(panel_of(self._service, turn, shown, writing=writing))


def chosen_of(data: Mapping[str, Any], conversation: Conversation, shown: Shown | None) -> Shown | None:
    """What a click with `data` (as the browser sent it, so: anything) asks to see; None where nothing.

    Raises KeyError, TypeError or ValueError where `data` is incomplete or not numbers.
    """
    index = int(data["turn"])
    if not 0 <= index < len(conversation):
        return None
    turn = conversation[index]
    stretch = shown.stretch if shown is not None and shown.turn == index else None
    act = data.get("act")
    if act == "citation" and turn.answer is not None:
        number = int(data["n"])
        cited = [citation for citation in turn.answer.citations if citation.n == number]
        spots = [Spot(item.document_id, item.page, item.start, item.end) for item in cited]
        return Shown(index, spots[0], stretch=stretch) if spots else None
    if act == "passage":
        spot = Spot(str(data["document"]), int(data["page"]), int(data["start"]), int(data["end"]))
        read = {
            (item.document_id, item.page, item.start, item.end)
            for stretch_read in turn.reads
            for item in stretch_read.memories
        }
        known = (spot.document_id, spot.page, spot.start, spot.end) in read
        return Shown(index, spot, stretch=stretch) if known else None
    if shown is None or shown.turn != index:
        return None
    if act == "page":
        return replace(shown, page=max(int(data["page"]), 1))
    if act == "stretch":
        return replace(shown, stretch=int(data["stretch"]) if data["stretch"] != "" else None)
    return None


def mode_of(label: str) -> Mode:
    """The mode behind a label of the page; the default for anything else."""
    return next((mode for mode, words in MODES.items() if words == label), "memory")


def session_of(request: gr.Request) -> str:
    """Gradio's name for one browser tab."""
    return str(request.session_hash or "")


def data_of(event: gr.EventData) -> Mapping[str, Any]:
    """What the browser sent with a click; empty where it is not an object."""
    data = event._data
    return data if isinstance(data, dict) else {}
