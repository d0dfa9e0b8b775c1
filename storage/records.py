"""What goes into the store and comes out of it: frozen values, detached from the database.

Times are Unix seconds (UTC), sizes bytes, page numbers 1-based, character offsets half-open code points
of the page's text. Nothing here knows a table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

Profile = Literal["legal", "medical", "general"]
DocumentStatus = Literal["queued", "reading", "answerable", "ready", "partial", "failed", "cancelled"]
JobKind = Literal["ingest", "memories"]
JobStatus = Literal["queued", "running", "done", "failed", "cancelled"]
Stage = Literal["waiting", "reading", "chunking", "embedding", "storing", "writing"]
Standing = Literal["working", "askable", "failed", "warned"]
Order = Literal["added", "name", "size", "pages", "state"]

PROFILES: tuple[Profile, ...] = get_args(Profile)
SEARCHABLE: tuple[DocumentStatus, ...] = ("answerable", "ready", "partial")
FINISHED: tuple[DocumentStatus, ...] = ("ready", "partial", "failed", "cancelled")

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class CollectionRow:
    """documents, references, memories: counts; memories of the bank asked for, or of the fullest one."""

    id: int
    name: str
    profile: Profile
    created_at: float
    documents: int = 0
    references: int = 0
    memories: int = 0


@dataclass(frozen=True)
class Wanted:
    """Which documents of a collection, and in which order.

    text: must occur in the name or title. standing: None for all; failed takes in those that were cancelled.
    order: added (worked on first, then the newest), name (A to Z), size and pages (the largest first), state
        (failed, worked on, partial, the others). turned: the other way round.
    """

    text: str = ""
    standing: Standing | None = None
    order: Order = "added"
    turned: bool = False


@dataclass(frozen=True)
class DocumentWarning:
    """page: None where the warning is about the whole document."""

    page: int | None
    message: str


@dataclass(frozen=True)
class JobReason:
    """Why one attempt at a job came to nothing. at: when that was noticed."""

    at: float
    message: str


@dataclass(frozen=True)
class JobRow:
    """One piece of work on one document.

    done, total: progress (references while memories are written, else pages); total is 0 until known.
    reasons: why attempts came to nothing, the oldest first; the last of them only.
    memories: whether an ingest is to be followed by writing all memories; without, each is written when it
        is first needed.
    attempts: how often a worker took it since something was last kept, and did not give it back.
    lease_until: None unless running.
    """

    id: int
    kind: JobKind
    document_id: str
    collection_id: int | None
    path: str
    memories: bool
    status: JobStatus
    stage: Stage
    done: int
    total: int
    error: str | None
    reasons: tuple[JobReason, ...]
    attempts: int
    priority: int
    owner: str | None
    lease_until: float | None
    cancel_requested: bool
    created_at: float
    started_at: float | None
    finished_at: float | None


@dataclass(frozen=True)
class SourceRow:
    """A path at which a document was found, in one collection.

    version: 1 for what was found there first. gone_at: when it was noticed that no file is there any more.
    replaces: the version before it. superseded_by: the newest version there, if that is a later one that can
        be searched.
    """

    collection: str
    path: str
    version: int
    seen_at: float
    gone_at: float | None
    replaces: str | None
    superseded_by: str | None


@dataclass(frozen=True)
class VersionRow:
    """One version of what was found at a path. superseded_by: as in `SourceRow`."""

    document_id: str
    collection: str
    path: str
    version: int
    status: DocumentStatus
    superseded_by: str | None


@dataclass(frozen=True)
class FoundFile:
    """What was found last at a path. mtime_ns, size: the file's before it was read."""

    document_id: str
    mtime_ns: int
    size: int
    gone_at: float | None
    status: DocumentStatus
    unreadable_by: str | None


@dataclass(frozen=True)
class DocumentRow:
    """A document and how far it is.

    reference_count: references stored. memory_count: memories in the bank asked for, or in the fullest one.
    sources: where it was found, the latest first; empty if it was handed in without a lasting path.
    job: the newest queued or running job, else None.
    unreadable_by: the readers that found the content itself unreadable, else None.
    """

    id: str
    sha256: str
    name: str
    media_type: str | None
    bytes: int
    title: str | None
    page_count: int | None
    status: DocumentStatus
    error: str | None
    warnings: tuple[DocumentWarning, ...]
    reference_count: int
    memory_count: int
    collections: tuple[str, ...]
    job: JobRow | None
    created_at: float
    finished_at: float | None
    unreadable_by: str | None
    sources: tuple[SourceRow, ...] = ()

    def superseded_by(self, collection: str | None = None) -> str | None:
        """The newer version, if this is an older one wherever it was found (in that collection)."""
        found = [each for each in self.sources if collection in (None, each.collection)]
        lying = [each for each in found if each.gone_at is None] or found
        if all(each.superseded_by for each in lying):
            return lying[0].superseded_by if lying else None
        return None


@dataclass(frozen=True)
class PageHeading:
    """A heading at code point `start` of its page; level 1 is the outermost."""

    start: int
    level: int
    text: str


