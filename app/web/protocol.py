"""What the page asks of the service.

Only names and types: the service in `app` satisfies these without knowing of them, and the tests' double
satisfies them without a model. What is given back has the shapes of `app.web.views`; answers, reads and
stream events are those of `app.answering.answer`.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

from app.answering.answer import Answer, AnswerEvent, Mode, Rect
from app.evidence.citing import Presented
from app.library.forecast import Forecast
from app.web.views import (
    AddedDocument,
    CollectionView,
    ConversationView,
    DocumentListing,
    DocumentView,
    EngineStatus,
    GrantView,
    HealthView,
    KeptAnswer,
    OriginalView,
    PageView,
    Receipt,
    WorkerStatus,
)
from storage.grants import Viewer
from storage.records import Wanted


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

    def branch(self, conversation_id: int, last: int) -> int: ...

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


class Shelves(Protocol):
    """Keeping documents and collections in order; see `app.library.shelves`."""

    def matching(self, collection: str, wanted: Wanted) -> Sequence[str]: ...

    def rename(self, document_id: str, name: str) -> str: ...

    def move(self, document_ids: Sequence[str], source: str, target: str) -> int: ...

    def retry(self, document_id: str) -> bool: ...

    def unlock(self, document_id: str, password: str) -> None: ...

    def rename_collection(self, name: str, new: str) -> str: ...

    def forecast(self, files: Mapping[Path, int]) -> Forecast: ...


class Sharing(Protocol):
    """Letting others into a collection, for its owners; see `app.accounts.sharing`."""

    @property
    def me(self) -> str | None:
        """The user who asks; None for the local one, who has nobody to share with."""
        ...

    def list(self, collection: str) -> Sequence[GrantView]: ...

    def grant(self, user: str, collection: str, role: str) -> GrantView: ...

    def revoke(self, user: str, collection: str) -> GrantView: ...


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

    @property
    def shelves(self) -> Shelves: ...

    @property
    def sharing(self) -> Sharing: ...

    def profiles(self) -> Mapping[str, str]:
        """The collections' names, in order, with the kind of their documents."""
        ...

    def add_collection(self, name: str, profile: str) -> CollectionView: ...

    def add_documents(
        self, paths: Sequence[Path], collection: str, profile: str | None = None
    ) -> Sequence[AddedDocument]:
        """Take the files in and return at once. The page deletes its copies afterwards."""
        ...

    def document_listing(
        self, collection: str, first: int, count: int, wanted: Wanted = ...
    ) -> DocumentListing: ...

    def document(self, document_id: str) -> DocumentView: ...

    def delete_document(self, document_id: str) -> Receipt: ...

    def delete_collection(self, name: str) -> Sequence[Receipt]: ...

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
        documents: Sequence[str] | None = None,
    ) -> Iterator[AnswerEvent]:
        """client: who asks, since people take turns. documents: ask only these.

        Raises MemoryRefused, before any event, where the model cannot read memories and `mode` is "memory".
        """
        ...

    def idle(self) -> bool:
        """Whether nobody waits for an answer."""
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

    def health(self, *, thorough: bool = False) -> HealthView:
        """thorough: every memory is read."""
        ...

    def use_model(self, model: str) -> object:
        """Answer with another one from now on; it is loaded while this returns."""
        ...

    def write_memories(self) -> int:
        """Have those written that the model lacks; of how many documents."""
        ...

    def ratings(self) -> bytes:
        """Rated answers as files that `attest eval` takes, in one archive."""
        ...
