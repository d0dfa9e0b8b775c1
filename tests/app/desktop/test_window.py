"""`attest desktop` on a virtual screen, worked with keys, mouse and files as its reader would."""

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from PIL import Image

from app.desktop.place import Place, remember, remembered
from app.service import Service
from app.settings import Settings
from tests.app.conftest import LEASE, WARRANTY
from tests.app.desktop.conftest import Opened, Screen, drag, until
from tests.app.test_serving import gone

pytestmark = pytest.mark.slow  # a virtual screen and a browser of its own: half a minute each

PAPER, INK = (247, 245, 240), (33, 38, 43)
START = "Ask your own documents"
QUESTION_FIELD = "#at-question textarea"


def status_of(url: str, method: str = "GET", **headers: str) -> int:
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def share(picture: Image.Image, colour: tuple[int, int, int]) -> float:
    """How much of the picture has that very colour."""
    counts = {value: count for count, value in picture.getcolors(2**24) or []}
    return counts.get(colour, 0) / (picture.width * picture.height)


def make_collection(window: Opened, name: str) -> None:
    window.click("#at-collection-name input, #at-collection-name textarea")
    window.screen.write(name)
    window.click("#at-collection-create")
    chosen = "document.querySelector('#at-collection-choice input').value"
    until(lambda: window.ask(chosen) == name)


def is_free(home: Path) -> bool:
    """Nobody holds the home: neither its window, nor its model, nor a worker."""
    for name in ("window/lock", "engine.lock"):
        with FileLock(home / name, timeout=0):
            pass
    with Service(Settings(home, "fake")) as service:
        return not service.store.workers.alive()


def test_from_the_first_start_to_the_last_process(
    opened: Callable[..., Opened], screen: Screen, home: Path, tmp_path: Path, keep
) -> None:
    window = opened()
    window.until_page(START)
    port = int(re.match(r"http://127\.0\.0\.1:(\d+)/", window.address())[1])  # type: ignore[index]
    until(lambda: share(screen.picture(tmp_path / "start.png"), PAPER) > 0.2)
    assert share(screen.picture(), INK) > 0.0005

    make_collection(window, "Leases")
    file = keep("lease.md", LEASE)
    assert drag(screen, file, window.middle("#at-drop")) == "CopyAction"
    window.until_page("lease.md")
    window.until_page("1 page")
    screen.picture(tmp_path / "dropped.png")
    assert file.read_text() == LEASE

    # nobody else is let in, not even with the address that the window came through
    address = f"http://127.0.0.1:{port}"
    assert window.ask("document.cookie") == ""
    assert window.ask("fetch('/healthz').then((answer) => answer.status)") == 200
    for path in ("/", "/healthz", "/v1/collections", "/gradio_api/info", "/window/", "/knock"):
        assert status_of(address + path) == 404
    held = json.loads((home / "window" / "address.json").read_text())
    assert status_of(address, Cookie=f"attest-window={held['secret']}") == 404

    again = window.again()
    assert (again.returncode, again.stdout) == (0, "")
    assert "is open already" in again.stderr

    members = window.family()
    assert any("ingest.worker" in each.cmdline() for each in members)
    window.focus()
    screen.do("key", "ctrl+q")
    assert window.ended() == 0
    assert "Traceback" not in window.log
    assert "lease" not in window.log.lower()
    assert is_free(home)
    with Service(Settings(home, "fake")) as service:
        assert [each.status for each in service.documents("Leases")] == ["ready"]


def test_it_opens_where_it_was_and_notes_where_it_is(
    opened: Callable[..., Opened], screen: Screen, home: Path
) -> None:
    place_file = home / "window" / "place.json"
    remember(place_file, Place(1000, 700, 90, 60))
    window = opened()
    window.until_page(START)
    assert screen.geometry("Attest") == (90, 60, 1000, 700)
    assert window.ask("[innerWidth, innerHeight]") == [1000, 700]
    (number,) = screen.windows("Attest")
    screen.do("windowsize", "--sync", number, 900, 640, "windowmove", "--sync", number, 130, 170)
    until(lambda: window.ask("innerWidth") == 900)
    window.process.send_signal(signal.SIGTERM)
    assert window.ended() == 0
    assert remembered(place_file) == Place(900, 640, 130, 170)


def test_chosen_files_saved_reports_and_links(
    opened: Callable[..., Opened], screen: Screen, tmp_path: Path, keep
) -> None:
    window = opened()
    window.until_page(START)
    make_collection(window, "Supply")
    window.click("#at-drop")
    screen.answer_dialog("Open", str(keep("warranty.pdf", WARRANTY)))
    window.until_page("2 pages")

    window.click(QUESTION_FIELD)
    screen.write("How long is the warranty period of the turbine?", "Return")
    window.until_page("Why this answer")
    window.click("a.at-tool[download]")
    saved = tmp_path / "why.html"
    screen.answer_dialog("Save as", str(saved))
    until(lambda: saved.is_file() and saved.read_text().endswith("</html>\n"))
    assert "warranty period of the turbine" in saved.read_text()

    # a picture of a page opens beside, in the window's own profile; nothing is handed to another program
    window.click("a.at-link[target=_blank]")
    until(lambda: any("/pages/1.png" in address for address in window.addresses()))
    assert not window.outside.exists()

    # whatever leads elsewhere goes to the system's browser, and the page stays
    before = window.address()
    window.ask("window.open('https://elsewhere.example/new')?.name")
    until(lambda: window.outside.exists() and "/new" in window.outside.read_text())
    window.ask("void (location.href = 'https://elsewhere.example/same')")
    until(lambda: "/same" in window.outside.read_text())
    window.ask("void (location.href = 'file:///etc/hostname')")
    assert window.ask("document.querySelector('#at-ask') !== null")
    assert window.address() == before
    assert "file:" not in window.outside.read_text()


def test_closed_in_the_middle_of_an_ingest_it_leaves_nothing_and_is_gone_on_with(
    opened: Callable[..., Opened], home: Path, keep
) -> None:
    with Service(Settings(home, "fake")) as service:
        long = "\n\n".join(f"Clause {n} obliges the contractor to deliver item {n}." for n in range(2_000))
        service.add_documents([keep("long.txt", long)], "default")
    window = opened()
    reader: list[psutil.Process] = []

    def reading() -> bool:
        reader.extend(each for each in window.family() if "ingest.parse_main" in _command_of(each))
        return bool(reader)

    until(reading)
    reader[0].suspend()  # it hangs from now on, and has not delivered the document
    window.process.send_signal(signal.SIGTERM)
    assert window.ended() == 0
    assert gone(reader[0].pid)
    assert is_free(home)
    with Service(Settings(home, "fake")) as service:
        (document,) = service.documents("default")
        assert document.status != "ready"

    worker = [sys.executable, "-m", "ingest.worker", "--home", home, "--model", "fake", "--until-idle"]
    subprocess.run(worker, check=True, stderr=subprocess.DEVNULL, timeout=300)
    with Service(Settings(home, "fake")) as service:
        assert [each.status for each in service.documents("default")] == ["ready"]


def test_what_cannot_be_opened_is_said_in_the_window(opened: Callable[..., Opened], home: Path) -> None:
    home.mkdir()
    (home / "attest.db").write_bytes(b"not a database" * 1000)
    window = opened()
    until(lambda: "Attest cannot start" in window.text())
    window.process.send_signal(signal.SIGTERM)
    assert window.ended() == 1
    assert "attest: " in window.log
    assert "Traceback" not in window.log


def _command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
