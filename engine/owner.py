"""One process of a home folder holds the model; the others use it from there.

Whoever gets the lock `<home>/engine.lock` loads the model when it is first needed and serves it on a Unix
socket in `<home>/engine`, which only this user may enter (on Windows, and wherever there are no Unix sockets:
a loopback port). `<home>/engine/address.json` says where, with a token to present. When the owner goes away,
its lock is free, and the next who needs the model takes it over. A process that wants another model than the
owner's, or the same one in another backend, loads its own; the backend "auto" takes whichever the owner runs.
"""

import json
import logging
import os
import secrets
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from engine.errors import EngineAway, EngineError, EngineGone, MemoryMismatch
from engine.format import Fingerprint, MemoryFormat
from engine.memory import ExplicitMemory
from engine.protocol import (
    Attention,
    Engine,
    EngineInfo,
    GenerateOptions,
    MemoriesFor,
    Message,
    Needed,
    Queued,
    Read,
    Score,
    Token,
    Tokens,
    Trimmed,
)
from engine.queue import QueuedEngine
from engine.remote import Address, RemoteEngine
from engine.serving import Server

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1  # how often a process looks whether the owner has loaded, or gone
PATIENCE_SECONDS = 30.0  # then it says what it is waiting for
PATH_BYTES = 100  # of a Unix socket; the kernels' limits are 104 and 108
UNIX_SOCKETS = hasattr(socket, "AF_UNIX") and os.name != "nt"
TRIES = 3  # owners that may go away under one call before it fails

_T = TypeVar("_T")


def share(
    home: Path,
    wanted: Mapping[str, str],
    load: Callable[[], Engine],
    stop: threading.Event | None = None,
) -> "SharedEngine":
    """The engine of this home folder, wherever it is loaded. Returns at once; the first use waits for it.

    wanted: what `load` would load (model, adapter, backend, device, quantisation, memory format), compared
    with what the owner has. stop: set it to give up waiting for an owner that is still loading.
    """
    return SharedEngine(home, wanted, load, stop or threading.Event())


