"""The folder in the form of an AppDir: AppRun, a desktop entry, an icon, and everything under `usr`."""

import shutil
import subprocess
from pathlib import Path

from app.desktop.build import interpreter, packages, qt
from app.desktop.window import ICON
from app.errors import AttestError

NAME = "Attest.AppDir"
APPRUN = """#!/bin/sh
# Attest from the folder that this lies in, wherever that is. Without words: the window.
here=$(dirname "$(readlink -f "$0")")
unset PYTHONHOME PYTHONPATH
export PYTHONNOUSERSITE=1 PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1
if [ $# -eq 0 ]; then set -- desktop; fi
exec "$here/usr/bin/python3" -m app "$@"
"""
ENTRY = """[Desktop Entry]
Type=Application
Name=Attest
Comment=Answers from your own documents, cited to the page
Exec=AppRun
Icon=attest
Categories=Office;
Terminal=false
StartupWMClass=attest
"""


def build(out: Path, fast: bool) -> Path:
    """The new folder in `out`. Raises AttestError if it is there already, or something is missing.

    fast: with the fast engine, compiled for processors like this machine's; it may not run on others.
    """
    folder = out / NAME
    if folder.exists():
        raise AttestError(f"{folder} is there already; remove it or choose another place")
    needed = packages.needed(("desktop", "llamacpp") if fast else ("desktop",))
    program = interpreter.copy(folder / "usr")
    place = folder / "usr" / "lib" / program.name / "site-packages"
    packages.copy(needed, place)
    qt.prune(place / "PySide6")
    run = folder / "AppRun"
    run.write_text(APPRUN, encoding="utf-8")
    run.chmod(0o755)
    (folder / "attest.desktop").write_text(ENTRY, encoding="utf-8")
    shutil.copy2(ICON, folder / "attest.svg")
    (folder / ".DirIcon").symlink_to("attest.svg")
    _compile(program, folder / "usr" / "lib" / program.name)
    return folder


def _compile(program: Path, library: Path) -> None:
    """Bytecode, since whoever runs it may not be allowed to write there. Names no folder of this machine."""
    command = [str(program), "-m", "compileall", "-q", "-s", str(library), "-p", "attest", str(library)]
    # some packages have files for other versions
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
