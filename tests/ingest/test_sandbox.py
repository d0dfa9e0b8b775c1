"""What a hostile file may do to its own process, and that nothing else notices.

The child runs the real `ingest.parse_main`; hostile parsers are put in place of the text reader through a
module that the child imports, since a real PDF that crashes today's PDFium would be mended tomorrow.
"""

import io
import os
import struct
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from ingest import border, errors, sandbox
from ingest.document import DocumentInfo, Heading, Page, PageWarning
from ingest.limits import Limits
from tests.ingest.conftest import Reading
from tests.ingest.make_pdf import make_pdf, text_sheet

HOSTILE = {
    "crash": "import os\nos.abort()",
    "quit": "import os\nos._exit(3)",
    "hang": "import time\ntime.sleep(60)",
    "explode": "x = bytearray(4 * 2**30)",
    "socket": "import socket\nsocket.create_connection(('127.0.0.1', 9))",
    "child": "import subprocess\nsubprocess.run(['true'])",
    "write": "open('grown', 'wb', buffering=0).write(b'x' * 4096)",
    "print": "print('noise', flush=True)\nimport os\nos.write(1, b'noise')",
    "recurse": "f = lambda n: f(n + 1)\nf(0)",
    "raise": "raise ZeroDivisionError('the secret clause')",
}


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, keep):
    """Make the next reading process run a snippet in the place of its text reader."""

    def arm(kind: str) -> Path:
        start = (
            "import sys, types\n"
            "module = types.ModuleType('ingest.readers.text')\n"
            "def read_text(path):\n"
            "    from ingest.document import DocumentInfo, Page, TEXT\n"
            "    yield DocumentInfo(TEXT, None, 1, False)\n"
            f"    exec({HOSTILE[kind]!r}, {{}})\n"
            "    yield Page(1, '1', 'still here')\n"
            "module.read_text = read_text\n"
            "sys.modules['ingest.readers.text'] = module\n"
            "from ingest.parse_main import main\nmain()\n"
        )
        monkeypatch.setattr(sandbox, "COMMAND", [sys.executable, "-I", "-B", "-c", start])
        return keep("hostile.txt", "some text")

    return arm


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("crash", errors.ReaderCrashed, "SIGABRT"),
        ("quit", errors.ReaderCrashed, "status 3"),
        ("hang", errors.ReaderTimeout, "no progress within 1 s"),
        ("explode", errors.TooLarge, "more than 512 MiB of memory"),
        ("socket", errors.DamagedFile, "PermissionError"),
        ("child", errors.DamagedFile, "PermissionError"),
        ("write", errors.DamagedFile, "OSError"),
        ("recurse", errors.DamagedFile, "nested too deeply"),
        ("raise", errors.DamagedFile, "ZeroDivisionError"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="resource limits are POSIX")
def test_hostile_files_only_harm_themselves(hostile, kind, error, message) -> None:
    path = hostile(kind)
    with pytest.raises(error, match=message) as caught:
        Reading(path, limits=Limits(seconds=1 if kind == "hang" else 20, memory_bytes=512 * 2**20))
    assert "hostile.txt" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_a_parser_prints_does_not_reach_the_stream(hostile) -> None:
    assert Reading(hostile("print")).text == "still here"


def test_leaving_early_ends_the_process(keep) -> None:
    path = keep("long.pdf", make_pdf(*[text_sheet(f"page {i}", "word " * 200) for i in range(300)]))
    before = set(psutil.Process().children())
    items = sandbox.read(path)
    assert isinstance(next(items), DocumentInfo)
    (child,) = set(psutil.Process().children()) - before
    items.close()
    assert not child.is_running()


def test_a_slow_consumer_is_not_a_timeout(keep) -> None:
    path = keep("slow.pdf", make_pdf(*[text_sheet(f"page {i}", "word " * 2000) for i in range(60)]))
    count = 0
    for _ in sandbox.read(path, limits=Limits(seconds=2)):
        count += 1
        if count == 3:
            time.sleep(2.5)
    assert count == 61


def test_files_that_cannot_be_opened(tmp_path: Path, keep) -> None:
    with pytest.raises(errors.MissingFile, match="no such file"):
        Reading(tmp_path / "absent.pdf")
    with pytest.raises(errors.MissingFile, match="folder"):
        Reading(tmp_path)
    with pytest.raises(errors.EmptyFile, match="0 bytes"):
        Reading(keep("empty.pdf", b""))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="this user may read everything")
def test_a_file_without_permission(keep) -> None:
    path = keep("locked.txt", "text")
    path.chmod(0)
    with pytest.raises(errors.PermissionDenied):
        Reading(path)


def test_permission_is_asked_before_a_process_is_started(keep, monkeypatch: pytest.MonkeyPatch) -> None:
    path = keep("locked.txt", "text")

    def refuse(self: Path, *args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(errors.PermissionDenied, match=r"locked\.txt"):
        next(sandbox.read(path))


@pytest.mark.parametrize(
    "item",
    [
        DocumentInfo("application/pdf", None, 3, True, {"a": "ü"}),
        PageWarning(None, "x"),
        PageWarning(4, "y"),
        Page(1, "i", "", boxes=np.empty((0, 4), np.float32)),
        Page(2, "2", "a\U0001f600b", 612.0, 792.0, np.ones((3, 4), np.float32), (Heading(1, 2, "T"),)),
    ],
)
def test_items_cross_the_border_unchanged(item) -> None:
    stream = io.BytesIO()
    border.send(stream, *border.pack(item))
    stream.seek(0)
    message = border.receive(stream)
    assert message is not None
    back = border.unpack(*message)
    assert repr(back) == repr(item)
    assert border.receive(stream) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",
        struct.pack(">II", 10, 0) + b"{}",
        struct.pack(">II", 2**31, 0),
        struct.pack(">II", 2, 0) + b"[]",
        struct.pack(">II", 2, 0) + b"\x80\x04",
    ],
)
def test_nonsense_is_not_received(data: bytes) -> None:
    with pytest.raises(border.BorderViolation):
        border.receive(io.BytesIO(data))


PAGE = {"kind": "page", "number": 1, "label": "1", "text": "abc", "width": None, "height": None}
INFO = {"kind": "info", "title": None, "page_count": 1, "encrypted": False, "metadata": {}}


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"kind": "pickle"},
        {"kind": "warning", "page": "1", "message": "x"},
        {**INFO, "media_type": "x/y"},
        {**INFO, "media_type": "text/plain", "page_count": True},
        {**PAGE, "boxes": True, "headings": []},
        {**PAGE, "boxes": False, "headings": [[9, 1, "x"]]},
        {**PAGE, "boxes": False, "headings": [[1, 1]]},
        {**PAGE, "boxes": False, "headings": [], "text": "\ud800"},
    ],
)
def test_nonsense_is_not_believed(header) -> None:
    with pytest.raises(border.BorderViolation):
        border.unpack(header, b"123")


def test_every_error_keeps_its_class_across_the_border() -> None:
    def leaves(cls: type) -> list[type]:
        return [cls, *(leaf for sub in cls.__subclasses__() for leaf in leaves(sub))]

    for cls in leaves(errors.UnreadableDocument)[1:]:
        assert type(errors.by_name(cls.__name__, "m")) is cls
        assert f"── {cls.__name__} " in (errors.__doc__ or "")
    assert type(errors.by_name("SystemExit", "m")) is errors.ReaderCrashed
