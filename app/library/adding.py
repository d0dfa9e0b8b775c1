"""Takes one file into the store, or says in words for people why not. Parsing is the worker's."""

import logging
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.errors import AttestError, for_people
from ingest.errors import UnreadableDocument
from ingest.readers.version import readers_version
from ingest.unlocking import unlock
from storage.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Added:
    """What became of one file that was handed in. status: queued, duplicate or failed.

    document_id: None if the file could not be taken in. It is there for a file that failed because the same
        content was tried before and cannot be read; `error` says why.
    """

    path: Path
    document_id: str | None
    status: str
    error: str | None


def add_file(
    store: Store, path: Path, collection: str, *, memories: bool, stays: bool, passwords: Sequence[str] = ()
) -> Added:
    """Keep a file and queue its ingest, unless the same content is in the store already.

    stays: as in `storage.documents.Documents.add`.
    """
    try:
        _check_readable(path)
        with for_people(), _unlocked(path, passwords) as readable:
            row, created = store.documents.add(
                path,
                collection,
                memories=memories,
                readers=readers_version(),
                stays=stays,
                readable=readable,
            )
    except AttestError as error:
        return Added(path, None, "failed", str(error))
    if row.status == "failed":  # the error names the document, whose name may be another than this file's
        return Added(path, row.id, "failed", (row.error or "").removeprefix(f"{row.name}: ") or None)
    return Added(path, row.id, "queued" if created else "duplicate", None)


@contextmanager
def _unlocked(path: Path, passwords: Sequence[str]) -> Iterator[Path | None]:
    """A copy without encryption for as long as the block lasts; None if it is not needed or not possible."""
    if not passwords:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="attest-") as folder:
        copy = Path(folder) / "unlocked"
        try:
            with copy.open("xb") as file:
                done = unlock(path, passwords, file)
        except UnreadableDocument as error:
            log.warning("%s", error)  # the worker finds the same, and keeps it with the document
            done = False
        yield copy if done else None


def _check_readable(path: Path) -> None:
    """Raises AttestError, which names the whole path: the same name may stand in several folders."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise AttestError(f"{path}: there is no such file or folder; check the path") from None
    except OSError as error:
        raise AttestError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    if not stat.S_ISREG(mode):
        raise AttestError(f"{path}: this is not a file that can be read; give a document or a folder")
    if not os.access(path, os.R_OK):
        raise AttestError(f"{path}: no permission to read this file; change its permissions or copy it")
