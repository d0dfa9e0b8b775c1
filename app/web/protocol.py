"""What the page asks of the service, and the shapes that it shows.

Only names and types: the service in `app` satisfies these without knowing of them, and the tests' double
satisfies them without a model. Answers, reads and stream events are those of `app.answer`.
"""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from app.answer import AnswerEvent, Mode, Rect


class CollectionView(Protocol):
    """A collection and how much is in it."""

    @property
    def name(self) -> str: ...
    @property
    def profile(self) -> str: ...
    @property
    def documents(self) -> int: ...
    @property
    def references(self) -> int: ...
    @property
    def memories(self) -> int: ...


class AddedDocument(Protocol):
    """What became of one file that was handed in: status is queued, duplicate or failed."""

    @property
    def path(self) -> Path: ...
    @property
    def document_id(self) -> str | None: ...
    @property
    def status(self) -> str: ...
    @property
    def error(self) -> str | None: ...


class DocumentView(Protocol):
    """A document and where its writing stands.

    status: queued, reading, answerable, ready, partial, failed or cancelled. stage: waiting, reading,
    chunking, embedding, storing, writing or None. done, total: references while writing, else pages.
    warnings: (page or None, message). superseded_by: the newer version of an older one, not searched then.
    """

    @property
    def document_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def stage(self) -> str | None: ...
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def pages(self) -> int: ...
    @property
    def references(self) -> int: ...
    @property
    def memories(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def warnings(self) -> Sequence[tuple[int | None, str]]: ...
    @property
    def error(self) -> str | None: ...
    @property
    def superseded_by(self) -> str | None: ...


class Receipt(Protocol):
    """What a deletion removed."""

    @property
    def document_id(self) -> str: ...
    @property
    def rows(self) -> int: ...
    @property
    def vectors(self) -> int: ...
    @property
    def memories(self) -> int: ...
    @property
    def files(self) -> int: ...
    @property
    def bytes_freed(self) -> int: ...


class PageView(Protocol):
    """One page: its text, and its size in PDF points where the format has pages (else 0 by 0).

    superseded: whether there is a newer version of the document.
    """

    @property
    def document_id(self) -> str: ...
    @property
    def document_name(self) -> str: ...
    @property
    def page(self) -> int: ...
    @property
    def page_label(self) -> str: ...
    @property
    def page_count(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def width(self) -> float: ...
    @property
    def height(self) -> float: ...
    @property
    def has_image(self) -> bool: ...
    @property
    def superseded(self) -> bool: ...


class OriginalView(Protocol):
    """The stored file and the name it came with."""

    @property
    def path(self) -> Path: ...
    @property
    def name(self) -> str: ...


class EngineStatus(Protocol):
    """What answers, or why it does not yet."""

    @property
    def ready(self) -> bool: ...
    @property
    def model(self) -> str: ...
    @property
    def backend(self) -> str: ...
    @property
    def quantisation(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def device_reason(self) -> str: ...
    @property
    def message(self) -> str: ...


class WorkerStatus(Protocol):
    """The process that writes memories, and its pace where it has one."""

    @property
    def alive(self) -> bool: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def tokens_per_second(self) -> float | None: ...
    @property
    def seconds_left(self) -> float | None: ...


class Service(Protocol):
    """Everything that the page can do. Any method may raise AttestError with a message for people."""

    def collections(self) -> Sequence[CollectionView]: ...

    def add_collection(self, name: str, profile: str) -> CollectionView: ...

    def add_documents(
        self, paths: Sequence[Path], collection: str, profile: str | None = None
    ) -> Sequence[AddedDocument]:
        """Take the files in and return at once. The page deletes its copies afterwards."""
        ...

    def documents(self, collection: str | None) -> Sequence[DocumentView]: ...

    def delete_document(self, document_id: str) -> Receipt: ...

    def cancel_document(self, document_id: str) -> None: ...

    def ask(
        self,
        question: str,
        collection: str,
        *,
        mode: Mode = "memory",
        history: Sequence[tuple[str, str]] = (),
        max_tokens: int = 128,
        stop: threading.Event | None = None,
        client: str = "",
    ) -> Iterator[AnswerEvent]:
        """client: who asks, since people take turns. Raises MemoryRefused, before any event, where the model
        cannot read memories and `mode` is "memory".
        """
        ...

    def page_view(self, document_id: str, page: int) -> PageView: ...

    def page_png(self, document_id: str, page: int, width_px: int) -> bytes: ...

    def rectangles(
        self, document_id: str, page: int, spans: Sequence[tuple[int, int]]
    ) -> Sequence[Sequence[Rect]]:
        """PDF points, origin at the top left, one list for each span; [] where a span has no boxes."""
        ...

    def original(self, document_id: str) -> OriginalView: ...

    def engine_status(self) -> EngineStatus: ...

    def worker_status(self) -> WorkerStatus: ...
