"""Processes that die, or whose disk fails, at a chosen one of all the moments at which something is written.

Moments are counted before and after each flush, rename, removal, commit and checkpoint, after each piece
that is written to a new file, and around the saving of an index.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy.engine.default import DefaultDialect

from storage import files, residue
from storage.database import Database
from storage.errors import StorageError
from storage.store import Store

DIED = 77
_processes = get_context("forkserver")
_processes.set_forkserver_preload(["tests.storage.test_faults"])

Scenario = Callable[[Store], None]


class _Disk:
    """Counts moments. at: the one at which it fails; 0 for never."""

    def __init__(self, at: int, die: bool) -> None:
        self.at, self.die, self.count = at, die, 0

    def moment(self) -> None:
        self.count += 1
        if self.count == self.at:
            if self.die:
                os._exit(DIED)
            raise OSError(errno.ENOSPC, "no space left on this disk")

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            self.moment()
            result = call(*arguments, **options)
            self.moment()
            return result

        return watched

    def watch(self) -> None:
        """In this process, from now on."""
        import faiss

        for owner, name in (
            (os, "fsync"),
            (os, "replace"),
            (os, "unlink"),
            (os, "rmdir"),
            (DefaultDialect, "do_commit"),
            (Database, "checkpoint"),
            (residue, "overwrite"),
            (faiss, "write_index"),
        ):
            setattr(owner, name, self.around(getattr(owner, name)))
        partial = files.partial

        @contextmanager
        def watched(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
            with partial(folder) as (path, file):
                yield path, _Pieces(file, self)  # type: ignore[misc]

        files.partial = watched


class _Pieces:
    """A file whose every piece reaches the disk before the next moment."""

    def __init__(self, file: BinaryIO, disk: _Disk) -> None:
        self._file, self._disk = file, disk

    def write(self, data: bytes) -> int:
        written = self._file.write(data)
        self._file.flush()
        self._disk.moment()
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _child(home: Path, scenario: Scenario, at: int, die: bool) -> None:
    disk = _Disk(at, die)
    disk.watch()
    try:
        with Store.open(home) as store:
            scenario(store)
    except (OSError, StorageError):
        if not at:
            raise
    home.with_name(f"{home.name}.count").write_text(str(disk.count))


def run(home: Path, scenario: Scenario, at: int = 0, *, die: bool = True) -> int:
    """Run a scenario on a home folder in a process of its own. Returns how many moments it had.

    It fails at moment `at`: the process dies, or else gets an error once and goes on as the code sees fit.
    """
    process = _processes.Process(target=_child, args=(home, scenario, at, die))
    process.start()
    process.join(120)
    assert process.exitcode == (DIED if at and die else 0)
    count = home.with_name(f"{home.name}.count")
    return int(count.read_text()) if count.exists() else 0


def copies(template: Path, folder: Path) -> Iterator[Path]:
    """One copy of a home folder after the other, each gone when the next is asked for."""
    number = 0
    while True:
        number += 1
        home = folder / f"copy{number}"
        shutil.copytree(template, home)
        yield home
        shutil.rmtree(home)