@dataclass(frozen=True, eq=False)
class PageRow:
    """One page. width, height: PDF points, None where the format has no pages.

    boxes: (code points of `text`, 4) float32 x0, y0, x1, y1 in points from the top left; NaN rows for
        characters without a box; None where the format has none or they were not asked for.
    confidence: of text recognition, 0..1; None where the text is the document's own.
    margins: stretches of the text that are in no reference (running heads, line numbers), ascending.
    """

    number: int
    label: str
    text: str
    width: float | None = None
    height: float | None = None
    boxes: npt.NDArray[np.float32] | None = None
    headings: tuple[PageHeading, ...] = ()
    confidence: float | None = None
    margins: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """Where the reading of a document goes on.

    page: the last page that is stored with its references; 0 at the start. headings: open behind it.
    """

    page: int = 0
    headings: tuple[PageHeading, ...] = ()


@dataclass(frozen=True)
class Counts:
    """What is stored of a document. words: references in the full-text index."""

    pages: int
    references: int
    words: int


@dataclass(frozen=True)
class Backlog:
    """What active jobs still have to do. jobs: how many.

    tokens: to embed and to write; files that are not read yet count as many as other files of their size have
        held. None if that is not known.
    """

    jobs: int
    tokens: float | None


@dataclass(frozen=True, eq=False)
class NewReference:
    """A reference to be stored.

    token_ids: (header tokens + body tokens,) uint32. token_offsets: (body tokens, 2) uint32, half-open
    code points of the page. vector: (D,) float32, L2-normalised.
    """

    page: int
    start: int
    end: int
    heading_path: tuple[str, ...]
    token_ids: npt.NDArray[np.uint32]
    header_tokens: int
    token_offsets: npt.NDArray[np.uint32]
    vector: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ReferenceRow:
    """A stored reference with its text and where it comes from. Arrays as in `NewReference`."""

    id: int
    document_id: str
    document_name: str
    title: str | None
    page: int
    page_label: str
    start: int
    end: int
    text: str
    heading_path: tuple[str, ...]
    token_ids: npt.NDArray[np.uint32]
    header_tokens: int
    token_offsets: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Receipt:
    """What deleting a document removed.

    rows: database rows of all tables but memories. vectors, memories: how many. files: files unlinked or
    rewritten without it. bytes_freed: the original, page images, memories, and texts, boxes and vectors.
    """

    document_id: str
    rows: int
    vectors: int
    memories: int
    files: int
    bytes_freed: int


@dataclass(frozen=True)
class ConversationRow:
    """A conversation about one collection. owner: whose it is; None if it is the local user's.

    answers: how many are kept, without those that stand beside another for comparison.
    """

    id: int
    collection: str
    owner: str | None
    title: str
    created_at: float
    changed_at: float
    answers: int


@dataclass(frozen=True)
class NewAnswer:
    """An answer to be kept.

    body: everything but the question and the text that the model wrote; it must hold no text of a page and no
        name of a document, and names documents by their index in `documents`.
    remarks: what the reader was told of it, such as that it was answered otherwise than asked.
    beside: the kept answer to the same question that this one is compared with.
    """

    question: str
    text: str
    mode: str
    max_tokens: int
    body: Mapping[str, Any]
    documents: tuple[str, ...] = ()
    stopped: bool = False
    remarks: tuple[str, ...] = ()
    beside: int | None = None


@dataclass(frozen=True)
class AnswerSource:
    """A document that an answer names. After its deletion only `deleted_at` is left."""

    document_id: str | None
    name: str | None
    sha256: str | None
    deleted_at: float | None


@dataclass(frozen=True)
class AnswerRow:
    """A kept answer, as in `NewAnswer`. rating: -1, 0 or 1, with a note of the reader's.

    sources: in the order of the numbers by which `body` names documents.
    """

    id: int
    conversation_id: int
    collection: str
    question: str
    text: str
    mode: str
    max_tokens: int
    body: dict[str, Any]
    sources: tuple[AnswerSource, ...]
    stopped: bool
    remarks: tuple[str, ...]
    beside: int | None
    rating: int
    note: str
    created_at: float


@dataclass(frozen=True)
class Hit:
    """A reference found. score: of both searches together, see `storage.search`; ranks are 1-based.

    cosine is known for every hit that has a vector, also when only the lexical search ranked it. bm25:
    larger is better.
    """

    reference_id: int
    score: float
    dense_rank: int | None
    lexical_rank: int | None
    cosine: float | None
    bm25: float | None


@dataclass(frozen=True)
class BankStatus:
    """One bank. bytes: of its memories. missing: shards that rows name but the disk does not have."""

    fingerprint_id: str
    fingerprint: dict[str, Any]
    created_at: float
    memories: int
    bytes: int
    shards: int
    missing: int


@dataclass(frozen=True)
class MemoryProblem:
    """What `verify` found wrong with one memory."""

    reference_id: int
    shard: str
    message: str


@dataclass(frozen=True)
class WorkerRow:
    """A worker process as it last reported. tokens: embedded, and written as memories, since it started.

    machine, born, parent, parent_born: what tells whether it, and the process that started it, still live;
        None where that cannot be known.
    """

    id: str
    pid: int
    started_at: float
    heartbeat: float
    machine: str | None
    born: float | None
    parent: int | None
    parent_born: float | None
    tokens: int
