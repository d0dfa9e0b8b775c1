"""`attest doctor`: what is installed, which device and backend are used and why, models, store, free disk."""

import platform
import shutil
import socket
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


def examine(settings: Settings, *, offline: bool) -> dict[str, Any]:
    """{"ok": bool, "checks": [{"name", "state": ok|warning|error, "message"}]}."""
    checks: list[dict[str, str]] = []

    def note(name: str, state: State, message: str) -> None:
        checks.append({"name": name, "state": state, "message": message})

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
    _store(settings, note)
    if offline:
        _prove_offline(settings, note)
    return {"ok": all(check["state"] != "error" for check in checks), "checks": checks}


def _fast_engine(note: Any) -> None:
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


def _window(note: Any) -> None:
    """Servers need none, so what is lacking for one is no fault."""
    reason = toolkit.obstacle()
    note("window", "ok", f"none can be opened: {reason}" if reason else toolkit.version())


def _device(settings: Settings, note: Any) -> None:
    from engine.loading import choose_device

    try:
        device, dtype, reason = choose_device(settings.device)
    except EngineError as error:
        note("device", "error", str(error))
        return
    note("device", "ok", f"{device} in {str(dtype).removeprefix('torch.')}: {reason}")


def _store(settings: Settings, note: Any) -> None:
    try:
        with Service(settings) as service:
            banks = service.store.banks.status()
            missing = sum(bank.missing for bank in banks)
            held = (
                f"{sum(bank.memories for bank in banks)} memories, {sum(bank.bytes for bank in banks)} bytes"
            )
            note(
                "store",
                "error" if missing else "ok",
                f"{settings.home}: {held}" + (f"; {missing} shards are missing" if missing else ""),
            )
            workers = service.store.workers.alive()
            note(
                "worker",
                "ok",
                f"{len(workers)} running" if workers else "none running; `attest serve` starts one",
            )
            free = shutil.disk_usage(settings.home).free
            note("disk", "ok" if free > LOW_DISK else "warning", f"{free} bytes free")
            _backend(service, note)
    except AttestError as error:
        note("store", "error", str(error))


def _backend(service: Service, note: Any) -> None:
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


def _prove_offline(settings: Settings, note: Any) -> None:
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
