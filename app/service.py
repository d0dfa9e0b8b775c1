"""The one service behind every face: collections, documents, jobs, questions, pages.

Opens the store at once and the models when they are first needed (or in the background, see `warm`).
Lower rooms' errors leave as AttestError.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from app.accounts.accounts import Accounts
from app.accounts.registration import registration
from app.accounts.sharing import Sharing
from app.answering.answer import Answer, AnswerEvent, Mode, Rect
from app.answering.asking import Asker
from app.answering.conversations import Conversations
from app.chosen import Chosen, Workers
from app.errors import AttestError, NotFound, NothingToAsk, for_people
from app.evidence.attribution import passage_rectangles
from app.evidence.citing import Presented, present
from app.library.adding import Added, add_file
from app.library.pace import Pace
from app.library.shelves import Shelves
from app.library.views import (
    DocumentListing,
    DocumentView,
    EngineStatus,
    Original,
    PageView,
    WorkerStatus,
    document_view,
)
from app.models import Models
from app.profiles import profile as known_profile
from app.settings import Settings
from engine.protocol import Embedder, Engine
from ingest.document import DRAWN
from ingest.render import render_page
from storage.grants import LOCAL, Viewer
from storage.listing import ALL
from storage.records import (
    PROFILES,
    SEARCHABLE,
    CollectionRow,
    JobRow,
    Profile,
    Receipt,
    VersionRow,
    Wanted,
)
from storage.store import Store

if TYPE_CHECKING:
    from app.accounts.provider import Provider
    from app.health import Health

MOST_VIEWS = 256  # of users, that are kept ready


class Service:
    """Safe to share between threads; one per process and home.

    shared: use the engine of whichever process of this user has it loaded, else be that process. Without it
    the model is loaded here in any case.
    """

    def __init__(self, settings: Settings, *, shared: bool = True) -> None:
        with for_people():
            self._see(Store.open(settings.home))
        self._chosen = Chosen(settings, self.store, shared=shared)
        self.accounts = Accounts(self.store)
        self.provider = self._find_provider()
        self._pace = Pace()
        self._views: OrderedDict[tuple[int | None, str, str], Self] = OrderedDict()
        self._lock = threading.Lock()

    def _find_provider(self) -> "Provider | None":
        registered = registration(self.settings)
        if registered is None:
            return None
        from app.accounts.provider import Provider

        return Provider(registered)

    def _see(self, store: Store) -> None:
        """All that is made of the store, and with it bound to whoever sees it."""
        self.store = store
        self.conversations = Conversations(store)
        self.shelves = Shelves(store)
        self.sharing = Sharing(store)

    def as_user(self, viewer: Viewer) -> Self:
        """The same service as `viewer` may see it. It is not to be closed."""
        if viewer is LOCAL:
            return self
        key = (viewer.user, viewer.name, viewer.through)
        with self._lock:
            if key not in self._views:
                self._views[key] = self._seen_by(viewer)
            self._views.move_to_end(key)
            if len(self._views) > MOST_VIEWS:
                self._views.popitem(last=False)
            return self._views[key]

    def _seen_by(self, viewer: Viewer) -> Self:
        seen = type(self).__new__(type(self))  # not a copy: what `_see` does not bind must not be there
        seen._chosen, seen._pace = self._chosen, self._pace
        seen._see(self.store.seen_by(viewer))
        return seen

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._models.close()
        self.store.close()

    # -- models

    @property
    def settings(self) -> Settings:
        return self._chosen.settings

    @property
    def _models(self) -> Models:
        return self._chosen.models

    def work_with(self, workers: Workers) -> None:
        """From now on these write with the model that is chosen here."""
        self._chosen.workers = workers

    def use_model(self, model: str) -> threading.Thread:
        """Answer with another model from now on and after every later start; loading it goes on in a thread.

        Answers that have begun are finished by the model before, then the workers go over, too. Memories that
        the model lacks are written when they are first read, or by `app.library.upkeep.rebuild`.
        Raises NotAllowed to users, and as `app.chosen.Chosen.exchange`.
        """
        with for_people():
            self.store.viewer.must_be_local()
        with self._lock, for_people():
            return self._chosen.exchange(model)

    def models(self) -> tuple[Engine, Embedder]:
        """The engine and the embedder, loaded on first use. Raises NotReady if they cannot be."""
        return self.engine(), self.embedder()

    def engine(self) -> Engine:
        """Loaded on first use, here or by the process that has it. Raises NotReady."""
        return self._models.engine()

    def embedder(self) -> Embedder:
        """Loaded on first use. Raises NotReady."""
        return self._models.embedder()

    def asker(self) -> Asker:
        return self._models.asker(self.store)

    def warm(self) -> threading.Thread:
        """Load the models in the background; `engine_status` says how that goes.

        Whether this process owns the engine is settled when it returns.
        """
        return self._models.warm()

    def engine_status(self) -> EngineStatus:
        return self._models.status()

    # -- collections and documents

    def collections(self) -> list[CollectionRow]:
        with for_people():
            return self.store.collections.list(self._models.fingerprint())

    def profiles(self) -> dict[str, Profile]:
        """The collections' names, in order, with the kind of their documents."""
        with for_people():
            return self.store.collections.profiles()

    def add_collection(self, name: str, profile: str) -> CollectionRow:
        if not name.strip():
            raise AttestError("a collection needs a name")
        known_profile(profile)
        with for_people():
            return self.store.collections.add(name.strip(), next(p for p in PROFILES if p == profile))

    def have_collection(self, name: str, profile: str | None) -> None:
        """Make a collection unless there is one of that name."""
        with for_people():
            known = self.store.collections.has(name.strip())
        if not known:
            self.add_collection(name, profile or "general")

    def add_documents(
        self,
        paths: Sequence[Path],
        collection: str,
        profile: str | None = None,
        *,
        memories: bool = True,
        stays: bool = False,
        passwords: Sequence[str] = (),
    ) -> list[Added]:
        """Take files in and return at once; the worker does the rest. The collection is made if it is new.

        stays: the files stay at their paths, where other content will be a new version. passwords: tried on
            files that are locked, and forgotten.
        """
        self.have_collection(collection, profile)
        collection = collection.strip()
        with for_people():
            self.store.collections.id_of(collection, "editor")
        return [
            add_file(self.store, path, collection, memories=memories, stays=stays, passwords=passwords)
            for path in paths
        ]

    def documents(self, collection: str | None, limit: int = 1000) -> list[DocumentView]:
        with for_people():
            rows = self.store.documents.list(
                collection, limit=limit, fingerprint_id=self._models.fingerprint()
            )
        return [document_view(row, collection) for row in rows]

    def document_listing(
        self, collection: str, first: int, count: int, wanted: Wanted = ALL
    ) -> DocumentListing:
        with for_people():
            page = self.store.listing.page(collection, first, count, wanted)
            rows = self.store.documents.of_ids(page.ids, self._models.fingerprint())
        views = [document_view(rows[key], collection) for key in page.ids if key in rows]
        sums = (page.total, page.askable, page.busy, page.matching, page.failed, page.references)
        return DocumentListing(views, page.first, *sums)

    def document(self, document_id: str) -> DocumentView:
        with for_people():
            view = document_view(self.store.documents.get(document_id, self._models.fingerprint()))
            return replace(view, recognised=self.store.documents.confidences(document_id))

    def versions(self, document_id: str) -> list[VersionRow]:
        """All versions of what was found where the document was, with itself; oldest first for each path."""
        with for_people():
            self.store.documents.get(document_id)
            return self.store.sources.versions(document_id)

    def delete_document(self, document_id: str) -> Receipt:
        with for_people():
            receipt = self.store.documents.delete(document_id)
        self._models.forget()
        return receipt

    def delete_collection(self, name: str) -> list[Receipt]:
        """With its conversations, and those of its documents that are in no other one."""
        with for_people():
            receipts = self.store.collections.delete(name)
        self._models.forget()
        return receipts

    def cancel_document(self, document_id: str) -> None:
        with for_people():
            job = self.store.documents.get(document_id).job
            if job is not None:
                self.store.jobs.cancel(job.id)

    def original(self, document_id: str) -> Original:
        with for_people():
            row = self.store.documents.get(document_id)
            path = self.store.documents.original(document_id)
            self.store.trail.note("exported", document=document_id, bytes=row.bytes)
            return Original(path, row.name)

    def report_taken(self, answer_id: int, size: int) -> None:
        """Note that the report of a kept answer leaves; size: its bytes."""
        with for_people():
            self.store.trail.note("exported", answer=answer_id, bytes=size)

    # -- questions

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
        evidence: bool = False,
        documents: Sequence[str] | None = None,
        unwritten: Collection[int] = (),
    ) -> Iterator[AnswerEvent]:
        """Stream an answer; `client` is who asks, since clients take turns. evidence: with `needed` measured.

        documents: ask only these of the collection, older versions among them too. unwritten: of an answer
        that is asked for again. Raises NothingToAsk, NotReady, MemoryRefused or AttestError.
        """
        if not question.strip():
            raise AttestError("the question is empty")
        if mode != "none":
            self._check_askable(collection)
            self._check_chosen(collection, documents)
        with for_people():
            if self.store.viewer.user is not None or self.store.collections.has(collection):
                self.store.trail.note(
                    "asked",
                    collection=self.store.collections.id_of(collection),
                    mode=mode,
                    characters=len(question),
                )
        models = self._models
        with models.answering(), for_people():
            stream = models.asker(self.store).ask(
                question,
                collection,
                mode=mode,
                history=history,
                max_tokens=max_tokens,
                stop=stop,
                client=client,
                evidence=evidence,
                documents=documents,
                unwritten=unwritten,
            )
            with closing(stream):  # type: ignore[type-var]  # it is a generator
                yield from stream

    def idle(self) -> bool:
        """Whether nobody waits for an answer here, so that there is time for what nobody asked for yet."""
        return self._models.idle

    def needed(
        self, question: str, collection: str, answer: Answer, *, history: Sequence[tuple[str, str]] = ()
    ) -> Answer:
        """An answer that was given, with `needed` of its citations and sentences measured; as it is if it
        read no memories. References that were deleted since are missing from what it reads. Raises NotReady
        or AttestError.
        """
        models = self._models
        with models.answering(), for_people():
            return models.asker(self.store).needed(question, collection, answer, history=history)

    def present(self, answer: Answer, collection: str) -> Presented:
        """The answer as people see it: adjacent citations as one, with pin cites in the collection's form."""
        with for_people():
            profile = self.store.collections.profiles().get(collection, "general")
            return present(self.store, answer, profile)

    def _check_askable(self, collection: str) -> None:
        with for_people():
            page = self.store.listing.page(collection, 0, 1)
        if not page.total:
            raise NothingToAsk(
                f"collection {collection!r} is empty: add documents with `attest ingest` or drop them in"
            )
        if not page.askable:
            raise NothingToAsk(
                f"no document of collection {collection!r} can be asked yet: {page.busy} of "
                f"{page.total} are still being read; try again in a moment"
                if page.busy
                else f"no document of collection {collection!r} could be read; see `attest documents list`"
            )

    def _check_chosen(self, collection: str, documents: Sequence[str] | None) -> None:
        """Raises NotFound if one of them is not in the collection, NothingToAsk if none can be asked."""
        if documents is None:
            return
        with for_people():
            rows = self.store.documents.of_ids(documents)
        for document_id in documents:
            if document_id not in rows or collection not in rows[document_id].collections:
                raise NotFound(f"there is no document {document_id} in collection {collection!r}")
        if not any(row.status in SEARCHABLE for row in rows.values()):
            raise NothingToAsk("none of the chosen documents can be asked yet; see how far they are")

    # -- pages

    def page_view(self, document_id: str, page: int) -> PageView:
        with for_people():
            document = self.store.documents.get(document_id)
            row = self.store.documents.page(document_id, page)
            self.store.trail.note("page read", document=document_id, page=page, as_picture=False)
        return PageView(
            document_id,
            document.name,
            page,
            row.label,
            document.page_count or 0,
            row.text,
            row.width or 0.0,
            row.height or 0.0,
            has_image=document.media_type in DRAWN,
            superseded=document.superseded_by() is not None,
            confidence=row.confidence,
        )

    def page_png(self, document_id: str, page: int, width_px: int) -> bytes:
        """The page's picture, drawn once and kept until the document is deleted."""
        with for_people():
            picture = self.store.images.path(document_id, page, width_px)
            if picture.is_file():
                self.store.trail.note("page read", document=document_id, page=page, as_picture=True)
                return picture.read_bytes()
            self.store.documents.page(document_id, page)
            png = render_page(self.store.documents.readable(document_id), page, width_px)
            self.store.images.keep(document_id, page, width_px, png)
            self.store.trail.note("page read", document=document_id, page=page, as_picture=True)
        return png

    def rectangles(self, document_id: str, page: int, spans: Sequence[tuple[int, int]]) -> list[list[Rect]]:
        with for_people():
            found = passage_rectangles(self.store, document_id, page, spans)
        return [each or [] for each in found]

    # -- the worker

    def worker_status(self) -> WorkerStatus:
        with for_people():
            workers = self.store.workers.alive()
            backlog = self.store.jobs.backlog()
        pace = self._pace.tokens_per_second(workers)
        left = backlog.tokens / pace if pace and backlog.tokens is not None else None
        return WorkerStatus(bool(workers), workers[0].pid if workers else None, pace, left)

    # -- how it all stands

    def health(self, *, thorough: bool = False) -> "Health":
        """What runs here and how well. thorough: every memory is read, which takes its time."""
        from app.health import health_of

        return health_of(self, thorough=thorough)

    def write_memories(self) -> int:
        """Have the memories written that the model lacks; of how many documents. Raises as `rebuild`."""
        from app.library.upkeep import rebuild

        with for_people():
            self.store.viewer.must_be_local()
        return rebuild(self).queued

    def ratings(self) -> bytes:
        """Rated answers as two files that `attest eval` takes, in one archive."""
        from app.measuring.rated import rated_set, zipped

        return zipped(rated_set(self.store, self.conversations.rated()))

    def jobs(self, limit: int = 100) -> list[JobRow]:
        with for_people():
            return self.store.jobs.list(limit=limit)
