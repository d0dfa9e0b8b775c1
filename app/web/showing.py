"""What a tab shows of the library, and what it has to be sent to show what is so now.

Only what differs is sent. The server remembers what it sent last, but results can reach a browser in another
order than they were made: those of two quick clicks do, and those of a tick, which takes another way. So
what is sent carries a mark, which the tab sends back with its ticks; where it is not the mark of what was
sent last, the tab is sent everything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import count

from app.web.conversation import welcome_html
from app.web.documents import (
    PER_PAGE,
    documents_html,
    facts_html,
    selection_html,
    status_html,
    worker_html,
)
from app.web.ordering import Listing
from app.web.protocol import Service

BUSY_SECONDS = 1.0
IDLE_SECONDS = 5.0
TEXTS = ("documents", "worker", "status", "welcome", "facts", "selection")


@dataclass(frozen=True)
class Shown:
    """What a tab was sent last; None for what is not known. Texts are HTML, seconds those between ticks.

    mark: differs from that of all else that was sent to this tab.
    """

    mark: str = ""
    collections: tuple[str, ...] | None = None
    collection: str | None = None
    documents: str | None = None
    worker: str | None = None
    status: str | None = None
    welcome: str | None = None
    facts: str | None = None
    selection: str | None = None
    seconds: float | None = None

    def changed(self, before: "Shown") -> set[str]:
        """Names of what is not as before, the mark aside."""
        names = (each.name for each in fields(self) if each.name != "mark")
        return {name for name in names if getattr(self, name) != getattr(before, name)}


class Showing:
    """Safe to share between sessions."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._marks = count(1)

    def now(self, collection: str | None, profiles: Mapping[str, str], listing: Listing) -> Shown:
        """What a tab is to show that is at `collection`, one of `profiles`, or at none."""
        profile = profiles.get(collection or "")
        page = None
        if collection:
            page = self._service.document_listing(collection, listing.first, PER_PAGE, listing.wanted)
        busy = page is not None and page.busy > 0
        engine = self._service.engine_status()
        return Shown(
            mark=str(next(self._marks)),
            collections=tuple(profiles),
            collection=collection,
            documents=documents_html(
                page, confirming=listing.confirming, picked=frozenset(listing.picked), wanted=listing.wanted
            ),
            worker=worker_html(self._service.worker_status()) if busy else "",
            status=status_html(engine),
            welcome=welcome_html(
                collection,
                profile,
                askable=page is not None and page.askable > 0,
                empty=page is None or not page.total,
            ),
            facts=facts_html(profile, page),
            selection=selection_html(len(listing.picked), page.matching if page else 0),
            seconds=BUSY_SECONDS if busy or not engine.ready else IDLE_SECONDS,
        )
