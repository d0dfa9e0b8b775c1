"""Which failures are held against a file's content, so that it is not read again, and which are not."""

from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.fake import FakeEmbedder, FakeEngine
from ingest import sandbox
from ingest.errors import (
    DamagedFile,
    EmptyFile,
    MissingFile,
    NoPages,
    NoText,
    PasswordRequired,
    PermissionDenied,
    ReaderCrashed,
    ReaderTimeout,
    TooLarge,
    UnsupportedFormat,
)
from ingest.pipeline import Pipeline
from ingest.readers.version import readers_version
from storage.errors import StorageError
from storage.store import Store

OF_THE_CONTENT = (DamagedFile, EmptyFile, NoPages, NoText, PasswordRequired, UnsupportedFormat)
OF_THE_MOMENT = (
    EngineError,
    MissingFile,
    PermissionDenied,
    ReaderCrashed,
    ReaderTimeout,
    StorageError,
    TooLarge,
)


@pytest.mark.parametrize("error", [*OF_THE_CONTENT, *OF_THE_MOMENT])
def test_only_the_contents_own_faults_are_held_against_it(
    store: Store, keep, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    path = keep("a.md", "# Notice\n\nThe tenant gives ninety days notice.")
    pipeline = Pipeline(store, FakeEngine(), FakeEmbedder(), "w")

    def add() -> str:
        document_id = store.documents.add(path, "law", readers=readers_version())[0].id
        while job := store.jobs.claim("w"):
            pipeline.run(job)
        return document_id

    def fail(path: Path) -> None:
        raise error(f"{path.name}: not now")

    with monkeypatch.context() as patched:
        patched.setattr(sandbox, "read", fail)
        document = store.documents.get(add())
    lasting = error in OF_THE_CONTENT
    assert (document.status, document.error) == ("failed", "a.md: not now")
    assert document.unreadable_by == (readers_version() if lasting else None)
    again = store.documents.get(add())
    assert (again.status, again.unreadable_by) == (
        ("failed", readers_version()) if lasting else ("ready", None)
    )
