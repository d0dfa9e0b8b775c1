"""A build is tried out in another process before the app computes with it."""

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine.errors import BackendUnavailable
from engine.llama import trial
from tests.engine import tiny_gguf


def test_a_build_that_computes_is_trusted_and_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_gguf.write(tmp_path / "model.gguf", "llama")
    trial.trusted(model, tmp_path / "cache")

    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("tried again")

    monkeypatch.setattr(subprocess, "run", never)
    trial.trusted(model, tmp_path / "cache")


def test_a_build_that_dies_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_gguf.write(tmp_path / "model.gguf", "llama")
    died = subprocess.CompletedProcess([], -signal.SIGILL)
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: died)
    for _ in range(2):  # and it is asked again the next time
        with pytest.raises(BackendUnavailable, match=r"signal 4.*make install"):
            trial.trusted(model, tmp_path / "cache")


def test_a_file_that_is_no_model_is_not(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    with pytest.raises(BackendUnavailable, match=r"broken\.gguf"):
        trial.trusted(broken, tmp_path / "cache")
