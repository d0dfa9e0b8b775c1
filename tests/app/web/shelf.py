"""Documents and collections of a service without a model: one in every state that the page has words for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.errors import AttestError, NotFound
from app.library.forecast import Forecast
from app.web.documents import PER_PAGE, is_busy
from storage.listing import ALL
from storage.records import SEARCHABLE, Wanted
from tests.app.web.scripted import HOSTILE, LEASE, NOTES, SCHEDULE

if TYPE_CHECKING:
    from tests.app.web.double import DoubleService


@dataclass(frozen=True)
class Collection:
    name: str
    profile: str
    documents: int = 0
    references: int = 0
    memories: int = 0


@dataclass(frozen=True)
class Grant:
    user: str
    role: str


@dataclass(frozen=True)
class Document:
    document_id: str
    name: str
    status: str = "ready"
    stage: str | None = None
    done: int = 0
    total: int = 0
    pages: int = 1
    references: int = 4
    memories: int = 4
    bytes: int = 1000
    warnings: list[tuple[int | None, str]] = field(default_factory=list)
    error: str | None = None
    collection: str = "Contracts"
    texts: tuple[str, ...] = (LEASE,)
    has_image: bool = True
    superseded_by: str | None = None
    version: int | None = None
    added_at: float = 1_700_000_000.0


@dataclass(frozen=True)
class Added:
    path: Path
    document_id: str | None
    status: str
    error: str | None = None


@dataclass(frozen=True)
class Deleted:
    document_id: str
    rows: int
    vectors: int
    memories: int
    files: int
    bytes_freed: int


@dataclass(frozen=True)
class Listing:
    documents: list[Document]
    first: int
    total: int
    askable: int
    busy: int
    matching: int
    failed: int
    references: int


def listing(
    documents: Sequence[Document], first: int = 0, count: int = PER_PAGE, wanted: Wanted = ALL
) -> Listing:
    """A page of documents as the service would give it."""
    order = ordered(documents, wanted)
    first = min(max(first, 0), max(len(order) - 1, 0) // count * count)
    return Listing(
        order[first : first + count],
        first,
        len(documents),
        sum(document.status in SEARCHABLE for document in documents),
        sum(map(is_busy, documents)),
        len(order),
        sum(document.status in ("failed", "cancelled") for document in documents),
        sum(document.references for document in documents),
    )


def ordered(documents: Sequence[Document], wanted: Wanted) -> list[Document]:
    standing = {
        None: lambda each: True,
        "working": is_busy,
        "askable": lambda each: each.status in SEARCHABLE,
        "failed": lambda each: each.status in ("failed", "cancelled"),
        "warned": lambda each: bool(each.warnings),
    }[wanted.standing]
    by = {
        "added": lambda each: not is_busy(each),
        "name": lambda each: each.name.lower(),
        "size": lambda each: -each.bytes,
        "pages": lambda each: -each.pages,
        "state": lambda each: each.status,
    }[wanted.order]
    found = [each for each in documents if standing(each) and wanted.text.lower() in each.name.lower()]
    return sorted(found, key=by, reverse=wanted.turned)


def library() -> dict[str, Document]:
    """One document in every state that the page has words for."""
    documents = [
        Document("lease", "Office lease, Harbour Row.pdf", pages=2, texts=(LEASE, SCHEDULE)),
        Document("notes", "Meeting notes 4 June.txt", texts=(NOTES,), has_image=False, references=1),
        Document(
            "supply",
            "Master supply agreement with all of its schedules and amendments.pdf",
            "answerable",
            "writing",
            120,
            1500,
            340,
            1500,
        ),
        Document("scan", "Scanned deed.pdf", "reading", "reading", 3, 40, 0, 0),
        Document("next", "Side letter.docx", "queued", "waiting"),
        Document("half", "Annexes.pdf", "partial", pages=12, references=61, warnings=[(7, "no text layer")]),
        Document("broken", "Guarantee.pdf", "failed", error="the file is encrypted; add its password"),
        Document("leaflet", "Leaflet.pdf", collection="Medicines", texts=(HOSTILE,), has_image=False),
    ]
    return {document.document_id: document for document in documents}


class DoubleShelves:
    """Works on the double's library; `password` opens what is locked."""

    password = "open sesame"

    def __init__(self, service: "DoubleService") -> None:
        self.service = service
        self.retried: list[str] = []
        self.forecast_of: dict[Path, int] = {}
        self.free = 60_000_000_000

    def matching(self, collection: str, wanted: Wanted) -> list[str]:
        return [each.document_id for each in ordered(self.service.of(collection), wanted)]

    def rename(self, document_id: str, name: str) -> str:
        if not name.strip():
            raise AttestError("a document needs a name")
        self._change(document_id, name=name)
        return name

    def move(self, document_ids: Sequence[str], source: str, target: str) -> int:
        for document_id in document_ids:
            self._change(document_id, collection=target)
        return len(document_ids)

    def retry(self, document_id: str) -> bool:
        if self.service.library[document_id].status not in ("failed", "cancelled"):
            return False
        self.retried.append(document_id)
        self._change(document_id, status="queued", stage="waiting", error=None)
        return True

    def unlock(self, document_id: str, password: str) -> None:
        if password != self.password:
            raise AttestError("not with this password; try another one")
        self.retry(document_id)

    def rename_collection(self, name: str, new: str) -> str:
        if new in self.service.kinds:
            raise AttestError(f"there is a collection {new!r} already; choose another name")
        kinds = {new if key == name else key: kind for key, kind in self.service.kinds.items()}
        self.service.kinds.clear()
        self.service.kinds.update(kinds)
        for each in self.service.of(name):
            self._change(each.document_id, collection=new)
        return new

    def forecast(self, files: Mapping[Path, int]) -> Forecast:
        self.forecast_of = dict(files)
        total = sum(files.values())
        return Forecast(len(files), total, 1200, 9_600_000, 480_000_000, self.free, 5400.0)

    def _change(self, document_id: str, **values: Any) -> None:
        self.service.library[document_id] = replace(self.service.library[document_id], **values)


class DoubleSharing:
    """Who may use each collection; nobody but the local user, until `me` is set, who then owns all."""

    known = ("ann", "bob", "cid")

    def __init__(self) -> None:
        self.me: str | None = None
        self.roles: dict[str, dict[str, str]] = {}

    def list(self, collection: str) -> list[Grant]:
        roles = self.roles.setdefault(collection, {str(self.me): "owner"})
        return [Grant(*each) for each in sorted(roles.items())]

    def grant(self, user: str, collection: str, role: str) -> Grant:
        if user not in self.known:
            raise NotFound(f"there is no user {user!r}")
        self.roles[collection][user] = role
        return Grant(user, role)

    def revoke(self, user: str, collection: str) -> Grant:
        return Grant(user, self.roles[collection].pop(user))
