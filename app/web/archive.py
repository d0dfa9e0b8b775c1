"""The list of kept conversations, on the left: found by their words, opened, renamed, deleted.

Methods are Gradio event handlers; the HTML is escaped. Opening one is `app.web.reader`'s.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

import gradio as gr

from app.errors import AttestError
from app.web.documents import notice_html
from app.web.events import data_of
from app.web.protocol import Service
from app.web.reader import Opening
from app.web.views import ConversationView

MOST = 100  # conversations in the list; older ones are found by their words

Updates = dict[Any, Any]


@dataclass(frozen=True)
class ArchiveParts:
    """The components that the handlers update. chosen: the conversation that a click was about."""

    conversations: gr.HTML
    search: gr.Textbox
    form: gr.Column
    title: gr.Textbox
    chosen: gr.State


class Archive:
    """Handlers of one page; shared by all its sessions."""

    def __init__(self, service: Service, parts: ArchiveParts) -> None:
        self._service = service
        self._parts = parts

    def list(self, text: str, thread: int | None = None) -> Updates:
        """The conversations in which `text` occurs, all of them for none."""
        return {self._parts.conversations: self._html(text, thread)}

    def act(self, text: str, thread: int | None, event: gr.EventData) -> Updates:
        """A button of the list: rename (opens a form), remove (asks first), or keep."""
        data = data_of(event)
        act, number = data.get("act"), str(data.get("conversation", ""))
        if not number.isdecimal():
            return {self._parts.conversations: self._html(text, thread)}
        try:
            if act == "rename":
                title = self._service.conversations.get(int(number)).title
                return {
                    self._parts.form: gr.update(visible=True),
                    self._parts.title: title,
                    self._parts.chosen: int(number),
                }
            if act == "forget":
                return {self._parts.conversations: self._html(text, thread, confirming=int(number))}
            if act == "forget-now":
                self._service.conversations.delete(int(number))
        except AttestError as problem:
            html = notice_html(str(problem), problem=True) + self._html(text, thread)
            return {self._parts.conversations: html}
        return {self._parts.conversations: self._html(text, thread)}

    def rename(self, title: str, chosen: int | None, text: str, thread: int | None) -> Updates:
        if chosen is not None:
            with suppress(AttestError):  # deleted meanwhile; the list shows it
                self._service.conversations.rename(chosen, title)
        return {
            self._parts.form: gr.update(visible=False),
            self._parts.conversations: self._html(text, thread),
        }

    def _html(self, text: str, thread: int | None, confirming: int | None = None) -> str:
        found = self._service.conversations.list(text=text.strip() or None, limit=MOST)
        return conversations_html(found, thread, searched=bool(text.strip()), confirming=confirming)


def opening(event: gr.EventData, thread: int | None) -> Opening | None:
    """What a click in the list opens: the chosen conversation, an empty one if the open one is to go."""
    data = data_of(event)
    number = str(data.get("conversation", ""))
    if not number.isdecimal():
        return None
    if data.get("act") == "open":
        return Opening(int(number), time.monotonic_ns())
    gone = data.get("act") == "forget-now" and int(number) == thread
    return Opening(None, time.monotonic_ns()) if gone else None


def opened(event: gr.EventData, thread: int | None) -> Any:
    """`opening`, for the state that it changes; a state that nothing is to change is skipped."""
    return opening(event, thread) or gr.skip()


def conversations_html(
    found: Sequence[ConversationView], thread: int | None, *, searched: bool, confirming: int | None = None
) -> str:
    """The list. thread: the one that is open. confirming: asked to be deleted."""
    if not found:
        words = "No conversation has these words." if searched else "No conversations yet."
        return f'<p class="at-note at-none">{words}</p>'
    items = "".join(_item(each, each.id == thread, each.id == confirming) for each in found)
    more = '<p class="at-note">Older ones are found by their words.</p>' if len(found) == MOST else ""
    return f'<ul class="at-conversations" aria-label="Conversations">{items}</ul>{more}'


def _item(view: ConversationView, current: bool, confirming: bool) -> str:
    title = escape(view.title)
    when = datetime.fromtimestamp(view.changed_at, UTC).astimezone().strftime("%d %b %Y, %H:%M")
    count = f"{view.answers} answer{'' if view.answers == 1 else 's'}"
    here = ' aria-current="true"' if current else ""
    confirm = (
        '<div class="at-confirm" role="group" aria-label="Confirm deletion"><span>Delete this conversation, '
        "its answers and their evidence for good?</span>"
        f'<button type="button" class="at-danger" data-act="forget-now" data-conversation="{view.id}">Delete'
        f'</button><button type="button" class="at-quiet" data-act="stay" data-conversation="{view.id}">Keep'
        "</button></div>"
        if confirming
        else ""
    )
    return (
        f'<li class="at-conversation"><button type="button" class="at-open" data-act="open"'
        f' data-conversation="{view.id}"{here}><span class="at-conversation-title">{title}</span>'
        f'<span class="at-conversation-facts">{escape(view.collection)} · {when} · {count}</span></button>'
        f'<div class="at-conversation-tools"><button type="button" class="at-quiet" data-act="rename"'
        f' data-conversation="{view.id}" aria-label="Rename {title}">Rename</button>'
        f'<button type="button" class="at-quiet" data-act="forget" data-conversation="{view.id}"'
        f' aria-label="Delete {title}">Delete</button></div>{confirm}</li>'
    )
