"""The store as everyone else sees it: one home folder, its parts, opened and closed together.

    attest.db            rows (SQLite)          originals/   files as given, by content
    bank/<fingerprint>/  memories in shards     vectors/     copies of vectors for quick starts
    pages/               page images; the app writes them, a delete removes them
    backups/             the database before a migration, until the next delete

Several processes may open one home at the same time. Nothing here knows a language model.
"""

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from storage import files
from storage.bank import Banks
from storage.collections import Collections
from storage.database import Database
from storage.documents import Documents
from storage.jobs import Jobs
from storage.listing import Listing
from storage.originals import Originals
from storage.pages import Pages
from storage.references import References
from storage.removal import Remover
from storage.search import Search
from storage.upgrade import upgrade
from storage.workers import Workers


class Store:
    """Everything kept, by part. Safe to share between threads; open one per process."""

    def __init__(self, home: Path, database: Database) -> None:
        self.home = home
        self._database = database
        originals = Originals(home / "originals")
        self._remover = Remover(database, home, originals)
        self.pages = Pages(database)
        self.collections = Collections(database, self._remover)
        self.documents = Documents(database, originals, self.pages, self._remover)
        self.listing = Listing(database)
        self.references = References(database, self._remover)
        self.banks = Banks(database, home / "bank")
        self.jobs = Jobs(database)
        self.workers = Workers(database)
        self._searches: dict[tuple[str, int], Search] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, home: Path) -> Self:
        """Open a home folder, made if it is not there, with its schema brought up to date.

        Raises StoreUnavailable: SchemaTooNew, StoreDamaged, StoreReadOnly, StoreBusy, DiskFull.
        """
        with files.in_our_words("the home folder"):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)  # documents are confidential
            for name in ("originals", "bank", "vectors", "pages"):
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

    def search(self, embedder_name: str, dimension: int) -> Search:
        """Search with the vectors of one embedder; loaded at the first query, kept until `close`."""
        with self._lock:
            key = (embedder_name, dimension)
            if key not in self._searches:
                self._searches[key] = Search(self._database, self.home / "vectors", embedder_name, dimension)
            return self._searches[key]

    def sweep(self, older_than: float = 3600.0) -> int:
        """Unlink files that nothing names any more, see `storage.removal`. Returns how many."""
        return self._remover.sweep(older_than)

    def close(self) -> None:
        """Save what makes the next start quick, and let go of all files."""
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
