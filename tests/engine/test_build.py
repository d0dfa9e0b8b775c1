"""The fast engine's wheel: compiled by pip from a source distribution that only pretends to be large."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from engine.llama import build
from tests.conftest import ROOT

BACKEND = """
import os, pathlib, sys, time, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    for step in (1, 2):
        print(f"[{step}/3] c++ -c part-{step}.cpp", flush=True)
    if "-DBREAK=ON" in os.environ["CMAKE_ARGS"]:
        print("part-3.cpp: error: no such header", flush=True)
        sys.exit(1)
    print("[3/3] link", os.environ["CMAKE_ARGS"], flush=True)
    time.sleep(float(os.environ.get("PRETEND_SECONDS", "0")))
    name = "llama_cpp_python-0.3.36-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as wheel:
        info = "llama_cpp_python-0.3.36.dist-info"
        wheel.writestr("llama_cpp/__init__.py", "")
        named = "Name: llama_cpp_python\\nVersion: 0.3.36\\n"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\n" + named)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder. What pip is told to fetch lies in a file and builds in no time."""
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    source = tmp_path / "llama_cpp_python-0.3.36.tar.gz"
    with tarfile.open(source, "w:gz") as archive:
        for name in ("pyproject.toml", "backend.py"):
            archive.add(tmp_path / name, f"llama_cpp_python-0.3.36/{name}")
    for name in ("CC", "CXX", "CMAKE_ARGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "SOURCE", str(source))
    monkeypatch.setattr(build, "obstacle", lambda: None)
    return build.cache_folder()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Instead of this environment: the wheels that were installed, in order. Nothing is there before."""
    seen: list[str] = []

    def install_command(wheel: Path) -> list[str]:
        seen.append(wheel.name)
        return [sys.executable, "-c", ""]

    monkeypatch.setattr(build, "install_command", install_command)
    monkeypatch.setattr(build, "installed", lambda: build.VERSION if seen else None)
    monkeypatch.setattr(build, "fault", lambda: None)
    monkeypatch.setattr(build, "_remove", seen.clear)
    return seen


def test_compiled_once_and_then_taken_from_the_cache(
    folder: Path, environment: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "EVERY_SECONDS", 0.05)
    monkeypatch.setenv("PRETEND_SECONDS", "0.5")
    assert build.main() == 0
    said = capsys.readouterr().out
    assert "compiling, step 3 of 3" in said
    assert f"is kept in {folder}" in said
    wheel = build.kept(folder)
    assert wheel is not None
    assert environment == [wheel.name]
    assert "-DLLAVA_BUILD=OFF" in (folder / "build.log").read_text()
    assert sorted(path.name for path in folder.iterdir()) == ["build.log", wheel.name]

    environment.clear()  # another environment of the same user
    monkeypatch.setattr(build, "build_command", lambda into: pytest.fail("it was compiled again"))
    assert build.main() == 0
    assert environment == [wheel.name]
    assert f"(from {folder})" in capsys.readouterr().out
    assert build.main() == 0
    assert environment == [wheel.name]


def test_a_build_that_fails_says_why_and_is_tried_again(
    folder: Path, environment: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CMAKE_ARGS", "-DBREAK=ON")
    assert build.main() == 0
    said = capsys.readouterr().out
    assert "NOT installed" in said
    assert "error: no such header" in said
    assert "answers come from torch" in said
    assert "make install" in said
    assert environment == []
    monkeypatch.delenv("CMAKE_ARGS")
    assert build.main() == 0
    assert len(environment) == 1


def test_a_wheel_that_does_not_load_is_thrown_away(
    folder: Path, environment: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "fault", lambda: "ended the process with SIGILL")
    assert build.main() == 0
    assert "SIGILL" in capsys.readouterr().out
    assert build.kept(folder) is None
    assert environment == []


def test_a_wheel_that_was_cut_off_is_not_used(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "llama_cpp_python-0.3.36-py3-none-any.whl").write_bytes(b"PK\x03\x04 and no more")
    assert build.kept(folder) is None
    assert zipfile.is_zipfile(build.compile_wheel(folder))


def test_without_a_compiler_installation_goes_on(
    folder: Path, environment: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "obstacle", lambda: "there is no C++ compiler on this machine")
    assert build.main() == 0
    said = capsys.readouterr().out
    assert "NOT installed: there is no C++ compiler" in said
    assert "answers come from torch" in said
    assert environment == []


def test_a_cache_that_cannot_be_written_is_named(
    folder: Path, environment: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("a file")
    assert build.main() == 0
    assert str(tmp_path / "cache") in capsys.readouterr().out
    assert environment == []


@pytest.mark.skipif(sys.platform == "win32", reason="no compiler is looked for there")
def test_which_compiler_is_missing(tmp_path: Path) -> None:
    path = {"PATH": str(tmp_path)}
    assert "no C compiler" in str(build.obstacle(path))
    for name in ("cc", "g++"):
        (tmp_path / name).touch(0o755)
        assert name == "g++" or "no C++ compiler" in str(build.obstacle(path))
    assert build.obstacle(path) is None
    assert "CXX=icpx" in str(build.obstacle({**path, "CXX": "icpx -O2"}))


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("Collecting llama-cpp-python\n", "fetching and preparing"),
        ("  [ 9/120] g++ -c a.cpp\n  [10/120] g++ -c 'b[3/4].cpp'\n", "compiling, step 10 of 120"),
        ("[  5%] Building CXX object a.o\n[ 47%] Building CXX object b.o\n", "compiling, 47 %"),
    ],
)
def test_progress_is_what_the_build_says(tmp_path: Path, log: str, words: str) -> None:
    (tmp_path / "build.log").write_text(log)
    assert build.progress(tmp_path / "build.log") == words


def test_a_wheel_belongs_to_a_processor_and_to_options() -> None:
    keys = {
        build.key(features, options)
        for features in ("avx2 fma", "avx2 avx512f fma")
        for options in (build.cmake_options({}), build.cmake_options({"CMAKE_ARGS": "-DGGML_CUDA=ON"}))
    }
    assert len(keys) == 4
    assert build.cpu_features() == build.cpu_features() != ""


def test_amx_is_left_to_torch() -> None:
    user = {"CFLAGS": "-g"}
    assert build.compiler_flags("avx2 fma", user) == {"CFLAGS": "-g", "CXXFLAGS": ""}
    flags = build.compiler_flags("avx2 amx_tile fma", user)
    assert flags == {"CFLAGS": f"-g {build.WITHOUT_AMX}", "CXXFLAGS": build.WITHOUT_AMX}


def test_one_version_everywhere() -> None:
    pinned = f"{build.NAME}=={build.VERSION}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["llamacpp"] == [pinned]
    assert pinned in (ROOT / "constraints.txt").read_text().splitlines()


def test_it_runs_before_anything_is_installed() -> None:
    program = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='build')"
    subprocess.run([sys.executable, "-I", "-S", "-c", program, build.__file__], check=True)
