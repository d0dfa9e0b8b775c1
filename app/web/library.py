"""What happens on the left: collections, dropped files, the document list and its live progress.

Methods are Gradio event handlers. What a tab already shows is kept in its session, so that a tick in
which nothing changed sends nothing, and ticks come slowly while nothing is being worked on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from app.errors import AttestError
from app.web.conversation import welcome_html
from app.web.documents import (
    PER_PAGE,
    added_html,
    documents_html,
    notice_html,
    receipt_html,
    status_html,
    worker_html,
)
from app.web.protocol import Service
from app.web.reader import data_of
from app.web.uploads import named_files

PROFILES = {"Legal": "legal", "Medical": "medical", "General": "general"}
BUSY_SECONDS = 1.0
IDLE_SECONDS = 5.0

Updates = dict[Any, Any]


@dataclass(frozen=True)
class Listing:
    """What a tab shows on the left. confirming: the document whose removal is being asked about."""

    first: int = 0
    confirming: str | None = None
    collections: tuple[str, ...] = ()
    documents: str = ""
    worker: str = ""
    status: str = ""
    welcome: str = ""
    seconds: float = BUSY_SECONDS


@dataclass(frozen=True)
class LibraryParts:
    """The components that the handlers update. removed: the document that was deleted last."""

    collection: gr.Dropdown
    form: gr.Column
    name: gr.Textbox
    profile: gr.Radio
    documents: gr.HTML
    worker: gr.HTML
    notice: gr.HTML
    status: gr.HTML
    welcome: gr.HTML
    drop: gr.File
    timer: gr.Timer
    listing: gr.State
    removed: gr.State

    def all(self) -> list[Any]:
        """Outputs of every handler but that of dropped files.

        The drop zone is left out: Gradio makes a component anew when it is an output that is skipped, and
        what `keep_names` did to it would be lost.
        """
        return [getattr(self, name) for name in self.__dataclass_fields__ if name != "drop"]


class Library:
    """Handlers of one page; shared by all its sessions."""

    def __init__(self, service: Service, parts: LibraryParts) -> None:
        self._service = service
        self._parts = parts

    def open(self) -> Updates:
        """A tab was opened: choose the first collection and show it."""
        first = next(iter(self._service.profiles()), None)
        return {
            self._parts.form: gr.update(visible=first is None),
            **self._refresh(first, Listing(), choose=True),
        }

    def tick(self, collection: str | None, listing: Listing) -> Updates:
        """Show what changed since the last tick."""
        return self._refresh(collection, listing) or gr.skip()

    def switch(self, collection: str | None, listing: Listing) -> Updates:
        """Another collection was chosen."""
        clean = replace(listing, first=0, confirming=None)
        return {self._parts.notice: "", **self._refresh(collection, clean)}

    def add_collection(self, name: str, profile: str, listing: Listing) -> Updates:
        """Create a collection and go to it."""
        try:
            added = self._service.add_collection(name.strip(), PROFILES.get(profile, "general"))
        except AttestError as problem:
            return {self._parts.notice: notice_html(str(problem), problem=True)}
        clean = replace(listing, first=0, confirming=None)
        return {
            self._parts.form: gr.update(visible=False),
            self._parts.name: "",
            self._parts.notice: "",
            **self._refresh(added.name, clean, choose=True),
        }

    def add_files(self, files: Sequence[str] | None, collection: str | None, listing: Listing) -> Updates:
        """Files were dropped: hand them over and delete the browser's copies."""
        with named_files(files or []) as paths:
            if not collection:
                notice = notice_html("Choose or create a collection first.", problem=True)
            else:
                try:
                    notice = added_html(self._service.add_documents(paths, collection)) if paths else ""
                except AttestError as problem:
                    notice = notice_html(str(problem), problem=True)
        return {
            self._parts.drop: None,
            self._parts.notice: notice,
            **self._refresh(collection, replace(listing, first=0)),
        }

    def act(self, collection: str | None, listing: Listing, event: gr.EventData) -> Updates:
        """A button in the list: remove (asks first), keep, stop, or turn the page of the list."""
        data = data_of(event)
        act, identity = data.get("act"), str(data.get("document", ""))
        notice, removed = "", None
        try:
            if act == "remove":
                listing = replace(listing, confirming=identity)
            elif act == "keep":
                listing = replace(listing, confirming=None)
            elif act == "remove-now" and identity == listing.confirming:
                listing = replace(listing, confirming=None)
                name = self._service.document(identity).name
                notice = receipt_html(name, self._service.delete_document(identity))
                removed = identity
            elif act == "cancel":
                self._service.cancel_document(identity)
            elif act == "list":
                listing = replace(listing, first=max(_number(data.get("first")), 0))
        except AttestError as problem:
            notice = notice_html(str(problem), problem=True)
        gone = {} if removed is None else {self._parts.removed: removed}
        return {self._parts.notice: notice, **gone, **self._refresh(collection, listing)}

    def _refresh(self, collection: str | None, listing: Listing, *, choose: bool = False) -> Updates:
        profiles = self._service.profiles()
        if collection not in profiles:
            collection = next(iter(profiles), None)
            choose = True
        page = self._service.document_listing(collection, listing.first, PER_PAGE) if collection else None
        busy = page is not None and page.busy > 0
        engine = self._service.engine_status()
        new = replace(
            listing,
            collections=tuple(profiles),
            documents=documents_html(page, confirming=listing.confirming),
            worker=worker_html(self._service.worker_status()) if busy else "",
            status=status_html(engine),
            welcome=welcome_html(
                collection,
                profiles.get(collection or ""),
                askable=page is not None and page.askable > 0,
                empty=page is None or not page.total,
            ),
            seconds=BUSY_SECONDS if busy or not engine.ready else IDLE_SECONDS,
        )
        return self._changes(listing, new, collection, choose=choose)

    def _changes(self, old: Listing, new: Listing, collection: str | None, *, choose: bool) -> Updates:
        if new == old and not choose:
            return {}
        updates: Updates = {self._parts.listing: new}
        if choose:
            updates[self._parts.collection] = gr.update(choices=list(new.collections), value=collection)
        elif new.collections != old.collections:
            updates[self._parts.collection] = gr.update(choices=list(new.collections))
        for name in ("documents", "worker", "status", "welcome"):
            if getattr(new, name) != getattr(old, name):
                updates[getattr(self._parts, name)] = getattr(new, name)
        if new.seconds != old.seconds:
            updates[self._parts.timer] = gr.Timer(new.seconds)
        return updates


def _number(value: Any) -> int:
    return int(value) if str(value).lstrip("-").isdecimal() else 0
