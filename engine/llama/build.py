"""Compiles llama-cpp-python once and keeps the wheel: `python -P engine/llama/build.py`, in `make install`.

There is no ready wheel of it. The source distribution is compiled without the multimodal part and for the
processor of this machine, and the wheel is kept in the user's cache folder under a name that says what it was
built for (`key`); the next installation takes it from there. Without a compiler, or when anything fails, the
reason is printed and the exit status is still 0: everything works on torch then, and the next run tries
again.

Imports the standard library only. `attest doctor` asks it what is installed, and why not.
"""

import hashlib
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path

NAME = "llama-cpp-python"
VERSION = "0.3.36"  # the one whose state format engine/llama writes; pyproject.toml and constraints.txt agree
SOURCE = f"{NAME}=={VERSION}"
OPTIONS = "-DLLAVA_BUILD=OFF"  # the multimodal part: half of the compiling, and never used here
# llama.cpp and oneDNN, which torch computes with, both think that a thread's AMX tiles are configured as they
# left them. In one process that ends in an illegal instruction or, worse, in wrong numbers (docs/log.md).
WITHOUT_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
EVERY_SECONDS = 15.0
IMPORT_SECONDS = 120.0
LOG_LINES = 8
_CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
_STEP = re.compile(rb"^\s*\[\s*(\d+)(?:/(\d+)|%)\]", re.MULTILINE)  # of Ninja, or of Make
_LATER = (
    "Everything works without it: answers come from torch, several times more slowly.\n"
    "To get the fast engine later: {remedy}, then run `make install` again."
)


class BuildFailed(Exception):
    """There is no wheel, or it does not work. `remedy`: what the user can do about it."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why)
        self.remedy = remedy


def installed() -> str | None:
    """The version in this environment."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(NAME)
    return None


