"""`attest doctor`: what is installed, which device and backend are used and why, models, store, free disk."""

import platform
import shutil
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, Literal

from app.desktop import toolkit
from app.errors import AttestError, for_people
from app.service import Service
from app.settings import Settings
from engine.errors import EngineError
from engine.llama import build
from engine.protocol import GenerateOptions, Message
from engine.registry import REGISTERED

State = Literal["ok", "warning", "error"]
PACKAGES = (
    "torch",
    "transformers",
    "bitsandbytes",
    "gradio",
    "faiss-cpu",
    "pypdf",
    "pypdfium2",
    "sqlalchemy",
)
LOW_DISK = 5 * 2**30


@dataclass(frozen=True)
class Check:
    """message: what was found and, where it is not as it should be, what to do."""

    name: str
    state: State
    message: str


Note = Callable[[str, State, str], None]


def examine(settings: Settings, *, offline: bool) -> dict[str, Any]:
    """{"ok": bool, "checks": [{"name", "state": ok|warning|error, "message"}]}."""
    checks: list[Check] = []

    def note(name: str, state: State, message: str) -> None:
        checks.append(Check(name, state, message))

    _installed(settings, note)
    _store(settings, note)
    if offline:
        _prove_offline(settings, note)
    return {
        "ok": all(check.state != "error" for check in checks),
        "checks": [asdict(check) for check in checks],
    }


def checks_of(service: Service) -> list[Check]:
    """The same of a service that runs, without loading a model and without the proof of being offline."""
    checks: list[Check] = []

    def note(name: str, state: State, message: str) -> None:
        checks.append(Check(name, state, message))

    _installed(service.settings, note)
    try:
        _store_of(service, note)
    except AttestError as error:
        note("store", "error", str(error))
    status = service.engine_status()
    if status.ready:
        _backend(service, note)
    else:
        note("backend", "warning", status.message)
    return checks


def _installed(settings: Settings, note: Note) -> None:
    note("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in PACKAGES:
        try:
            note(package, "ok", metadata.version(package))
        except metadata.PackageNotFoundError:
            note(package, "error", "not installed; run `make install`")
    _fast_engine(note)
    _window(note)
    _device(settings, note)
    for name in (settings.model, settings.embedder):
        known = REGISTERED.get(name)
        if known is not None and known.path() is None:
            note(f"model {name}", "error", f"package {known.package} is not installed; run `make install`")
        else:
            note(f"model {name}", "ok", "installed" if known else "your own")


def _fast_engine(note: Note) -> None:
    version = build.installed()
    if version is None:
        lacking = build.obstacle() or "it was not compiled, or that failed"
        note(
            build.NAME,
            "warning",
            f"not installed, so answers come from torch: {lacking}; `make install` compiles it and says more",
        )
    elif version != build.VERSION:
        note(build.NAME, "warning", f"{version}, but {build.VERSION} is the one tested; run `make install`")
    elif fault := build.fault():
        note(build.NAME, "warning", f"{version} does not load: {fault}; `make install` tries again")
    else:
        note(build.NAME, "ok", f"{version}, the fast engine")


def _window(note: Note) -> None:
    """Servers need none, so what is lacking for one is no fault."""
    reason = toolkit.obstacle()
    note("window", "ok", f"none can be opened: {reason}" if reason else toolkit.version())


def _device(settings: Settings, note: Note) -> None:
    from engine.loading import choose_device

    try:
        device, dtype, reason = choose_device(settings.device)
    except EngineError as error:
        note("device", "error", str(error))
        return
    note("device", "ok", f"{device} in {str(dtype).removeprefix('torch.')}: {reason}")


def _store(settings: Settings, note: Note) -> None:
    try:
        with Service(settings) as service:
            _store_of(service, note)
            _backend(service, note)
    except AttestError as error:
        note("store", "error", str(error))


def _store_of(service: Service, note: Note) -> None:
    home = service.settings.home
    with for_people():
        banks = service.store.banks.status()
        workers = service.store.workers.alive()
    missing = sum(bank.missing for bank in banks)
    held = f"{sum(bank.memories for bank in banks)} memories, {sum(bank.bytes for bank in banks)} bytes"
    lost = f"; {missing} shards are missing: `attest memories rebuild` writes them anew" if missing else ""
    note("store", "error" if missing else "ok", f"{home}: {held}{lost}")
    note(
        "worker",
        "ok",
        f"{len(workers)} running" if workers else "none running; `attest serve` starts one",
    )
    free = shutil.disk_usage(home).free
    if free > LOW_DISK:
        note("disk", "ok", f"{free} bytes free")
    else:
        note("disk", "warning", f"{free} bytes free, which is little; free some before you add documents")


def _backend(service: Service, note: Note) -> None:
    """Which backend answers, and why: that of the process which holds the model, else it is loaded here."""
    try:
        info = service.engine().info
    except AttestError as error:
        note("backend", "error", str(error))
        return
    adapter = f" and adapter {info.adapter}" if info.adapter else ""
    answers = f"{info.backend} answers with {info.model}{adapter}: {info.device_reason}"
    if info.refusal is None:
        note("backend", "ok", answers)
    else:
        note("backend", "warning", f"{answers}; {info.refusal}")


def _prove_offline(settings: Settings, note: Note) -> None:
    """Load the models and answer with every connection, and every look-up of a name, refused."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo
    tried: list[str] = []

    def refuse(*address: Any, **_: Any) -> Any:
        tried.append(str(address))
        raise ConnectionRefusedError("attest doctor --offline refuses connections")

    socket.socket.connect = refuse  # type: ignore[method-assign]
    socket.getaddrinfo = refuse
    try:
        with Service(settings, shared=False) as service, for_people():
            engine, embedder = service.models()
            embedder.embed(["offline"])
            list(engine.generate([Message("user", "Hello")], None, GenerateOptions(max_tokens=4)))
    except AttestError as error:
        note("offline", "error", str(error))
        return
    finally:
        socket.socket.connect, socket.getaddrinfo = connect, look_up  # type: ignore[method-assign]
    if tried:
        note("offline", "error", f"{len(tried)} connections were tried")
    else:
        note("offline", "ok", "models loaded and answered without trying to connect anywhere")
