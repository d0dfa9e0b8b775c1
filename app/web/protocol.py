"""What the page asks of the service, and the shapes that it shows.

Only names and types: the service in `app` satisfies these without knowing of them, and the tests' double
satisfies them without a model. Answers, reads and stream events are those of `app.answering.answer`.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

from app.answering.answer import Answer, AnswerEvent, Mode, Rect
from app.evidence.citing import Presented
from storage.grants import Viewer
from storage.records import AnswerSource


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


class DocumentListing(Protocol):
    """One page of a collection's documents, what is worked on first; the counts are of all of them."""

    @property
    def documents(self) -> Sequence[DocumentView]: ...
    @property
    def first(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def askable(self) -> int: ...
    @property
    def busy(self) -> int: ...


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
    @property
    def confidence(self) -> float | None: ...


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


class ConversationView(Protocol):
    """A kept conversation. changed_at: Unix seconds. answers: how many are in it."""

    @property
    def id(self) -> int: ...
    @property
    def collection(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def changed_at(self) -> float: ...
    @property
    def answers(self) -> int: ...


class KeptAnswer(Protocol):
    """A kept answer; see `app.answering.conversations.Kept`."""

    @property
    def id(self) -> int: ...
    @property
    def conversation_id(self) -> int: ...
    @property
    def collection(self) -> str: ...
    @property
    def question(self) -> str: ...
    @property
    def mode(self) -> Mode: ...
    @property
    def answer(self) -> Answer: ...
    @property
    def stopped(self) -> bool: ...
    @property
    def remarks(self) -> tuple[str, ...]: ...
    @property
    def beside(self) -> int | None: ...
    @property
    def rating(self) -> int: ...
    @property
    def note(self) -> str: ...
    @property
    def deleted(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def asked_at(self) -> float: ...
    @property
    def sources(self) -> Sequence[AnswerSource]: ...


class Conversations(Protocol):
    """What is kept of questions and answers."""

    def keep(
        self,
        conversation_id: int | None,
        question: str,
        collection: str,
        answer: Answer,
        *,
        mode: Mode,
        max_tokens: int,
        stopped: bool = False,
        remarks: Sequence[str] = (),
        beside: int | None = None,
    ) -> KeptAnswer: ...

    def measured(self, answer_id: int, answer: Answer) -> KeptAnswer: ...

    def rate(self, answer_id: int, rating: int, note: str) -> KeptAnswer: ...

    def answer(self, answer_id: int) -> KeptAnswer: ...

    def history(self, conversation_id: int, before: int | None = None) -> Sequence[tuple[str, str]]: ...

    def answers(self, conversation_id: int) -> Sequence[KeptAnswer]: ...

    def list(
        self, collection: str | None = None, *, text: str | None = None, limit: int = 100
    ) -> Sequence[ConversationView]: ...

    def get(self, conversation_id: int) -> ConversationView: ...

    def rename(self, conversation_id: int, title: str) -> None: ...

    def delete(self, conversation_id: int) -> int: ...


class Vouched(Protocol):
    """Whom a provider names."""

    @property
    def subject(self) -> str: ...
    @property
    def email(self) -> str | None: ...


class Provider(Protocol):
    """Where else one can sign in. Raises SignInFailed."""

    @property
    def name(self) -> str: ...

    def begin(self) -> tuple[str, str]:
        """Where the browser is to go, and the ticket that it keeps."""
        ...

    def finish(self, ticket: str | None, returned: Mapping[str, str]) -> Vouched: ...


class Accounts(Protocol):
    """Who may come in. Raises AttestError, of it SignInFailed where nobody was signed in."""

    def let_in(self, token: str | None) -> Viewer | None:
        """Who asks, by the token of their cookie; None if they have to sign in."""
        ...

    def sign_in(self, name: str, password: str, address: str) -> str:
        """A new token."""
        ...

    def vouched_for(self, subject: str, email: str | None) -> str:
        """A new token for whom a provider vouches."""
        ...

    def sign_out(self, token: str) -> None: ...


class Service(Protocol):
    """Everything that the page can do. Any method may raise AttestError with a message for people."""

    @property
    def accounts(self) -> Accounts: ...

    @property
    def provider(self) -> Provider | None: ...

    def as_user(self, viewer: Viewer) -> Self:
        """The same service as `viewer` may see it."""
        ...

    def report_taken(self, answer_id: int, size: int) -> None:
        """Note that the report of a kept answer leaves."""
        ...

    @property
    def conversations(self) -> Conversations: ...

    def profiles(self) -> Mapping[str, str]:
        """The collections' names, in order, with the kind of their documents."""
        ...

    def add_collection(self, name: str, profile: str) -> CollectionView: ...

    def add_documents(
        self, paths: Sequence[Path], collection: str, profile: str | None = None
    ) -> Sequence[AddedDocument]:
        """Take the files in and return at once. The page deletes its copies afterwards."""
        ...

    def document_listing(self, collection: str, first: int, count: int) -> DocumentListing: ...

    def document(self, document_id: str) -> DocumentView: ...

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

    def needed(
        self, question: str, collection: str, answer: Answer, *, history: Sequence[tuple[str, str]] = ()
    ) -> Answer:
        """The answer with what each citation was needed for; it is scored again without each of them."""
        ...

    def present(self, answer: Answer, collection: str) -> Presented:
        """The answer as people see it: adjacent citations as one, with pin cites."""
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
