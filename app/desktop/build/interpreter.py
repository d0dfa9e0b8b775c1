"""The running interpreter, its standard library and the libraries it was linked with, in another place.

A Python that was built into a place of its own names that place in its binaries (RUNPATH); the name is
overwritten by one that is relative to the binary. A Python of the distribution has none: it is copied as it
is, and takes its libraries from the machine it runs on.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from app.errors import AttestError

# The C library and what belongs to it come from the machine; terminals and Tk are not used.
OF_THE_SYSTEM = re.compile(
    r"lib(c|m|dl|rt|pthread|resolv|util|nsl|crypt|tirpc|X\w+|xcb|tcl.*|tk.*|ncursesw|panelw|tinfo|readline|"
    r"gssapi_krb5|krb5|krb5support|k5crypto|com_err|keyutils|fontconfig|freetype)[-.\d]*\.so"
)
UNUSED = (
    "site-packages",
    "dist-packages",
    "test",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
)
RUNPATH = re.compile(r"\(R(?:UN)?PATH\).*\[([^]]+)\]")


def copy(prefix: Path) -> Path:
    """Copy into `prefix` (bin, lib); the interpreter there. Raises AttestError if it could not run there."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    program, library = prefix / "bin" / version, prefix / "lib" / version
    program.parent.mkdir(parents=True)
    shutil.copy2(Path(sys.base_prefix) / "bin" / version, program)
    (program.parent / "python3").symlink_to(version)
    leave_out = shutil.ignore_patterns(*UNUSED, "config-*", "__pycache__")
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=leave_out, symlinks=False)
    for file in _needed([program, *(library / "lib-dynload").glob("*.so")]):
        shutil.copy2(file, prefix / "lib" / file.name)
    for binary in (program, *(prefix / "lib").glob("*.so*"), *(library / "lib-dynload").glob("*.so")):
        _look_beside(binary, prefix / "lib")
    return program


def _needed(binaries: list[Path]) -> Iterator[Path]:
    """Shared libraries of the binaries that not every machine has."""
    found = set()
    for binary in binaries:
        listed = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
        found |= set(re.findall(r"^\s*(\S+) => (/\S+)", listed, flags=re.MULTILINE))
    for name, path in sorted(found):
        if not OF_THE_SYSTEM.match(name):
            yield Path(path).with_name(name)


def _look_beside(binary: Path, libraries: Path) -> None:
    """Overwrite the place that the binary names for its libraries by that of `libraries`, seen from it."""
    listed = subprocess.run(["readelf", "-d", binary], capture_output=True, text=True, check=True).stdout
    if (named := RUNPATH.search(listed)) is None:
        return
    depth = len(binary.parent.relative_to(libraries.parent).parts)
    relative = "$ORIGIN" if binary.parent == libraries else "$ORIGIN" + "/.." * depth + "/lib"
    old, new = f"{named[1]}\0".encode(), f"{relative}\0".encode()
    content = binary.read_bytes()
    if content.count(old) != 1 or len(new) > len(old):
        raise AttestError(
            f"{binary.name} names {named[1]} in a way that cannot be changed; use another Python"
        )
    binary.chmod(0o755)
    binary.write_bytes(content.replace(old, new.ljust(len(old), b"\0")))
