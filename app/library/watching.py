"""`attest ingest --watch`: keeps a collection in step with folders.

Looks into each folder every few seconds, at names and stamps only, which works on network drives, too. A file
is read once two looks in a row find it the same: it is completely written then. One that was found before and
has changed since becomes a new version. One that is missing in two looks is noted as gone, or deleted.

A folder that is away or all at once empty (a drive that is not connected looks like that) is waited for:
nothing is gone then.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import AttestError, for_people
from app.library.folders import Look, Stamp, look_into
from app.library.ingesting import POLL_SECONDS, IngestOptions, Intake, Outcome
from app.service import Service
from ingest.readers.version import readers_version
from storage.errors import DocumentNotFound
from storage.records import FoundFile, Receipt
from storage.sources import path_key

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
SHARE = 0.1  # of the time at most is spent looking, however large a folder is
AGAIN_SECONDS = 60.0  # until a file that could not be taken in is tried again


@dataclass(frozen=True)
class Removed:
    """A file that is gone from its folder. status: gone (its document stays) or deleted, with the receipt."""

    path: str
    document_id: str
    status: str
    receipt: Receipt | None = None


Event = Outcome | Removed


def watch(
    service: Service,
    folders: Sequence[Path],
    stop: threading.Event,
    options: IngestOptions,
    *,
    delete_removed: bool = False,
    every: float = LOOK_SECONDS,
) -> Iterator[Event]:
    """What becomes of the files, until `stop` is set; nothing is lost then. Raises AttestError."""
    for folder in folders:
        if not folder.is_dir():
            raise AttestError(f"{folder} is not a folder that can be watched; give a folder")
    service.have_collection(options.collection, options.profile)
    with Intake(service, options) as intake:
        intake.expect({path: stamp for folder in folders for path, stamp in look_into(folder).files.items()})
        watched = [
            _Folder(
                service,
                Path(os.path.abspath(folder)),
                options.collection,
                intake,
                retry=bool(options.passwords),
            )
            for folder in folders
        ]
        due = 0.0
        while not stop.is_set():
            if time.monotonic() >= due:
                started = time.monotonic()
                for each in watched:
                    yield from each.arrivals(stop)
                for each in watched:  # behind all arrivals: a file that was moved is not gone
                    yield from each.departures(delete_removed)
                due = time.monotonic() + max(every, (time.monotonic() - started) / SHARE)
            yield from intake.finished()
            stop.wait(min(POLL_SECONDS, every))
        if intake.pending:
            log.warning("%d documents are not finished; the next worker goes on", len(intake.pending))


class _Folder:
    """One folder, and what the last looks found in it.

    done: files that were dealt with, as they were then. seen: files that are new or changed, as the last
    look found them. missing: files that were there before the last look. refused: files that could not be
    taken in: why, and when to try again. retry: what could not be read before may be readable now.
    """

    def __init__(
        self,
        service: Service,
        folder: Path,
        collection: str,
        intake: Intake,
        retry: bool,
    ) -> None:
        self._service, self._folder, self._collection = service, folder, collection.strip()
        self._intake, self._retry = intake, retry
        self._look = Look()
        self._done: dict[Path, Stamp] = {}
        self._seen: dict[Path, Stamp] = {}
        self._missing: set[str] = set()
        self._refused: dict[Path, tuple[Stamp, str | None, float]] = {}
        self._said: str | None = None
        with for_people():
            known = service.store.sources.under(self._collection, folder)
        self._known: dict[str, FoundFile] = known  # from earlier calls, until it was looked at
        self._lying = {path for path, file in known.items() if file.gone_at is None}

    def arrivals(self, stop: threading.Event) -> Iterator[Event]:
        """Look once, and take in what is settled."""
        self._look = look_into(self._folder)
        if self._away():
            return
        for path, stamp in self._look.files.items():
            if stop.is_set():
                return
            if self._settled(path, stamp):
                yield from self._take_in(path, stamp)
        self._seen = {
            path: stamp for path, stamp in self._look.files.items() if not self._is_done(path, stamp)
        }

    def departures(self, delete: bool) -> Iterator[Event]:
        """Files that two looks did not find; what lies in a folder that cannot be read now is not judged."""
        if self._said is not None:
            return
        there = {path_key(path) for path in self._look.files}
        hidden = tuple(os.path.join(path_key(folder), "") for folder, _ in self._look.problems)
        missing = {path for path in self._lying - there if not path.startswith(hidden)}
        gone, self._missing = missing & self._missing, missing - self._missing
        self._lying -= gone
        if gone:
            self._done = {path: stamp for path, stamp in self._done.items() if path_key(path) not in gone}
        for path in sorted(gone):
            with for_people():
                found = self._service.store.sources.at(self._collection, path)
            if found is None or found.gone_at is not None:
                continue  # its document was deleted meanwhile, or went along with the renamed file
            if delete:
                yield from self._delete(path)
            else:
                with for_people():
                    self._service.store.sources.mark_gone(self._collection, path)
                yield Removed(path, found.document_id, "gone")

    def _away(self) -> bool:
        look = self._look
        problem = next((reason for folder, reason in look.problems if folder == self._folder), None)
        if problem is not None:
            said = f"{self._folder} cannot be read now ({problem}); its files are waited for"
        elif self._lying and not look.files and not look.problems:
            said = (
                f"{self._folder} is empty now, which a drive that is not connected looks like, too; if its "
                "files were removed on purpose, remove their documents with `attest documents delete`"
            )
        else:
            said = None
        if said is not None and said != self._said:
            log.warning("%s", said)
        self._said = said
        return said is not None

    def _is_done(self, path: Path, stamp: Stamp) -> bool:
        done = self._done.get(path)
        return done is not None and done.same_content(stamp)

    def _settled(self, path: Path, stamp: Stamp) -> bool:
        """Whether a file is to be taken in now."""
        if self._is_done(path, stamp):
            return False
        if path not in self._done:
            known = self._known.pop(path_key(path), None)
            if known is not None and _unchanged(known, stamp, self._retry):
                self._done[path] = stamp
                return False
        refused = self._refused.get(path)
        if refused is not None and refused[0] == stamp and time.monotonic() < refused[2]:
            return False
        return self._seen.get(path) == stamp

    def _take_in(self, path: Path, stamp: Stamp) -> Iterator[Event]:
        outcome = self._intake.take_in(path)
        if outcome is not None and outcome.document_id is None:
            before = self._refused.get(path)
            self._refused[path] = (stamp, outcome.error, time.monotonic() + AGAIN_SECONDS)
            if before is None or before[1] != outcome.error:
                yield outcome
            return
        self._refused.pop(path, None)
        self._done[path] = stamp
        self._lying.add(path_key(path))
        if outcome is not None:
            yield outcome

    def _delete(self, path: str) -> Iterator[Event]:
        with for_people():
            doomed = self._service.store.sources.drop(self._collection, path)
        for document_id in doomed:
            try:
                receipt = self._service.delete_document(document_id)
            except AttestError as error:
                if not isinstance(error.__cause__, DocumentNotFound):
                    raise
                continue
            yield Removed(path, document_id, "deleted", receipt)


def _unchanged(known: FoundFile, stamp: Stamp, retry: bool) -> bool:
    """Whether a file is as it was when it was read, and reading it again would change nothing.

    retry: what could not be read may be readable now.
    """
    same = (known.mtime_ns, known.size) == (stamp.mtime_ns, stamp.size)
    lasting = known.unreadable_by in (None, readers_version())
    ended_well = known.status not in ("failed", "cancelled") or (
        known.unreadable_by is not None and not retry
    )
    return same and known.gone_at is None and lasting and ended_well
