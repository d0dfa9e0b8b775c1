"""A virtual screen, real keys and a real mouse on it, and `attest desktop` with what its page says."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import websocket
from PIL import Image, ImageGrab

from app.desktop import toolkit
from tests.app.library import test_ingesting

SIZE = (1600, 1000)
PATIENCE = 240.0  # Chromium without a graphics card, on a machine that does other things, too
TRIES = 3
PAGE = r"http://127\.0\.0\.1:\d+/(\?|$)"
DRAG_SOURCE = Path(__file__).with_name("drag_source.py")


def until(happened: Callable[[], object]) -> None:
    test_ingesting.until(happened, PATIENCE)


class Screen:
    """A screen of its own, without a window manager."""

    def __init__(self, display: str) -> None:
        self.display = display

    def picture(self, path: Path | None = None) -> Image.Image:
        picture = ImageGrab.grab(xdisplay=self.display).convert("RGB")
        if path is not None:
            picture.save(path)
        return picture

    def do(self, *words: object) -> str:
        """xdotool's words."""
        command = ["xdotool", *map(str, words)]
        environment = {**os.environ, "DISPLAY": self.display}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=30, check=False
        )
        return done.stdout.strip()

    def windows(self, name: str) -> list[int]:
        return [int(line) for line in self.do("search", "--onlyvisible", "--name", f"^{name}$").split()]

    def geometry(self, name: str) -> tuple[int, int, int, int]:
        """x, y, width and height of the only window of that name."""
        (window,) = self.windows(name)
        found = dict(line.split("=") for line in self.do("getwindowgeometry", "--shell", window).split())
        return int(found["X"]), int(found["Y"]), int(found["WIDTH"]), int(found["HEIGHT"])

    def click(self, x: float, y: float) -> None:
        self.do("mousemove", round(x), round(y), "click", 1)

    def write(self, text: str, *keys: str) -> None:
        self.do("type", text)
        for key in keys:
            self.do("key", key)

    def answer_dialog(self, title: str, text: str) -> None:
        """Type into a dialog of Qt's; again if it took its first keys for somebody else's."""
        until(lambda: self.windows(title))
        for _ in range(TRIES):
            for window in self.windows(title):
                self.do("windowfocus", "--sync", window, "key", "ctrl+a")
                self.write(text, "Return")
            limit = time.monotonic() + 5
            while self.windows(title) and time.monotonic() < limit:
                time.sleep(0.1)
            if not self.windows(title):
                return
            self.do("key", "Return")  # what it complains of
        raise AssertionError(f"the dialog {title!r} does not take {text!r}")


