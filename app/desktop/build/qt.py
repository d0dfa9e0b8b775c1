"""What of PySide6 a window with a page needs. The rest goes, above all Qt's modules under the GPL alone.

Qt says which module needs which library; so from the few that we start with, `ldd` finds the others.
"""

import re
import shutil
import subprocess
from pathlib import Path

_MODULES = """
    QtCore QtGui QtWidgets QtNetwork QtDBus QtOpenGL QtPositioning QtPrintSupport QtQml QtQuick QtQuickWidgets
    QtSvg QtWebChannel QtWebEngineCore QtWebEngineWidgets
"""
_PLUGINS = """
    iconengines imageformats platforms platforminputcontexts platformthemes tls xcbglintegrations
    wayland-decoration-client wayland-graphics-integration-client wayland-shell-integration
"""
MODULES, PLUGINS = _MODULES.split(), _PLUGINS.split()
GPL_ONLY = re.compile(r"VirtualKeyboard|Pdf", re.IGNORECASE)  # plugins of modules that are left out
FOLDERS = ("lib", "libexec", "plugins", "resources", "translations")


def prune(package: Path) -> None:
    """Take out of a copy of the PySide6 package what is not needed."""
    for each in sorted(package.iterdir()):
        name = each.name.partition(".")[0]
        if each.is_dir() and name not in ("Qt", "support"):
            shutil.rmtree(each)
        elif each.is_file() and each.suffix in (".so", ".pyi", "") and name not in MODULES:
            if not name.startswith("libpyside6"):
                each.unlink()
        elif each.suffix == ".pyi":
            each.unlink()
    qt = package / "Qt"
    for each in sorted(qt.iterdir()):
        if each.name not in FOLDERS:
            shutil.rmtree(each) if each.is_dir() else each.unlink()
    for each in sorted((qt / "plugins").iterdir()):
        if each.name not in PLUGINS:
            shutil.rmtree(each)
    for plugin in sorted((qt / "plugins").rglob("*.so")):
        if GPL_ONLY.search(plugin.name):
            plugin.unlink()
    for program in sorted((qt / "libexec").iterdir()):
        if program.name != "QtWebEngineProcess":
            program.unlink()
    _keep_libraries(package, qt / "lib")


def _keep_libraries(package: Path, libraries: Path) -> None:
    roots = [*package.glob("*.so*"), *(package / "Qt" / "plugins").rglob("*.so")]
    roots.append(package / "Qt" / "libexec" / "QtWebEngineProcess")
    kept = set()
    for root in roots:
        listed = subprocess.run(["ldd", root], capture_output=True, text=True, check=True).stdout
        kept |= {Path(path).name for path in re.findall(r"=> (\S+)", listed)}
    for each in sorted(libraries.iterdir()):
        if each.is_file() and each.name not in kept:
            each.unlink()
