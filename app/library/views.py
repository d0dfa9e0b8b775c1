"""What the service hands to its faces: documents, pages and states as plain values, apart from the store."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.library.standing import settled_error, settled_status
from storage.records import DocumentRow, SourceRow


@dataclass(frozen=True)
class DocumentView:
    """A document and where its writing stands; see `storage.records.DocumentRow`, `SourceRow` and `JobRow`.

    superseded_by: the newer version, if this is an older one (in the collection that was asked for), which is
        not searched then. version: which one it is, at the path where it was found last.
    recognised: pages whose text was recognised, and with which confidence (0..1); empty in lists.
    added_at: Unix seconds.
    """

    document_id: str
    name: str
    status: str
    stage: str | None
    done: int
    total: int
    pages: int
    references: int
    memories: int
    bytes: int
    warnings: list[tuple[int | None, str]]
    error: str | None
    version: int | None = None
    superseded_by: str | None = None
    sources: Sequence[SourceRow] = ()
    recognised: dict[int, float] = field(default_factory=dict)
    added_at: float = 0.0


@dataclass(frozen=True)
class DocumentListing:
    """One page of a collection's documents; see `storage.listing.DocumentPage`."""

    documents: list[DocumentView]
    first: int
    total: int
    askable: int
    busy: int
    matching: int
    failed: int
    references: int


@dataclass(frozen=True)
class PageView:
    """A page's text and its size in PDF points (0 by 0 where the format has no pages).

    superseded: whether it is of an older version of its document.
    confidence: of text recognition, 0..1; None where the text is the document's own.
    """

    document_id: str
    document_name: str
    page: int
    page_label: str
    page_count: int
    text: str
    width: float
    height: float
    has_image: bool
    superseded: bool = False
    confidence: float | None = None


@dataclass(frozen=True)
class Original:
    """The stored file and the name it came with."""

    path: Path
    name: str


@dataclass(frozen=True)
class EngineStatus:
    ready: bool
    model: str
    backend: str
    quantisation: str
    device: str
    device_reason: str
    message: str
    adapter: str = ""


@dataclass(frozen=True)
class WorkerStatus:
    """tokens_per_second: embedded, and written as memories, over the last seconds, by the workers' own count.

    seconds_left: at that pace, for all that is queued; None while nothing is done, or while too little is
    known of the files that are still to be read.
    """

    alive: bool
    pid: int | None
    tokens_per_second: float | None
    seconds_left: float | None


def document_view(row: DocumentRow, collection: str | None = None) -> DocumentView:
    job = row.job
    return DocumentView(
        row.id,
        row.name,
        settled_status(row),
        job.stage if job else None,
        job.done if job else 0,
        job.total if job else 0,
        row.page_count or 0,
        row.reference_count,
        row.memory_count,
        row.bytes,
        [(warning.page, warning.message) for warning in row.warnings],
        settled_error(row),
        row.sources[0].version if row.sources else None,
        row.superseded_by(collection),
        row.sources,
        added_at=row.created_at,
    )
