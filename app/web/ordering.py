"""What a click on the left asks for: select, sort, rename, move, delete, try again, unlock, ask only
these, share a collection.

Knows nothing of Gradio. Clicks come from browsers, so their data may be anything.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from app.errors import AttestError, NotAllowed, NotFound
from app.web import dialogs
from app.web.documents import deleted_html, notice_html, receipt_html
from app.web.finding import wanted_of
from app.web.protocol import Service
from app.web.scope import Scope
from storage.listing import ALL
from storage.records import Wanted

MOST_ASKED = 200  # documents that are chosen to be asked; more are a collection of their own


@dataclass(frozen=True)
class Listing:
    """What the reader of a tab chose on the left.

    confirming: the document whose removal is being asked about. picked: selected documents. waiting: files
    that wait for the reader's word.
    """

    first: int = 0
    wanted: Wanted = ALL
    picked: tuple[str, ...] = ()
    confirming: str | None = None
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """dialog: the sheet to show, "" for none, None for the one that is there.

    touched: documents that were deleted, or a renamed collection: open conversations name them. collection:
    to go to. scope: to be asked from now on, None for what it is. add: the waiting files are to be taken in.
    renamed: a document, and its new name.
    """

    listing: Listing
    notice: str = ""
    dialog: str | None = None
    touched: tuple[str, ...] = ()
    collection: str | None = None
    scope: Scope | None = None
    add: bool = False
    renamed: tuple[str, str] | None = None


class Ordering:
    """Safe to share between sessions."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._acts: dict[str, Callable[[Mapping[str, Any], str, Listing], Outcome]] = {
            "list": self._list,
            "find": self._find,
            "sort": self._find,
            "pick": self._pick,
            "pick-all": self._pick_all,
            "pick-none": lambda data, collection, listing: Outcome(replace(listing, picked=())),
            "remove": lambda data, collection, listing: Outcome(replace(listing, confirming=_id(data))),
            "keep": lambda data, collection, listing: Outcome(replace(listing, confirming=None)),
            "remove-now": self._remove,
            "cancel": self._cancel,
            "retry": self._retry,
            "retry-picked": self._retry,
            "ask": self._ask,
            "ask-picked": self._ask,
            "rename": self._rename,
            "rename-now": self._rename_now,
            "unlock": self._unlock,
            "unlock-now": self._unlock_now,
            "move": self._move,
            "move-now": self._move_now,
            "delete": lambda data, collection, listing: Outcome(
                listing, dialog=dialogs.delete_html(len(listing.picked))
            ),
            "delete-now": self._delete_now,
            "edit-collection": self._edit_collection,
            "rename-collection": self._rename_collection,
            "drop-collection": self._drop_collection,
            "share": self._share,
            "grant-now": self._grant,
            "revoke-now": self._revoke,
            "add-now": lambda data, collection, listing: Outcome(listing, dialog="", add=True),
            "close": lambda data, collection, listing: Outcome(listing, dialog=""),
        }

    def act(self, data: Mapping[str, Any], collection: str | None, listing: Listing) -> Outcome:
        """Do what a click asks for; what goes wrong is said in the notice."""
        act = self._acts.get(str(data.get("act")))
        if act is None or collection is None:
            return Outcome(listing)
        try:
            return act(data, collection, listing)
        except AttestError as problem:
            return Outcome(listing, notice_html(str(problem), problem=True), dialog="")

    def _list(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        first = str(data.get("first", ""))
        return Outcome(replace(listing, first=int(first) if first.isdecimal() else 0))

    def _find(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        wanted = wanted_of(data)
        if data.get("act") == "sort":  # a column's name, which knows nothing of the words
            wanted = replace(listing.wanted, order=wanted.order, turned=wanted.turned)
        return Outcome(replace(listing, first=0, wanted=wanted, confirming=None))

    def _pick(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        picked = _without(listing.picked, [_id(data)])
        return Outcome(replace(listing, picked=(*picked, _id(data)) if data.get("checked") else picked))

    def _pick_all(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        found = self._service.shelves.matching(collection, listing.wanted)
        return Outcome(replace(listing, picked=tuple(found)))

    def _remove(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        identity = _id(data)
        if identity != listing.confirming:
            return Outcome(listing)
        listing = replace(listing, confirming=None, picked=_without(listing.picked, [identity]))
        name = self._service.document(identity).name
        receipt = self._service.delete_document(identity)
        return Outcome(listing, receipt_html(name, receipt), touched=(identity,))

    def _cancel(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        self._service.cancel_document(_id(data))
        return Outcome(listing)

    def _retry(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        wanted = [_id(data)] if data.get("act") == "retry" else listing.picked
        queued = sum(self._service.shelves.retry(each) for each in wanted)
        words = f"{queued:,} of {len(wanted):,} will be tried again." if queued else "Nothing of this failed."
        return Outcome(listing, notice_html(words))

    def _ask(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        wanted = [_id(data)] if data.get("act") == "ask" else list(listing.picked)
        if len(wanted) > MOST_ASKED:
            words = (
                f"At most {MOST_ASKED} documents can be chosen to be asked; move more into a collection "
                "of their own."
            )
            return Outcome(listing, notice_html(words, problem=True))
        scope = tuple((each, self._service.document(each).name) for each in wanted)
        return Outcome(replace(listing, picked=()), scope=scope)

    def _rename(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        name = self._service.document(_id(data)).name
        return Outcome(listing, dialog=dialogs.rename_html(_id(data), name))

    def _rename_now(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        value = str(data.get("value", ""))
        try:
            name = self._service.shelves.rename(_id(data), value)
        except AttestError as problem:
            return Outcome(listing, dialog=dialogs.rename_html(_id(data), value, str(problem)))
        return Outcome(listing, dialog="", renamed=(_id(data), name))

    def _unlock(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        name = self._service.document(_id(data)).name
        return Outcome(listing, dialog=dialogs.unlock_html(_id(data), name))

    def _unlock_now(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        name = self._service.document(_id(data)).name
        try:
            self._service.shelves.unlock(_id(data), str(data.get("value", "")))
        except AttestError as problem:
            return Outcome(listing, dialog=dialogs.unlock_html(_id(data), name, str(problem)))
        return Outcome(listing, notice_html(f"“{name}” is unlocked and is being read."), dialog="")

    def _move(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        others = [name for name in self._service.profiles() if name != collection]
        return Outcome(listing, dialog=dialogs.move_html(len(listing.picked), others))

    def _move_now(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        target = str(data.get("value", ""))
        moved = self._service.shelves.move(listing.picked, collection, target)
        words = notice_html(f"{_count(moved)} moved to “{target}”.")
        return Outcome(replace(listing, picked=(), first=0), words, dialog="", scope=())

    def _delete_now(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        receipts, removed, problems = [], [], ""
        for identity in listing.picked:
            try:
                receipts.append(self._service.delete_document(identity))
                removed.append(identity)
            except AttestError as problem:
                problems = notice_html(str(problem), problem=True)
        left = _without(listing.picked, removed)
        words = deleted_html(f"{_count(len(removed))} removed", receipts) + problems
        return Outcome(replace(listing, picked=left, first=0), words, dialog="", touched=tuple(removed))

    def _edit_collection(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        return Outcome(listing, dialog=self._collection_sheet(collection))

    def _collection_sheet(self, collection: str, name: str | None = None, problem: str = "") -> str:
        count = self._service.document_listing(collection, 0, 1).total
        grants = None
        if self._service.sharing.me is not None:
            with suppress(NotAllowed):  # then who else may use it is not told
                grants = self._service.sharing.list(collection)
        return dialogs.collection_html(collection, count, grants, name=name, problem=problem)

    def _rename_collection(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        value, old = str(data.get("value", "")), _collection(data)
        try:
            name = self._service.shelves.rename_collection(old, value)
        except AttestError as problem:
            return Outcome(listing, dialog=self._collection_sheet(old, value, str(problem)))
        return Outcome(listing, dialog="", touched=(name,), collection=name)

    def _drop_collection(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        gone = _collection(data)
        receipts = self._service.delete_collection(gone)
        words = deleted_html(f"Collection “{gone}” and {_count(len(receipts))} removed", receipts)
        first = next(iter(self._service.profiles()), None)
        fresh = replace(listing, first=0, picked=(), confirming=None)
        removed = tuple(receipt.document_id for receipt in receipts)
        return Outcome(fresh, words, dialog="", touched=removed, collection=first, scope=())

    def _share(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        return Outcome(listing, dialog=self._sharing_sheet(_collection(data)))

    def _grant(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        shared, user, role = _collection(data), str(data.get("user", "")), str(data.get("role", ""))
        try:
            given = self._service.sharing.grant(user[: dialogs.LONGEST_NAME], shared, role)
        except AttestError as problem:
            sheet = self._sharing_sheet(shared, user=user, role=role, problem=str(problem))
            return Outcome(listing, dialog=sheet)
        return self._shared(listing, shared, f"{given.user} is {given.role} of “{shared}” now.")

    def _revoke(self, data: Mapping[str, Any], collection: str, listing: Listing) -> Outcome:
        shared, user = _collection(data), str(data.get("whose", ""))
        try:
            self._service.sharing.revoke(user, shared)
        except AttestError as problem:
            return Outcome(listing, dialog=self._sharing_sheet(shared, problem=str(problem)))
        return self._shared(listing, shared, f"{user} may not use “{shared}” any more.")

    def _shared(self, listing: Listing, collection: str, words: str) -> Outcome:
        """What was done, in the sheet; below it where that was one's own role, with which the sheet goes."""
        try:
            return Outcome(listing, dialog=self._sharing_sheet(collection, done=words))
        except (NotAllowed, NotFound):
            return Outcome(listing, notice_html(words), dialog="")

    def _sharing_sheet(self, collection: str, **said: str) -> str:
        sharing = self._service.sharing
        return dialogs.sharing_html(collection, sharing.list(collection), sharing.me, **said)


def _collection(data: Mapping[str, Any]) -> str:
    """That the sheet is about: the page may have left it meanwhile."""
    return str(data.get("collection", ""))


def _id(data: Mapping[str, Any]) -> str:
    return str(data.get("document", ""))


def _without(picked: Sequence[str], gone: Sequence[str]) -> tuple[str, ...]:
    return tuple(each for each in picked if each not in gone)


def _count(number: int) -> str:
    return f"{number:,} document{'' if number == 1 else 's'}"
