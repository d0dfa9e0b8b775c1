"""Keeping documents and collections in order: names, places, another try, a password, what an ingest takes.

Deleting is the service's own, since it forgets what is in memory as well. Raises AttestError.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from app.errors import AttestError, for_people
from app.library.adding import add_file
from app.library.forecast import Forecast, check, forecast
from storage.records import Wanted
from storage.store import Store

LONGEST_NAME = 200


class Shelves:
    """Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def matching(self, collection: str, wanted: Wanted) -> list[str]:
        """Ids of all documents that are wanted, in order."""
        with for_people():
            return self._store.listing.matching(collection, wanted)

    def rename(self, document_id: str, name: str) -> str:
        """Show a document under another name, which keeps its ending: by that readers know a file of text."""
        name = _name(name, "a document")
        with for_people():
            ending = Path(self._store.documents.get(document_id).name).suffix
            if not name.lower().endswith(ending.lower()):
                name += ending
            self._store.placing.rename(document_id, name)
        return name

    def move(self, document_ids: Sequence[str], source: str, target: str) -> int:
        """Put documents into another collection. Returns how many were in the first one."""
        with for_people():
            return self._store.placing.move(document_ids, source, target)

    def retry(self, document_id: str) -> bool:
        """Queue again what failed or was cancelled of a document. Returns False if nothing was."""
        with for_people():
            self._store.documents.get(document_id)
            for kind in ("ingest", "memories"):
                job = self._store.jobs.newest(document_id, kind)
                if job is not None and job.status in ("failed", "cancelled"):
                    self._store.jobs.retry(job.id)
                    return True
        return False

    def unlock(self, document_id: str, password: str) -> None:
        """Read a locked document with its password, which is kept nowhere."""
        with for_people():
            row = self._store.documents.get(document_id)
            path = self._store.documents.original(document_id)
        if not row.collections:
            raise AttestError(f"{row.name} is in no collection any more; add it again")
        added = add_file(
            self._store, path, row.collections[0], memories=True, stays=False, passwords=[password]
        )
        if added.status != "queued":
            raise AttestError(f"{row.name} is not locked, or not with this password; try another one")

    def rename_collection(self, name: str, new: str) -> str:
        new = _name(new, "a collection")
        if new != name:
            with for_people():
                self._store.collections.rename(name, new)
        return new

    def forecast(self, files: Mapping[Path, int], *, memories: bool = True) -> Forecast:
        """What files of these sizes will take."""
        return forecast(self._store, files, memories=memories)

    def check(self, expected: Forecast) -> None:
        """Raises AttestError if the disk would clearly not do."""
        check(expected, self._store.home)


def _name(name: str, what: str) -> str:
    name = " ".join(name.split())
    if not name:
        raise AttestError(f"{what} needs a name")
    return name[:LONGEST_NAME]
