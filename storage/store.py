"""The store as everyone else sees it: one home folder, its parts, opened and closed together.

    attest.db            rows (SQLite)          originals/   files as given, by content
    bank/<fingerprint>/  memories in shards     vectors/     copies of vectors for quick starts
    codebooks/           what the memories of a bank were coded with
    pages/               page images, drawn by the app, kept until a delete
    backups/             the database before a migration, until the next delete

Several processes may open one home at the same time. Whoever opens it sees everything; `seen_by` gives the
same store as one user may see it. Nothing here knows a language model.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from storage import files
from storage.answers import Answers
from storage.audit import Audit, Auditor
from storage.bank import Banks
from storage.checkpoints import Checkpoints
from storage.codebooks import Codebooks
from storage.collections import Collections
from storage.compaction import Compaction, Compactor
from storage.conversations import Conversations
from storage.database import Database
from storage.documents import Documents
from storage.grants import LOCAL, Viewer
from storage.images import PageImages
from storage.jobs import Jobs
from storage.keys import Keys
from storage.listing import Listing
from storage.originals import Originals
from storage.pages import Pages
from storage.placing import Placing
from storage.records import BankStatus
from storage.references import References
from storage.removal import Remover
from storage.search import Search
from storage.sessions import Sessions
from storage.sharing import Sharing
from storage.sources import Sources
from storage.trail import Trail
from storage.upgrade import upgrade
from storage.users import Users
from storage.workers import Workers

Part = TypeVar("Part")


class Store:
    """Everything kept, by part. Safe to share between threads; open one per process."""

    def __init__(self, home: Path, database: Database, viewer: Viewer = LOCAL) -> None:
        self.home = home
        self.viewer = viewer
        self._database = database
        self._originals = originals = Originals(home / "originals")
        self._remover = Remover(database, home, originals)
        self.trail = trail = Trail(database, viewer)
        self.pages = Pages(database, viewer)
        self.sources = Sources(database, viewer)
        self.collections = Collections(database, viewer, trail, self._remover)
        self.documents = Documents(database, viewer, trail, originals, self.pages, self._remover)
        self.listing = Listing(database, viewer)
        self.placing = Placing(database, viewer, trail)
        self.sharing = Sharing(database, viewer, trail)
        self.references = References(database, viewer, self._remover)
        self.images = PageImages(database, viewer, home / "pages")
        self.conversations = Conversations(database, viewer, self._remover)
        self.answers = Answers(database, viewer)
        self.jobs = Jobs(database, viewer)
        self.workers = Workers(database)
        self._checkpoints = Checkpoints(database, self._remover)
        self._banks = Banks(database, home / "bank")
        self._codebooks = Codebooks(home / "codebooks")
        self._keys = Keys(database, trail)
        self._users = Users(database, trail, self._remover)
        self._sessions = Sessions(database)
        self._searches: dict[tuple[str, int], Search] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, home: Path) -> Self:
        """Open a home folder, made if it is not there, with its schema brought up to date.

        Raises StoreUnavailable: SchemaTooNew, StoreDamaged, StoreReadOnly, StoreBusy, DiskFull.
        """
        with files.in_our_words("the home folder"):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)  # documents are confidential
            for name in ("originals", "bank", "codebooks", "vectors", "pages"):
                (home / name).mkdir(mode=0o700, exist_ok=True)
        database = Database(home / "attest.db")
        try:
            upgrade(database)
            store = cls(home, database)
            store._remover.recover()
        except BaseException:
            database.close()
            raise
        return store

    def seen_by(self, viewer: Viewer) -> "Store":
        """The same store as `viewer` may see it, see `storage.grants`. The worker's and the administrator's
        parts refuse: they raise NotAllowed.
        """
        seen = Store(self.home, self._database, viewer)
        seen._searches, seen._lock = self._searches, self._lock
        return seen

    def _local(self, part: Part) -> Part:
        self.viewer.must_be_local()
        return part

    @property
    def checkpoints(self) -> Checkpoints:
        return self._local(self._checkpoints)

    @property
    def banks(self) -> Banks:
        return self._local(self._banks)

    def bank_status(self) -> list[BankStatus]:
        """How large each bank is; figures that tell nothing of what is in it."""
        return self._banks.status()

    @property
    def codebooks(self) -> Codebooks:
        return self._local(self._codebooks)

    @property
    def keys(self) -> Keys:
        return self._local(self._keys)

    @property
    def users(self) -> Users:
        return self._local(self._users)

    @property
    def sessions(self) -> Sessions:
        return self._local(self._sessions)

    def search(self, embedder_name: str, dimension: int) -> Search:
        """Search with the vectors of one embedder; loaded at the first query, kept until `close`."""
        with self._lock:
            key = (embedder_name, dimension)
            if key not in self._searches:
                self._searches[key] = Search(self._database, self.home / "vectors", embedder_name, dimension)
            return self._searches[key].seen_by(self.viewer)

    def sweep(self, older_than: float = 3600.0) -> int:
        """Unlink files that nothing names any more, see `storage.removal`. Returns how many."""
        return self._local(self._remover).sweep(older_than)

    def audit(self, identify: Callable[[Mapping[str, Any]], str] | None = None) -> Audit:
        """Whether everything fits together, see `storage.audit`."""
        self.viewer.must_be_local()
        return Auditor(self._database, self.home, self._originals, identify).audit()

    def compact(self, drop: Sequence[str] = ()) -> Compaction:
        """Give disk back, see `storage.compaction`."""
        self.viewer.must_be_local()
        return Compactor(self._database, self.home, self._remover).compact(drop)

    def close(self) -> None:
        """Save what makes the next start quick, and let go of all files."""
        self.viewer.must_be_local()
        try:
            for search in self._searches.values():
                search.close()
        finally:
            self.banks.release()
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
