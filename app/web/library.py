"""What happens on the left: collections, dropped files, the document list and its live progress.

Methods are Gradio event handlers. What the reader chose is written by the reader's own clicks alone; what
a tab shows is compared with what is so now, see `app.web.showing`.
"""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from app.errors import AttestError
from app.web.dialogs import ingest_html
from app.web.documents import added_html, notice_html
from app.web.events import data_of, session_of
from app.web.ordering import Listing, Ordering, Outcome
from app.web.protocol import Service
from app.web.scope import Scope, scope_html
from app.web.showing import TEXTS, Showing, Shown
from app.web.uploads import named_files

PROFILES = {"Legal": "legal", "Medical": "medical", "General": "general"}
MANY_FILES = 20  # from here on, or from so many bytes, the reader is asked first
MANY_BYTES = 50_000_000

Updates = dict[Any, Any]


@dataclass(frozen=True)
class LibraryParts:
    """The components that the handlers update. removed: what was deleted, or renamed, last.

    listing: what the reader chose. shown: what the tab was sent last, and mark: what it has, see
    `app.web.showing`. scope: the documents that alone are asked, of which `chips` is the HTML.
    """

    collection: gr.Dropdown
    form: gr.Column
    name: gr.Textbox
    profile: gr.Radio
    facts: gr.HTML
    selection: gr.HTML
    documents: gr.HTML
    worker: gr.HTML
    notice: gr.HTML
    dialog: gr.HTML
    status: gr.HTML
    welcome: gr.HTML
    chips: gr.HTML
    drop: gr.File
    timer: gr.Timer
    listing: gr.State
    shown: gr.State
    mark: gr.Textbox
    removed: gr.State
    scope: gr.State

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
        self._ordering = Ordering(service)
        self._showing = Showing(service)
        self._picked: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()

    def open(self, request: gr.Request) -> Updates:
        """A tab was opened: choose the first collection and show it."""
        self.leave(request)
        first = next(iter(self._service.profiles()), None)
        return {
            self._parts.form: gr.update(visible=first is None),
            self._parts.listing: Listing(),
            **self._refresh(first, Listing(), Shown(), choose=True),
        }

    def leave(self, request: gr.Request) -> None:
        """A tab was closed."""
        self._picked.pop(session_of(request), None)

    def tick(
        self, collection: str | None, mark: str, listing: Listing, shown: Shown, request: gr.Request
    ) -> Updates:
        """Show what changed since the last tick. What the reader chose is read, and never written."""
        if collection and shown.collections and collection not in shown.collections:
            return gr.skip()  # type: ignore[no-any-return]  # its new name is on the way to the browser
        listing = replace(listing, picked=self._picked.get(session_of(request), ()))
        if mark != shown.mark:
            shown = Shown()
        return self._refresh(collection, listing, shown) or gr.skip()

    def switch(self, collection: str | None, listing: Listing, shown: Shown, request: gr.Request) -> Updates:
        """Another collection was chosen."""
        self.leave(request)
        listing = _fresh(listing)
        return {
            self._parts.listing: listing,
            self._parts.notice: "",
            **self._scoped(()),
            **self._refresh(collection, listing, shown),
        }

    def add_collection(
        self, name: str, profile: str, listing: Listing, shown: Shown, request: gr.Request
    ) -> Updates:
        """Create a collection and go to it."""
        try:
            added = self._service.add_collection(name.strip(), PROFILES.get(profile, "general"))
        except AttestError as problem:
            return {self._parts.notice: notice_html(str(problem), problem=True)}
        self.leave(request)
        listing = _fresh(listing)
        return {
            self._parts.listing: listing,
            self._parts.form: gr.update(visible=False),
            self._parts.name: "",
            self._parts.notice: "",
            **self._scoped(()),
            **self._refresh(added.name, listing, shown, choose=True),
        }

    def add_files(
        self, files: Sequence[str] | None, collection: str | None, listing: Listing, shown: Shown
    ) -> Updates:
        """Files were dropped: hand them over, or ask first if they will take long or much.

        A collection that was made a moment ago is shown before the browser has chosen it.
        """
        collection = collection or shown.collection
        _discard(listing.waiting)  # the reader chose others in place of these
        listing = replace(listing, waiting=(), first=0)
        sizes = {Path(file): Path(file).stat().st_size for file in files or () if Path(file).is_file()}
        asks = ""
        if collection and (len(sizes) >= MANY_FILES or sum(sizes.values()) >= MANY_BYTES):
            asks = ingest_html(self._service.shelves.forecast(_by_name(files or (), sizes)))
            listing = replace(listing, waiting=tuple(files or ()))
        notice = "" if asks else self._taken_in(files or (), collection)
        return {
            self._parts.drop: None,
            self._parts.listing: listing,
            self._parts.notice: notice,
            self._parts.dialog: asks,
            **self._refresh(collection, listing, shown),
        }

    def _taken_in(self, files: Sequence[str], collection: str | None) -> str:
        """Hand files over and delete the browser's copies; what became of them."""
        with named_files(files) as paths:
            if not collection:
                return notice_html("Choose or create a collection first.", problem=True)
            try:
                return added_html(self._service.add_documents(paths, collection)) if paths else ""
            except AttestError as problem:
                return notice_html(str(problem), problem=True)

    def act(
        self,
        collection: str | None,
        listing: Listing,
        shown: Shown,
        scope: Scope,
        event: gr.EventData,
        request: gr.Request,
    ) -> Updates:
        """A click on the left or in a sheet, see `app.web.ordering`.

        What is selected is kept here and not in the session's state, for quick clicks are handled side by
        side and each would only see what was selected before all of them.
        """
        data, session = data_of(event), session_of(request)
        if data.get("act") == "pick":
            with self._lock:
                done = self._done(data, collection, listing, session)
        else:
            done = self._done(data, collection, listing, session)
        return self._updates(done, collection, shown, scope)

    def _done(
        self, data: Mapping[str, Any], collection: str | None, listing: Listing, session: str
    ) -> Outcome:
        before = self._picked.get(session, ())
        done = self._ordering.act(data, collection, replace(listing, picked=before))
        if done.listing.picked != before:
            self._picked[session] = done.listing.picked
        return done

    def _updates(self, done: Outcome, collection: str | None, shown: Shown, scope: Scope) -> Updates:
        listing, notice = done.listing, done.notice
        if done.add:
            notice = self._taken_in(listing.waiting, collection)
        if done.dialog == "":
            _discard(listing.waiting)
            listing = replace(listing, waiting=())
        updates: Updates = {self._parts.notice: notice, self._parts.listing: listing}
        if done.dialog is not None:
            updates[self._parts.dialog] = done.dialog
        if done.touched:
            updates[self._parts.removed] = done.touched
        left = tuple(each for each in scope if each[0] not in done.touched)
        if done.renamed is not None:
            left = tuple(done.renamed if each[0] == done.renamed[0] else each for each in left)
        if done.scope is not None or left != scope:
            updates |= self._scoped(left if done.scope is None else done.scope)
        goes = done.collection is not None and done.collection != collection
        return updates | self._refresh(done.collection or collection, listing, shown, choose=goes)

    def unchoose(self, scope: Scope, event: gr.EventData) -> Updates:
        """A chip was taken away, or all of them."""
        gone = data_of(event).get("document")
        return self._scoped(tuple(each for each in scope if gone is not None and each[0] != gone))

    def _scoped(self, scope: Scope) -> Updates:
        return {self._parts.scope: scope, self._parts.chips: scope_html(scope)}

    def _refresh(
        self, collection: str | None, listing: Listing, shown: Shown, *, choose: bool = False
    ) -> Updates:
        """What a tab that was sent `shown` last has to be sent; nothing if it shows what is so."""
        profiles = self._service.profiles()
        if collection not in profiles:
            collection = next(iter(profiles), None)
            choose = True
        now = self._showing.now(collection, profiles, listing)
        changed = now.changed(shown)
        if not changed and not choose:
            return {}
        updates: Updates = {self._parts.shown: now, self._parts.mark: now.mark}
        updates |= {getattr(self._parts, name): getattr(now, name) for name in TEXTS if name in changed}
        if choose:
            updates[self._parts.collection] = gr.update(choices=list(profiles), value=collection)
        elif "collections" in changed:
            updates[self._parts.collection] = gr.update(choices=list(profiles))
        if "seconds" in changed:
            updates[self._parts.timer] = gr.Timer(now.seconds)
        return updates


def _fresh(listing: Listing) -> Listing:
    """For another collection: what was found stays found, what was selected does not."""
    return replace(listing, first=0, confirming=None, picked=())


def _by_name(files: Sequence[str], sizes: dict[Path, int]) -> dict[Path, int]:
    """Sizes by a path that ends as the reader's file does, by which it is judged."""
    return {
        Path(str(index), getattr(file, "original_name", Path(file).name)): sizes[Path(file)]
        for index, file in enumerate(files)
        if Path(file) in sizes
    }


def _discard(files: Sequence[str]) -> None:
    """Delete files that the reader does not add after all."""
    for file in files:
        with suppress(OSError):
            Path(file).unlink()