class SharedEngine:
    """`Engine`, held here or by another process of this user. Safe to share between threads.

    Calls raise what `load` raises, and EngineGone when the owner ends in the middle of an answer, which is
    then to be asked for again; what had not begun goes on with the next owner.
    """

    def __init__(
        self, home: Path, wanted: Mapping[str, str], load: Callable[[], Engine], stop: threading.Event
    ) -> None:
        self._home, self._wanted, self._load, self._stop = home, dict(wanted), load, stop
        self._folder = home / "engine"
        self._finding = threading.Lock()
        self._lock = FileLock(home / "engine.lock", mode=0o600, thread_local=False)
        self._engine: Engine | None = None
        self._server: Server | None = None
        self._known: tuple[EngineInfo, MemoryFormat, Fingerprint] | None = None
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving, once answers of other processes that have begun are done, and let others own it."""
        self._closed.set()
        if self._finding.acquire(blocking=False):  # else it is loading, which nothing can end but the process
            try:
                self._let_go()
            finally:
                self._finding.release()

    @property
    def owned(self) -> bool:
        """Whether this process holds the lock, so that others come here."""
        return bool(self._lock.is_locked)

    @property
    def info(self) -> EngineInfo:
        return self._facts()[0]

    @property
    def format(self) -> MemoryFormat:
        return self._facts()[1]

    @property
    def fingerprint(self) -> Fingerprint:
        return self._facts()[2]

    def tokenize(self, text: str) -> Tokens:
        return self._again(lambda engine: engine.tokenize(text))

    def write(self, references: Sequence[Sequence[int]]) -> list[ExplicitMemory]:
        return self._again(lambda engine: engine.write(references))

    def score(self, messages: Sequence[Message], answer: str, memories_for: MemoriesFor | None) -> Score:
        return self._again(lambda engine: engine.score(messages, answer, memories_for))

    def needed(
        self,
        messages: Sequence[Message],
        answer: str,
        memories_for: MemoriesFor,
        groups: Sequence[Collection[int]],
    ) -> Needed:
        return self._again(lambda engine: engine.needed(messages, answer, memories_for, groups))

    def attend(self, messages: Sequence[Message], memories: Sequence[ExplicitMemory]) -> Attention:
        return self._again(lambda engine: engine.attend(messages, memories))

    def queries(self, messages: Sequence[Message]) -> npt.NDArray[np.float32]:
        return self._again(lambda engine: engine.queries(messages))

    def generate(
        self, messages: Sequence[Message], memories_for: MemoriesFor | None, options: GenerateOptions
    ) -> Iterator[Token | Read | Queued | Trimmed]:
        for tried in range(1, TRIES + 1):
            try:
                engine = self._find(options.stop)
            except EngineError:
                if options.stop.is_set():
                    return
                raise
            try:
                stream = engine.generate(messages, memories_for, options)
                with closing(stream):  # type: ignore[type-var]  # engines' streams are generators
                    yield from stream
                return
            except EngineAway:
                self._lose(engine)
                if tried == TRIES:
                    raise
            except EngineGone:
                self._lose(engine)
                raise

    def _again(self, call: Callable[[Engine], _T]) -> _T:
        """`call`, which changes nothing, and may be made again with the next owner.

        Only once if it had begun: it may be what the owner died of.
        """
        gone = 0
        for tried in range(1, TRIES + 1):
            engine = self._find()
            try:
                return call(engine)
            except (EngineAway, EngineGone) as error:
                self._lose(engine)
                gone += isinstance(error, EngineGone)
                if gone > 1 or tried == TRIES:
                    raise
        raise AssertionError("unreachable")

    def _facts(self) -> tuple[EngineInfo, MemoryFormat, Fingerprint]:
        if self._known is None:
            self._find()
        assert self._known is not None
        return self._known

    def _find(self, stop: threading.Event | None = None) -> Engine:
        """The engine that is in use, else whoever has it now, else our own."""
        with self._finding:
            if self._closed.is_set():
                raise EngineError("the engine was closed; start the program again")
            if self._engine is None:
                engine = self._look(
                    (self._stop, self._closed) if stop is None else (self._stop, self._closed, stop)
                )
                self._engine = engine
                if self._known is not None and self._known[2] != engine.fingerprint:
                    self._closed.set()
                    self._let_go()
                    raise MemoryMismatch("the model was exchanged while this program ran; start it again")
                self._known = (engine.info, engine.format, engine.fingerprint)
            return self._engine

    def _look(self, stops: Sequence[threading.Event]) -> Engine:
        started, told = time.monotonic(), False
        while True:
            if self.claim():
                return self._own()
            if (engine := self._reach()) is not None:
                return engine
            if not told and time.monotonic() - started > PATIENCE_SECONDS:
                log.warning(
                    "another process holds %s and does not answer; it may be loading a large model. "
                    "If it hangs, end it",
                    self._lock.lock_file,
                )
                told = True
            if any(stop.is_set() for stop in stops):
                raise EngineError("stopped while another process was loading the model")
            self._closed.wait(LOOK_SECONDS)

    def claim(self) -> bool:
        """Own the engine from now on unless somebody does; whether this is the process to load it.

        Whoever claims should use it soon: the others wait for that.
        """
        if self._lock.is_locked:
            return True
        try:
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        except (OSError, NotImplementedError) as error:  # filelock says the latter where a disk has no locks
            log.warning("the model cannot be shared with other processes (%s)", error)
        return True

    def _own(self) -> Engine:
        engine: QueuedEngine | None = None
        try:
            engine = QueuedEngine(self._load())
            if self._lock.is_locked and not self._closed.is_set():
                self._serve(engine)
        finally:
            if self._server is None:  # nobody could find the model here
                self._lock.release()
        return engine

    def _serve(self, engine: Engine) -> None:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._folder.chmod(0o700)
            _remove_temporary(self._address())
            listener, address = _listen(self._folder)
        except OSError as error:
            log.warning("the model cannot be shared with other processes (%s)", error)
            return
        try:
            _write_private(self._folder / "address.json", json.dumps(vars(address)))
            self._server = Server(engine, listener, address.token, self._wanted)
        except OSError as error:
            listener.close()
            log.warning("the model cannot be shared with other processes (%s)", error)
        else:
            log.info("process %d holds the model %s", os.getpid(), engine.info.model)

    def _reach(self) -> Engine | None:
        """The owner's engine; one of our own if that is another; None if there is no owner yet."""
        address = self._address()
        if address is None:
            return None
        try:
            remote = RemoteEngine(address)
        except EngineError:
            return None
        names = self._differing(remote)
        if not names:
            log.info("using the model of process %d", remote.pid)
            return remote
        remote.close()
        log.warning(
            "process %d has loaded a model with another %s; loading one here", remote.pid, ", ".join(names)
        )
        return QueuedEngine(self._load())

    def _differing(self, remote: RemoteEngine) -> list[str]:
        """What of the owner's model is not as wanted here; of its backend, the one that runs counts."""
        wanted = {"backend": "auto", **self._wanted}
        runs = "auto" if wanted["backend"] == "auto" else remote.info.backend
        there = {**remote.identity, "backend": runs}
        return [name for name in {**wanted, **there} if there.get(name) != wanted.get(name)]

    def _address(self) -> Address | None:
        try:
            data = json.loads((self._folder / "address.json").read_text(encoding="utf-8"))
            return Address(data["path"], data["port"], data["token"])
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def _lose(self, engine: Engine) -> None:
        with self._finding:
            if self._engine is engine:
                self._engine = None
        if isinstance(engine, RemoteEngine):
            engine.close()

    def _let_go(self) -> None:
        engine, self._engine = self._engine, None
        if isinstance(engine, RemoteEngine):
            engine.close()
        if self._server is not None:
            self._server.close()
            self._server = None
            _remove_temporary(self._address())
            for name in ("socket", "address.json"):
                (self._folder / name).unlink(missing_ok=True)
        self._lock.release()


def _listen(folder: Path) -> tuple[socket.socket, Address]:
    """In `folder`, or, where its path is too long or no place for sockets, in a private temporary one."""
    token = secrets.token_hex(32)
    if not UNIX_SOCKETS:
        listener = socket.create_server(("127.0.0.1", 0))
        return listener, Address(None, listener.getsockname()[1], token)
    path = folder / "socket"
    if len(os.fsencode(path)) <= PATH_BYTES:
        with suppress(OSError):
            path.unlink(missing_ok=True)  # of an owner that was killed
            return _bind(path), Address(str(path), None, token)
    path = Path(tempfile.mkdtemp(prefix="attest-")) / "socket"
    return _bind(path), Address(str(path), None, token)


def _bind(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def _remove_temporary(address: Address | None) -> None:
    """The temporary folder of an owner that has ended, and only of one: a copied home names another's."""
    if address is None or address.path is None or not Path(address.path).parent.name.startswith("attest-"):
        return
    path = Path(address.path)
    try:
        address.connect().close()
    except OSError:
        with suppress(OSError):
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
                path.parent.rmdir()


def _write_private(path: Path, text: str) -> None:
    partial = path.with_suffix(".part")
    partial.unlink(missing_ok=True)
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)
