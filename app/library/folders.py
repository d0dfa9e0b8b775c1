"""The files of a folder, as people mean them: without what programs leave lying about while they work.

Knows names and what the file system says of each file; opens none. Links to folders are not followed, so
that nothing is walked in circles or outside; they are listed.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

# Office's and LibreOffice's owner files, Word's temporary ones, downloads and copies under way, editors'
# backups, what systems put into every folder
LEFT_OUT = re.compile(
    r"\..*|~.*|.*~|.*\.(?:tmp|temp|part|partial|crdownload|download|filepart|swp|swo|lock|lck|laccdb|ldb)"
    r"|thumbs\.db|ehthumbs\.db|desktop\.ini|icon\r",
    re.I | re.S,
)


@dataclass(frozen=True)
class Stamp:
    """What changes when a file is written. Nanoseconds and bytes; all 0 for a link that leads nowhere."""

    mtime_ns: int = 0
    size: int = 0
    ctime_ns: int = 0

    def same_content(self, other: "Stamp") -> bool:
        """Whether nothing was written in between; permissions or links may have changed."""
        return (self.mtime_ns, self.size) == (other.mtime_ns, other.size)


@dataclass
class Look:
    """files: in order, each with its stamp. problems: (folder, why it cannot be read). links: to folders."""

    files: dict[Path, Stamp] = field(default_factory=dict)
    problems: list[tuple[Path, str]] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)


def is_left_out(name: str) -> bool:
    """Whether a file of that name, found in a folder, is none that people mean."""
    return LEFT_OUT.fullmatch(name) is not None


def look_into(folder: Path) -> Look:
    """Every file in `folder` and the folders in it; hidden ones and temporary files left out."""
    found = Look()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            found.problems.append((here, error.strerror or type(error).__name__))
            continue
        folders = []
        for entry in inside:
            path = here / entry.name
            if _is_folder(entry):
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink():
                    found.links.append(path)
                else:
                    folders.append(path)
            elif not is_left_out(entry.name):
                found.files[path] = stamp_of(entry)
        waiting += reversed(folders)
    return found


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads nowhere or in circles
        return False


def stamp_of(entry: "os.DirEntry[str] | Path") -> Stamp:
    """Empty for what is not there."""
    try:
        found = entry.stat()
    except OSError:
        return Stamp()
    return Stamp(found.st_mtime_ns, found.st_size, found.st_ctime_ns)