def fault() -> str | None:
    """Why the installed package cannot be loaded, found out in another process; None if it can."""
    command = [sys.executable, "-P", "-c", "import llama_cpp"]
    try:
        tried = subprocess.run(
            command, capture_output=True, text=True, check=False, errors="replace", timeout=IMPORT_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"loading it took more than {IMPORT_SECONDS:g} s"
    if tried.returncode < 0:
        return f"loading it ended the process with {signal.Signals(-tried.returncode).name}"
    if tried.returncode:
        return (tried.stderr.strip().splitlines() or ["it cannot be loaded"])[-1]
    return None


def obstacle(environment: Mapping[str, str] = os.environ) -> str | None:
    """What this machine lacks for compiling; None if nothing is known to be missing.

    cmake and ninja are not looked for: the build fetches them where they are missing.
    """
    if sys.platform == "win32":
        return None  # its compiler is found through the registry
    for variable, language, names in (
        ("CC", "C", ("cc", "gcc", "clang")),
        ("CXX", "C++", ("c++", "g++", "clang++")),
    ):
        chosen = shlex.split(environment.get(variable, ""))[:1]
        if not any(shutil.which(name, path=environment.get("PATH")) for name in chosen or names):
            looked_for = f"{variable}={chosen[0]}" if chosen else " or ".join(names)
            return f"there is no {language} compiler on this machine ({looked_for})"
    return None


def key(features: str, options: str) -> str:
    """What a wheel was built for: version, Python, system and machine, processor features and options."""
    built_for = "\n".join((features, options, *platform.libc_ver()))
    digest = hashlib.sha256(built_for.encode()).hexdigest()[:12]
    system = re.sub(r"[^a-z0-9_]", "_", sysconfig.get_platform().lower())
    return f"{VERSION}-cp{sys.version_info.major}{sys.version_info.minor}-{system}-{digest}"


def cpu_features() -> str:
    """The processor's instruction sets, which the compiled code uses as far as it finds them."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip().lower() in ("flags", "features"):
                return " ".join(sorted(value.split()))
    if sys.platform == "darwin":
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return platform.processor() or platform.machine()


def cmake_options(environment: Mapping[str, str] = os.environ) -> str:
    """Ours, then the user's own (`CMAKE_ARGS="-DGGML_CUDA=ON" make install`)."""
    return " ".join((OPTIONS, *environment.get("CMAKE_ARGS", "").split()))


def compiler_flags(features: str, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """CFLAGS and CXXFLAGS: the user's own, and ours where the processor has AMX."""
    ours = WITHOUT_AMX if "amx_tile" in features.split() else ""
    return {name: f"{environment.get(name, '')} {ours}".strip() for name in ("CFLAGS", "CXXFLAGS")}


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the wheel for this machine lies, or will."""
    cache = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    features = cpu_features()
    options = " ".join((cmake_options(environment), *compiler_flags(features, environment).values()))
    return Path(cache) / "attest" / "wheels" / key(features, options)


def kept(folder: Path) -> Path | None:
    """The wheel in `folder`, unless it is cut off."""
    wheels = sorted(folder.glob(f"llama_cpp_python-{VERSION}-*.whl"))
    return next((wheel for wheel in wheels if zipfile.is_zipfile(wheel)), None)


def compile_wheel(folder: Path) -> Path:
    """Build the wheel into `folder`, beside `build.log`. Raises BuildFailed, OSError."""
    lacking = obstacle()
    if lacking:
        raise BuildFailed(
            lacking,
            "install one (Debian, Ubuntu: `apt install build-essential`; macOS: `xcode-select --install`)",
        )
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    environment = {
        "CMAKE_BUILD_PARALLEL_LEVEL": str(cores),
        **os.environ,
        **compiler_flags(cpu_features()),
        "CMAKE_ARGS": cmake_options(),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    _say(f"Compiling {SOURCE} for this machine on {cores} cores. This is done once and takes some minutes.")
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "build.log"
    with tempfile.TemporaryDirectory(prefix="build-", dir=folder) as made:
        status = _watched(build_command(Path(made)), environment, log)
        wheel = kept(Path(made))
        if status or wheel is None:
            raise BuildFailed(
                f"compiling ended with status {status}. From {log}:\n{complaints(log)}",
                "put right what the log complains about",
            )
        return wheel.replace(folder / wheel.name)


def build_command(into: Path) -> list[str]:
    """The command that compiles. pip's own cache is left out: it takes no account of the processor."""
    options = ["-v", "--no-deps", "--no-cache-dir", f"--no-binary={NAME}"]
    return [sys.executable, "-m", "pip", "wheel", *options, f"--wheel-dir={into}", SOURCE]


def install_command(wheel: Path) -> list[str]:
    """The command that installs a wheel and what it needs, in the versions that were tested."""
    constraints = ["-c", str(_CONSTRAINTS)] if _CONSTRAINTS.is_file() else []
    return [sys.executable, "-m", "pip", "install", "-q", *constraints, str(wheel)]


def provide() -> str:
    """Make the package loadable in this environment; returns what was done. Raises BuildFailed, OSError."""
    there = installed()
    if there == VERSION and fault() is None:
        return f"{SOURCE}, the fast engine, is installed."
    folder = cache_folder()
    wheel, how = kept(folder), f"from {folder}"
    if wheel is None:
        started = time.monotonic()
        wheel = compile_wheel(folder)
        how = f"compiled in {_duration(time.monotonic() - started)}; the wheel is kept in {folder}"
    if there is not None:  # another version, or one that does not load
        _remove()
    done = subprocess.run(install_command(wheel), check=False)
    if done.returncode:
        raise BuildFailed(
            f"pip could not install {wheel} (status {done.returncode}; what it said stands above)",
            "put right what pip complains about",
        )
    wrong = fault()
    if wrong:
        _remove()
        wheel.unlink()
        raise BuildFailed(
            f"it was built, but does not load: {wrong}", "put that right (it will be compiled anew)"
        )
    return f"{SOURCE}, the fast engine, is installed ({how})."


def main() -> int:
    """Entry. 0 with the fast engine and without; 130 when interrupted."""
    try:
        _say(provide())
    except BuildFailed as failure:
        _say(f"{SOURCE}, the fast engine, is NOT installed: {failure}")
        _say(_LATER.format(remedy=failure.remedy))
    except OSError as error:
        _say(f"{SOURCE}, the fast engine, is NOT installed: {error}")
        _say(_LATER.format(remedy="free disk space, or let XDG_CACHE_HOME name a folder that can be written"))
    except KeyboardInterrupt:
        _say("Interrupted; run `make install` again to get the fast engine.")
        return 130
    return 0


def _watched(command: list[str], environment: Mapping[str, str], log: Path) -> int:
    """Run a command with its output in `log`, saying every `EVERY_SECONDS` how far it is."""
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=dict(environment)
        )
        try:
            while True:
                try:
                    return process.wait(EVERY_SECONDS)
                except subprocess.TimeoutExpired:
                    _say(f"  {_duration(time.monotonic() - started)}: {progress(log)}")
        finally:
            if process.poll() is None:
                process.terminate()  # Ctrl-C has reached the compilers as well
                process.wait()


def progress(log: Path) -> str:
    """The step that the build has named last."""
    with log.open("rb") as written:
        written.seek(max(0, log.stat().st_size - 2**16))
        steps = _STEP.findall(written.read())
    if not steps:
        return "fetching and preparing"
    done, total = (number.decode() for number in steps[-1])
    return f"compiling, step {done} of {total}" if total else f"compiling, {done} %"


def complaints(log: Path) -> str:
    """The first lines that speak of an error (after them pip says much about itself), else the last lines."""
    lines = [line.strip()[:200] for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = list(dict.fromkeys(line for line in lines if "error" in line.lower()))
    return "\n".join(f"  | {line}" for line in errors[:LOG_LINES] or lines[-LOG_LINES:])


def _remove() -> None:
    subprocess.run([sys.executable, "-m", "pip", "uninstall", "-q", "-y", NAME], check=False)


def _duration(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02} s"


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
