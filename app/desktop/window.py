"""The window: it opens with words of its own, goes to one address, and is closed by its reader or by us.

The same on every platform that pywebview knows; what Qt needs beyond that is in `qt.py`. Nothing that the
page shows is kept by the window: its profile is private, in memory. All methods but `run` may be called from
any thread.
"""

import html
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.desktop import place as places
from app.desktop.toolkit import LINUX
from app.errors import AttestError, for_people

log = logging.getLogger(__name__)

TITLE = "Attest"
ICON = Path(__file__).resolve().parents[2] / "assets" / "web" / "attest.svg"
_WORDS = """<!doctype html><meta charset="utf-8"><title>Attest</title><style>
:root {{ color-scheme: light dark; --paper: #f7f5f0; --ink: #21262b; --muted: #5d646b }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #15181a; --ink: #e4e1da; --muted: #9ba1a4 }} }}
body {{ margin: 0; height: 100vh; display: grid; place-content: center; justify-items: center; gap: 10px;
        background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif }}
h1 {{ margin: 0; font: 600 30px/1.2 Charter, "Source Serif 4", Georgia, "Liberation Serif", serif }}
p {{ margin: 0; max-width: 34em; padding: 0 24px; color: var(--muted); overflow-wrap: anywhere }}
</style><h1>{title}</h1><p role="status">{message}</p>"""


class Window:
    """place_file: where its size and place are kept. closed: called when it is, perhaps twice."""

    def __init__(self, place_file: Path, closed: Callable[[], None]) -> None:
        self._place_file = place_file
        self._closed = closed
        self._asked = threading.Event()  # to close
        self._there = threading.Event()  # on the screen, or never to come
        self._ended = threading.Event()
        self._toolkit: Any = None  # qt.Fittings on Linux
        self._window: Any = None

    def run(self) -> None:
        """Show the window until it is closed. In the main thread, once."""
        try:
            self._run()
        finally:
            self._end()

    def opened(self) -> bool:
        """Wait until it is on the screen; False if it was closed before."""
        self._there.wait()
        return not self._ended.is_set()

    def go(self, url: str) -> None:
        """Load the page; from then on nothing else is opened inside. After `opened`."""
        if not self._ended.is_set():
            if self._toolkit is not None:
                self._toolkit.home_is(url)
            self._window.load_url(url)

    def say(self, title: str, message: str) -> None:
        """Words in place of the page. After `opened`."""
        if not self._ended.is_set():
            self._window.load_html(_WORDS.format(title=html.escape(title), message=html.escape(message)))

    def bring_forward(self) -> bool:
        """Whether there is a window to bring forward."""
        if self._ended.is_set() or not self._there.is_set():
            return False
        if self._toolkit is not None:
            self._toolkit.bring_forward()
        else:
            self._window.restore()
            self._window.show()
        return True

    def close(self) -> None:
        """As if its reader had closed it."""
        self._asked.set()
        if self._there.is_set() and not self._ended.is_set():
            self._window.destroy()

    def _run(self) -> None:
        import webview

        if LINUX:
            from app.desktop import qt

            qt.application(TITLE, ICON)
        logging.getLogger("pywebview").handlers.clear()  # ours print what it has to say
        webview.settings["ALLOW_DOWNLOADS"] = not LINUX  # pywebview's own handler is for Qt 5
        screens = [places.Area(each.x, each.y, each.width, each.height) for each in webview.screens]
        place = places.on_screen(places.remembered(self._place_file), screens)
        self._window = webview.create_window(
            TITLE,
            html=_WORDS.format(title=TITLE, message="Opening your documents."),
            width=place.width,
            height=place.height,
            x=place.x,
            y=place.y,
            maximized=place.maximised,
            min_size=places.SMALLEST,
            background_color="#F7F5F0",
            text_select=True,
            zoomable=True,
            draggable=True,
            easy_drag=False,
        )
        self._window.events.before_show += self._furnish
        self._window.events.shown += self._shown
        self._window.events.closing += self._leave
        webview.start(gui="qt" if LINUX else None, icon=str(ICON), private_mode=True)

    def _furnish(self) -> None:
        if LINUX:
            from app.desktop import qt

            self._toolkit = qt.Fittings(self._window.native)

    def _shown(self) -> None:
        self._there.set()
        if self._asked.is_set():
            self._window.destroy()

    def _leave(self) -> None:
        """It is about to close, and still has its place."""
        if self._toolkit is not None:
            place = self._toolkit.place()
        else:
            window = self._window
            place = places.Place(window.width, window.height, window.x, window.y)
        self._end()
        try:
            with for_people():
                places.remember(self._place_file, place)
        except AttestError as error:
            log.warning("the window's place is not remembered: %s", error)

    def _end(self) -> None:
        self._ended.set()
        self._there.set()
        self._closed()
