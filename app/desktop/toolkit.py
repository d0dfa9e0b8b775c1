"""Whether a window can be opened here, and if not, what is lacking: packages, libraries, a screen.

Asked before anything is started, because Qt ends the process when it cannot go on. On Windows and macOS
pywebview draws the page with what the system has; on Linux with Qt's own Chromium, which needs no GTK.
"""

import ctypes
import importlib.util
import os
import sys
from importlib import metadata
from pathlib import Path

from app.errors import AttestError

LINUX = sys.platform.startswith("linux")
EXTRA = "pip install 'attest-assistant[desktop]' (in a checkout: make install)"
LIBRARIES = (
    "libegl1 libgl1 libgbm1 libglib2.0-0 libdbus-1-3 libfontconfig1 libgssapi-krb5-2 libnss3 libasound2 "
    "libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libxcb-shape0 "
    "libxcb-xkb1 libxkbcommon-x11-0 libxkbfile1 libxcomposite1 libxdamage1 libxrandr2 libxtst6"
)


def obstacle() -> str | None:
    """Why no window can be opened, with what to do; None if nothing is known to be in the way."""
    return lacking_package() or (_on_linux() if LINUX else None)


def version() -> str:
    """What draws the window. Only where nothing is lacking."""
    words = f"pywebview {metadata.version('pywebview')}"
    return f"{words}, Qt WebEngine {metadata.version('PySide6-WebEngine')}" if LINUX else words


def demand() -> None:
    """Raises AttestError if no window can be opened."""
    if reason := obstacle():
        raise AttestError(
            f"no window can be opened: {reason}. `attest serve` shows the same page in a browser"
        )


def lacking_package() -> str | None:
    """The first package of the extra that is not installed, with what to do."""
    wanted = {"webview": "pywebview"}
    if LINUX:
        wanted |= {"qtpy": "QtPy", "PySide6": "PySide6-Essentials"}
    for module, package in wanted.items():
        if importlib.util.find_spec(module) is None:
            return f"{package} is not installed; {EXTRA}"
    if LINUX and importlib.util.find_spec("PySide6.QtWebEngineWidgets") is None:
        return f"PySide6-WebEngine is not installed; {EXTRA}"
    return None


def _on_linux() -> str | None:
    environment = os.environ
    platform = environment.get("QT_QPA_PLATFORM", "")
    if not (platform or environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        return "there is no screen (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    if os.geteuid() == 0 and not environment.get("QTWEBENGINE_DISABLE_SANDBOX"):
        return (
            "the page's sandbox does not work for root; run it as an ordinary user, or give the sandbox up "
            "with QTWEBENGINE_DISABLE_SANDBOX=1"
        )
    if platform in ("", "xcb") and environment.get("DISPLAY"):
        return _lacking_library()
    return None


def _lacking_library() -> str | None:
    """Loads what Qt would end the process over."""
    spec = importlib.util.find_spec("PySide6")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "Qt"
    for name in ("lib/libQt6WebEngineCore.so.6", "plugins/platforms/libqxcb.so"):
        try:
            ctypes.CDLL(str(folder / name))
        except OSError as error:
            return f"{error}; on Debian and Ubuntu: apt install {LIBRARIES}"
    return None
