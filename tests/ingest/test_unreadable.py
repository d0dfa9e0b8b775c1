"""Which failures are held against a file's content, so that it is not read again, and which are not."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError
from engine.fake import FakeEmbedder, FakeEngine
from ingest import parse_main, sandbox
from ingest.errors import (
    DamagedFile,
    DiskFailed,
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
from ingest.media import sniff
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

    def fail(path: Path, **_: object) -> None:
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


def test_a_disk_that_fails_is_not_the_contents_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.txt"
    file.write_text("words")

    def broken(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "open", broken)
    with pytest.raises(DiskFailed, match=r"a\.txt: the disk could not read") as caught:
        sniff(file)
    assert not caught.value.lasting
    assert isinstance(parse_main._failed(file, OSError(errno.EIO, "Input/output error")), DiskFailed)
    assert isinstance(parse_main._failed(file, OSError("cannot identify image")), DamagedFile)
