"""What SQLite leaves of deleted rows in the database file, and how it is overwritten.

`secure_delete` zeroes what is freed. But when SQLite moves rows to a neighbouring page, the old copies stay
in the unallocated middle of the page they came from, and deleting the rows later does not reach them. Here
that middle is zeroed, page by page, in the file itself (https://www.sqlite.org/fileformat2.html#b_tree_pages).
It is never read by SQLite, so readers may go on meanwhile; the caller keeps writers away.

A process must not close a file of its own while SQLite has it open: POSIX would take SQLite's locks away. So
the file stays open until the last `Database` of this process that uses it is closed.
"""

import os
import threading
from collections import Counter
from pathlib import Path
from typing import BinaryIO

_INTERIOR, _LEAF = (2, 5), (10, 13)
_MAGIC = b"SQLite format 3\0"
_BLOCK_PAGES = 4096
# From here on the number of a next page, with which other pages begin, could look like a b-tree page's type.
_MOST_PAGES = 0x02000000

_lock = threading.Lock()
_users: Counter[str] = Counter()
_files: dict[str, BinaryIO] = {}


def enter(path: Path) -> None:
    """A database is about to be used by this process."""
    with _lock:
        _users[str(path)] += 1


def leave(path: Path) -> None:
    """It is not used any more; its connections are closed."""
    with _lock:
        _users[str(path)] -= 1
        if _users[str(path)] <= 0:
            del _users[str(path)]
            file = _files.pop(str(path), None)
            if file is not None:
                file.close()


def overwrite(path: Path) -> int:
    """Zero the unallocated part of every b-tree page. Returns how many pages held something there.

    For a database that the process has entered, whose write-ahead log is empty and stays so. Raises OSError.
    """
    with _lock:
        file = _files.get(str(path))
        if file is None:
            file = _files[str(path)] = path.open("r+b", buffering=0)
        changed = _overwrite(file)
        if changed:
            os.fsync(file.fileno())
    return changed


def _overwrite(file: BinaryIO) -> int:
    file.seek(0)
    head = file.read(100)
    if len(head) < 100 or not head.startswith(_MAGIC):
        return 0
    size = int.from_bytes(head[16:18], "big")
    size = 65536 if size == 1 else size
    maps = (size - head[20]) // 5 + 1 if any(head[52:56]) else 0  # pages between two pointer maps
    changed = number = 0
    while number < _MOST_PAGES:
        file.seek(number * size)
        block = file.read(_BLOCK_PAGES * size)
        if len(block) < size:
            return changed
        for start in range(0, len(block) - size + 1, size):
            number += 1
            if maps and number >= 2 and (number - 2) % maps == 0:
                continue
            low, high = _unallocated(block, start, size, 100 if number == 1 else 0)
            if low < high and block.count(0, low, high) != high - low:
                file.seek((number - 1) * size + low - start)
                file.write(bytes(high - low))
                changed += 1
    return changed


def _unallocated(block: bytes, start: int, size: int, skip: int) -> tuple[int, int]:
    """[low, high) of the page at `start` that holds neither pointers nor cells; (0, 0) for other pages."""
    at = start + skip
    kind = block[at]
    if kind not in _INTERIOR and kind not in _LEAF:
        return 0, 0
    cells = int.from_bytes(block[at + 3 : at + 5], "big")
    content = int.from_bytes(block[at + 5 : at + 7], "big") or 65536
    low = at + (12 if kind in _INTERIOR else 8) + 2 * cells
    high = start + content
    return (low, high) if low <= high <= start + size else (0, 0)
