"""What pywebview's window lacks on Qt 6: downloads, links that lead elsewhere, its place, keys, a menu.

The page's own links (to a page's picture) open in a second window of the same private profile. Whatever leads
to another origin is handed to the system's browser, and only if it is the web or mail. Names are not looked
up at all: Chromium is told that nothing but the loopback address exists.
"""

import os
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QPoint, QStandardPaths, Qt, QUrl, Signal, Slot
from PySide6.QtGui import QDesktopServices, QIcon, QKeySequence, QShortcut
from PySide6.QtWebEngineCore import (
    QWebEngineDownloadRequest,
    QWebEngineNavigationRequest,
    QWebEnginePage,
    QWebEngineProfile,
    QWebEngineSettings,
)
from PySide6.QtWebEngineWidgets import QWebEngineView
from PySide6.QtWidgets import QApplication, QFileDialog, QMainWindow, QMenu, QMessageBox

from app.desktop.place import Place

OUTSIDE = ("http", "https", "mailto")
OWN = ("data", "about", "blob")  # words of the window itself, and what the page made
FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--no-pings",
    '--host-resolver-rules="MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"',
)
EDITING = (
    QWebEnginePage.WebAction.Cut,
    QWebEnginePage.WebAction.Copy,
    QWebEnginePage.WebAction.Paste,
    QWebEnginePage.WebAction.SelectAll,
)
ZOOMS = (0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)


def application(name: str, icon: Path) -> None:
    """Qt's application, before pywebview makes one without a name."""
    os.environ |= {"QT_API": "pyside6", "PYWEBVIEW_GUI": "qt"}  # what qtpy and pywebview are to take
    os.environ.setdefault("QT_LOGGING_RULES", "js=false")  # what pages say belongs in no log
    flags = os.environ.get("QTWEBENGINE_CHROMIUM_FLAGS", "")
    os.environ["QTWEBENGINE_CHROMIUM_FLAGS"] = " ".join([flags, *FLAGS]).strip()
    made = QApplication([name.lower()])
    made.setApplicationName(name)
    made.setDesktopFileName(name.lower())
    made.setWindowIcon(QIcon(str(icon)))


