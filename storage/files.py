"""Files that are there completely or not at all, and operating system errors in our words.

A file is written beside its target under a name that ends in `PARTIAL`, flushed to the disk, and only
then renamed; the folder is flushed too, so that the name survives a power cut.
"""

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from storage.errors import DiskFull, StoreReadOnly, StoreUnavailable

if sys.platform != "win32":
    import fcntl

PARTIAL = ".partial"
_LONG_SECONDS = 3600.0  # no file is being written for so long
_FULL = {errno.ENOSPC, errno.EDQUOT}
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def in_our_words(what: str) -> Iterator[None]:
    """Map OSError to the storage error that says what happened to `what`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(f"no space left on the disk for {what}; free some and try again") from error
        if error.errno in _READ_ONLY:
            raise StoreReadOnly(f"{what} cannot be written; check the home folder's permissions") from error
        raise StoreUnavailable(f"{what}: {error.strerror or type(error).__name__}") from error


@contextmanager
def partial(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file in `folder` to write into, gone at the end of the block unless it was settled.

    Call `complete` when all is written, then `settle`. Other processes can tell that it is being written, see
    `abandoned`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, file = _held(folder)
    try:
        yield path, file
    finally:
        file.close()
        path.unlink(missing_ok=True)


def complete(file: BinaryIO) -> None:
    """Bring what was written to a partial file to the disk."""
    file.flush()
    os.fsync(file.fileno())
    if sys.platform == "win32":  # an open file cannot be renamed there
        file.close()


def abandoned(path: Path) -> bool:
    """Whether the process that wrote this partial file has died; on Windows, whether it must have by now."""
    if sys.platform == "win32":
        return path.stat().st_mtime < time.time() - _LONG_SECONDS
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (FileNotFoundError, BlockingIOError):
        return False
    return True


def _held(folder: Path) -> tuple[Path, BinaryIO]:
    """A new file, locked until it is closed: the system gives the lock back also when we die."""
    while True:
        path = folder / f"{uuid4().hex}{PARTIAL}"
        file = path.open("xb")
        if sys.platform == "win32":
            return path, file
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:  # else a sweep was quicker than the lock
            return path, file
        file.close()


def settle(source: Path, target: Path) -> None:
    """Rename a flushed file to its final name, durably."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    flush_folder(target.parent)


def flush_folder(folder: Path) -> None:
    """Make renames and removals in `folder` survive a power cut."""
    if sys.platform == "win32":  # a folder cannot be opened there; NTFS journals the rename itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> bool:
    """Unlink a file, durably. Returns False if it was not there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    flush_folder(path.parent)
    return True


def size(path: Path) -> int:
    """Bytes of a file, 0 if it is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
