"""Defaults, then settings.toml, then the environment; wrong values are named."""

from pathlib import Path

import pytest

from app import settings
from app.errors import AttestError
from app.settings import Settings


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODEL", "EMBEDDER", "DEVICE", "BACKEND", "QUANTISATION", "MEMORY_FORMAT", "ADAPTER"):
        monkeypatch.delenv(f"ATTEST_{name}", raising=False)


@pytest.fixture
def file(home: Path) -> Path:
    home.mkdir()
    return home / "settings.toml"


def test_defaults(home: Path) -> None:
    assert settings.load() == Settings(
        home, "smollm2-135m-instruct", "all-minilm-l6-v2", "auto", "none", "default", "auto", "auto"
    )
    assert not home.exists()
    assert settings.load().model_cache == home / "models"


def test_the_file_beats_defaults_and_the_environment_beats_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('model = "one"\ndevice = "cpu"\nquantisation = "8bit"\n')
    monkeypatch.setenv("ATTEST_MODEL", "two")
    monkeypatch.setenv("ATTEST_DEVICE", "")  # empty is not set
    loaded = settings.load()
    assert (loaded.model, loaded.device, loaded.quantisation, loaded.embedder) == (
        "two",
        "cpu",
        "8bit",
        "all-minilm-l6-v2",
    )


def test_home_is_the_platforms_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTEST_HOME")
    assert settings.load().home.name == "attest"
    monkeypatch.setenv("ATTEST_HOME", "~/documents of mine")
    assert settings.load().home == Path.home() / "documents of mine"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("model = ", "cannot be read"),
        (b"model = '\xff'", "cannot be read"),
        (
            "modell = 'x'",
            "unknown setting 'modell'; known are adapter, backend, device, embedder, memory_format,",
        ),
        ("home = 'x'", "unknown setting 'home'"),
        ("quantisation = '3bit'", "quantisation is '3bit'; give none, 8bit or 4bit"),
        ("backend = 'onnx'", "backend is 'onnx'; give auto, torch or llamacpp"),
    ],
)
def test_wrong_files_are_named(file: Path, content: str | bytes, message: str) -> None:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(AttestError, match=message):
        settings.load()


def test_a_folder_in_the_place_of_the_file(file: Path) -> None:
    file.mkdir()
    with pytest.raises(AttestError, match=r"settings\.toml cannot be read"):
        settings.load()


def test_every_setting_is_documented(home: Path) -> None:
    assert settings.__doc__ is not None
    for field in ("home", *settings.load().__dict__):
        assert f"ATTEST_{field.upper()}" in settings.__doc__


def test_another_model_is_written_beside_what_stands_in_the_file(file: Path, tmp_path: Path) -> None:
    model = tmp_path / "other.gguf"
    model.touch()
    file.write_text('# ours\ndevice = "cpu"  # no card here\nadapter = "/somewhere/reader"\nmodel = "one"\n')
    before = settings.load()
    after = settings.with_model(before, str(model))
    assert (after.model, after.adapter, after.device) == (str(model), "auto", "cpu")
    assert settings.load() == after
    text = file.read_text()
    assert text.startswith('# ours\ndevice = "cpu"  # no card here\n')
    assert settings.with_model(after, "smollm2-135m-instruct").model == "smollm2-135m-instruct"
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_cannot_be_read_is_not_replaced(home: Path) -> None:
    home.mkdir()
    (home / "settings.toml").write_text("model = \n")
    with pytest.raises(AttestError, match=r"settings.toml cannot be changed .*; correct it or remove it"):
        settings.with_model(Settings(home), "smollm2-135m-instruct")
    assert (home / "settings.toml").read_text() == "model = \n"