class Fittings(QObject):
    """Fitted to one window of pywebview, in its thread, before it is shown."""

    _wanted = Signal()

    def __init__(self, browser: Any) -> None:
        """browser: pywebview's `BrowserView`, a QMainWindow around a QWebEngineView."""
        super().__init__(browser)
        self._browser: QMainWindow = browser
        self._view: QWebEngineView = browser.webview
        self._home = QUrl()
        downloads = Path(QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DownloadLocation))
        self._folder = downloads if downloads.is_dir() else Path.home()
        page, profile = self._view.page(), self._view.page().profile()
        page.settings().setAttribute(QWebEngineSettings.WebAttribute.JavascriptCanAccessClipboard, True)
        page.navigationRequested.connect(self._navigate)
        profile.downloadRequested.connect(self._download)
        browser.webview.page().nav_handler = _Elsewhere(profile, self)  # asked about new windows
        self._view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self._view.customContextMenuRequested.connect(self._menu)
        self._wanted.connect(self._come)
        for keys, act in (
            (QKeySequence.StandardKey.Quit, browser.close),
            (QKeySequence.StandardKey.Close, browser.close),
            (QKeySequence.StandardKey.Refresh, self._view.reload),
            (QKeySequence.StandardKey.ZoomIn, lambda: self._zoom(1)),
            (QKeySequence("Ctrl+="), lambda: self._zoom(1)),
            (QKeySequence.StandardKey.ZoomOut, lambda: self._zoom(-1)),
            (QKeySequence("Ctrl+0"), lambda: self._zoom(0)),
        ):
            QShortcut(keys, browser, act)

    def home_is(self, url: str) -> None:
        """The origin whose pages are opened inside."""
        self._home = QUrl(url)

    def bring_forward(self) -> None:
        """From any thread."""
        self._wanted.emit()

    def place(self) -> Place:
        browser = self._browser
        normal = browser.normalGeometry()
        corner = normal.topLeft() if browser.isMaximized() else browser.pos()  # with the frame
        return Place(normal.width(), normal.height(), corner.x(), corner.y(), browser.isMaximized())

    def is_home(self, url: QUrl) -> bool:
        return (url.scheme(), url.host(), url.port()) == (
            self._home.scheme(),
            self._home.host(),
            self._home.port(),
        )

    def show_beside(self, url: QUrl) -> None:
        """One of the page's own links, in a window of its own that closes with ours."""
        beside = QMainWindow(self._browser)
        beside.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        view = QWebEngineView(self._view.page().profile(), beside)
        view.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        view.page().navigationRequested.connect(self._navigate)
        view.setUrl(url)
        beside.setCentralWidget(view)
        beside.setWindowTitle(self._browser.windowTitle())
        beside.resize(self._browser.size() * 0.8)
        for keys in (QKeySequence.StandardKey.Close, QKeySequence("Esc")):
            QShortcut(keys, beside, beside.close)
        beside.show()

    @Slot()
    def _come(self) -> None:
        browser = self._browser
        browser.setWindowState(browser.windowState() & ~Qt.WindowState.WindowMinimized)
        browser.show()
        browser.raise_()
        browser.activateWindow()
        QApplication.alert(browser)  # where the desktop does not let windows raise themselves

    @Slot(QWebEngineNavigationRequest)
    def _navigate(self, request: QWebEngineNavigationRequest) -> None:
        url = request.url()
        if url.scheme() in OWN or self.is_home(url):
            return
        request.reject()
        open_outside(url)

    @Slot(QWebEngineDownloadRequest)
    def _download(self, download: QWebEngineDownloadRequest) -> None:
        proposed = self._folder / Path(download.suggestedFileName()).name
        chosen, _ = QFileDialog.getSaveFileName(self._browser, "Save as", str(proposed))
        if not chosen:
            return
        target = Path(chosen)
        self._folder = target.parent
        download.setDownloadDirectory(str(target.parent))
        download.setDownloadFileName(target.name)
        download.stateChanged.connect(lambda state: self._downloaded(download, state))
        download.accept()

    def _downloaded(
        self, download: QWebEngineDownloadRequest, state: QWebEngineDownloadRequest.DownloadState
    ) -> None:
        if state == QWebEngineDownloadRequest.DownloadState.DownloadInterrupted:
            words = f"{download.downloadFileName()} was not saved: {download.interruptReasonString()}"
            QMessageBox.warning(self._browser, "Attest", words)

    @Slot(QPoint)
    def _menu(self, at: QPoint) -> None:
        menu = QMenu(self._view)
        for action in EDITING:
            menu.addAction(self._view.page().action(action))
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self._view.mapToGlobal(at))

    def _zoom(self, steps: int) -> None:
        now = self._view.zoomFactor()
        nearest = min(range(len(ZOOMS)), key=lambda index: abs(ZOOMS[index] - now))
        step = min(max(nearest + steps, 0), len(ZOOMS) - 1)
        self._view.setZoomFactor(ZOOMS[step] if steps else 1.0)


class _Elsewhere(QWebEnginePage):
    """Asked where a link with a window of its own leads; never loads it itself."""

    def __init__(self, profile: QWebEngineProfile, fittings: Fittings) -> None:
        super().__init__(profile, fittings)
        self._fittings = fittings

    def acceptNavigationRequest(
        self, url: QUrl | str, kind: QWebEnginePage.NavigationType, main_frame: bool
    ) -> bool:
        url = QUrl(url)
        if self._fittings.is_home(url):
            self._fittings.show_beside(url)
        else:
            open_outside(url)
        return False


def open_outside(url: QUrl) -> None:
    """In the system's browser or mail program; other schemes are dropped."""
    if url.scheme() in OUTSIDE:
        QDesktopServices.openUrl(url)
