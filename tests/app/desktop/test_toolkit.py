"""What is lacking for a window is said before anything starts, with what to do."""

import ctypes
import importlib.util
import os

import pytest

from app.desktop import toolkit
from app.errors import AttestError
from tests.app.conftest import attest

pytestmark = pytest.mark.skipif(not toolkit.LINUX, reason="about Linux")


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An ordinary user with a screen and all packages."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(toolkit, "_lacking_library", lambda: None)
    monkeypatch.setenv("DISPLAY", ":1")
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    return monkeypatch


def test_nothing_is_lacking(whole: pytest.MonkeyPatch) -> None:
    assert toolkit.obstacle() is None
    toolkit.demand()


@pytest.mark.parametrize(
    ("module", "package"),
    [("webview", "pywebview"), ("PySide6.QtWebEngineWidgets", "PySide6-WebEngine"), ("qtpy", "QtPy")],
)
def test_a_missing_package_is_named_with_what_to_install(
    whole: pytest.MonkeyPatch, module: str, package: str
) -> None:
    whole.setattr(importlib.util, "find_spec", lambda name: None if name == module else name)
    done = attest("desktop")
    assert (done.status, done.stdout) == (1, "")
    assert f"{package} is not installed; pip install 'attest-assistant[desktop]'" in done.stderr
    assert "attest serve" in done.stderr


def test_without_a_screen(whole: pytest.MonkeyPatch) -> None:
    whole.delenv("DISPLAY")
    whole.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(AttestError, match="there is no screen"):
        toolkit.demand()


def test_root_has_to_give_the_sandbox_up_knowingly(whole: pytest.MonkeyPatch) -> None:
    whole.setattr(os, "geteuid", lambda: 0)
    whole.delenv("QTWEBENGINE_DISABLE_SANDBOX", raising=False)
    with pytest.raises(AttestError, match="sandbox does not work for root"):
        toolkit.demand()
    whole.setenv("QTWEBENGINE_DISABLE_SANDBOX", "1")
    toolkit.demand()


def test_a_library_that_qt_would_end_the_process_over(whole: pytest.MonkeyPatch) -> None:
    pytest.importorskip("PySide6")

    def load(path: str) -> None:
        if path.endswith("libqxcb.so"):
            raise OSError("libxcb-cursor.so.0: cannot open shared object file")

    whole.undo()
    whole.setattr(os, "geteuid", lambda: 1000)
    whole.setenv("DISPLAY", ":1")
    whole.delenv("QT_QPA_PLATFORM", raising=False)
    whole.setattr(ctypes, "CDLL", load)
    with pytest.raises(AttestError, match=r"libxcb-cursor\.so\.0.*apt install"):
        toolkit.demand()
