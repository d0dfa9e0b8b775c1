"""Whether another process, perhaps of another machine, is known to be dead. Knows no table.

A process is named by its machine, its number and when it was born, since numbers are used again. What cannot
be known (another machine or container, a process that never said when it was born) counts as alive.
"""

import platform
from functools import cache
from pathlib import Path

import psutil

_SAME_SECONDS = 10.0  # processes see the machine's start, and so births, a little differently


@cache
def this_machine() -> str:
    """This machine since its last start; containers that do not see one another's processes differ."""
    parts = [platform.node()]
    for name in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        path = Path(name)
        if path.is_symlink():
            parts.append(str(path.readlink()))
        elif path.is_file():
            parts.append(path.read_text().strip())
    return " ".join(parts)


def born(pid: int) -> float | None:
    """When a process of this machine was started, in Unix seconds; None if there is none."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def dead(machine: str | None, pid: int | None, birth: float | None) -> bool:
    """Whether that process has certainly ended."""
    if machine != this_machine() or pid is None or birth is None:
        return False
    try:
        process = psutil.Process(pid)
        other = abs(process.create_time() - birth) > _SAME_SECONDS
        return bool(other or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