@pytest.fixture(scope="session")
def screen() -> Iterator[Screen]:
    for program in ("Xvfb", "xdotool"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    reading, writing = os.pipe()
    size = f"{SIZE[0]}x{SIZE[1]}x24"
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", size, "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as numbers:
        number = numbers.readline().strip()
    assert number, "Xvfb did not start"
    yield Screen(f":{number}")
    server.terminate()
    server.wait()


class Opened:
    """`attest desktop` in a process of its own, on a screen, and its page through the debugging port."""

    def __init__(self, screen: Screen, folder: Path, *arguments: str) -> None:
        self.screen = screen
        self.folder = folder  # HOME, and what the process writes
        self._debugging = _free_port()
        self._log = folder / "log"
        self.outside = folder / "outside"  # addresses handed to the system's browser
        _write_program(folder / "bin" / "xdg-open", f'#!/bin/sh\necho "$1" >> {self.outside}\n')
        self.environment = {
            **os.environ,
            "DISPLAY": screen.display,
            "HOME": str(folder),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "QTWEBENGINE_DISABLE_SANDBOX": "1",  # tests run as root, for whom it does not work
            "QTWEBENGINE_REMOTE_DEBUGGING": str(self._debugging),
        }
        for name in ("WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
            self.environment.pop(name, None)
        self._command = [sys.executable, "-m", "app", "desktop", *arguments]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(self._command, env=self.environment, stdout=log, stderr=log)
        self._family: dict[int, psutil.Process] = {}

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def again(self) -> subprocess.CompletedProcess[str]:
        """A second start."""
        return subprocess.run(
            self._command, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def until_page(self, words: str) -> None:
        """Wait until the page of the server, not the words at the start, says this."""

        def says() -> bool:
            assert self.process.poll() is None, self.log
            return self.address() != "" and words in self.text()

        until(says)

    def address(self) -> str:
        """Of the page; empty until there is one."""
        return next((address for address in self.addresses() if re.match(PAGE, address)), "")

    def addresses(self) -> list[str]:
        """Of all pages that it has open."""
        return [str(page["url"]) for page in self._pages()]

    def text(self) -> str:
        return str(self.ask("document.body.innerText")) if self._pages() else ""

    def ask(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        pages = sorted(self._pages(), key=lambda page: not re.match(PAGE, page["url"]))
        connection = websocket.create_connection(pages[0]["webSocketDebuggerUrl"], timeout=30)
        try:
            given = {"expression": script, "returnByValue": True, "awaitPromise": True, "userGesture": True}
            connection.send(json.dumps({"id": 1, "method": "Runtime.evaluate", "params": given}))
            while (said := json.loads(connection.recv())).get("id") != 1:
                pass
        finally:
            connection.close()
        return said["result"]["result"].get("value")

    def middle(self, selector: str) -> tuple[float, float]:
        """Where on the screen the first visible element is."""
        script = (
            f"(() => {{ const found = [...document.querySelectorAll({json.dumps(selector)})]"
            ".find((each) => each.checkVisibility()); if (!found) return null;"
            "const box = found.getBoundingClientRect();"
            "return [screenX + box.x + box.width / 2, screenY + box.y + box.height / 2]; })()"
        )
        until(lambda: self.ask(script) is not None)
        x, y = self.ask(script)
        return x, y

    def click(self, selector: str) -> None:
        self.focus()
        self.screen.click(*self.middle(selector))

    def focus(self) -> None:
        """What a window manager does for a window that is clicked."""
        self.screen.do("windowfocus", "--sync", self.screen.windows("Attest")[0])

    def family(self) -> list[psutil.Process]:
        """All processes that this one ever was seen to have started, and itself."""
        with _may_be_gone():
            own = psutil.Process(self.process.pid)
            for each in (own, *own.children(recursive=True)):
                self._family[each.pid] = each
        return list(self._family.values())

    def ended(self) -> int:
        """Wait for its end, and that of all it started; its status.

        Chromium's processes go by themselves when they notice that it is gone.
        """
        self.family()
        status = self.process.wait(PATIENCE)
        until(lambda: all(_gone(each) for each in self._family.values()))
        return status

    def stop(self) -> None:
        """At the end of a failed test."""
        for each in self.family():
            with _may_be_gone():
                each.kill()
        self.process.wait()

    def _pages(self) -> list[dict[str, Any]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._debugging}/json", timeout=10) as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
        except OSError:
            return []
        return [page for page in pages if page["url"] not in ("", "about:blank")]


@pytest.fixture
def opened(screen: Screen, fake_model: None, home: Path, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Starts `attest desktop`."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DISPLAY", screen.display)
        patched.setenv("QTWEBENGINE_DISABLE_SANDBOX", "1")
        if reason := toolkit.obstacle():
            pytest.skip(reason)
    running: list[Opened] = []

    def start(*arguments: str) -> Opened:
        folder = tmp_path / f"user{len(running)}"
        folder.mkdir()
        running.append(Opened(screen, folder, *arguments))
        return running[-1]

    yield start
    if running:
        screen.picture(tmp_path / "last.png")
    for each in running:
        each.stop()


def drag(screen: Screen, file: Path, to: tuple[float, float]) -> str:
    """Drag a file out of another program's window, and let go over a point; what the drop was taken as.

    Let go too early, it is no drop: on a busy machine the two programs take a while to agree.
    """
    x, y = SIZE[0] - 90, SIZE[1] - 90
    command = [sys.executable, str(DRAG_SOURCE), str(x), str(y), str(file)]
    environment = {**os.environ, "DISPLAY": screen.display}
    source = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert source.stdout is not None
        assert source.stdout.readline().strip() == "ready"
        until(lambda: screen.windows("files"))
        for pause in (0.05, 0.5, 2.0):
            screen.do("mousemove", x + 40, y + 40, "mousedown", 1, "sleep", pause * 4)
            for step in range(1, 11):
                screen.do(
                    "mousemove",
                    round(x + 40 + (to[0] - x - 40) * step / 10),
                    round(y + 40 + (to[1] - y - 40) * step / 10),
                    "sleep",
                    pause,
                )
            screen.do("mousemove", round(to[0]) + 2, round(to[1]), "sleep", pause * 8, "mouseup", 1)
            if (taken := source.stdout.readline().strip()) != "IgnoreAction":
                break
        return taken
    finally:
        source.kill()
        source.wait()
        source.stdout.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(0o755)


@contextmanager
def _may_be_gone() -> Iterator[None]:
    with suppress(psutil.NoSuchProcess):
        yield


def _gone(process: psutil.Process) -> bool:
    with _may_be_gone():
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True
