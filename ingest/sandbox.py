"""Reads an untrusted file in a process of its own, with limits, and streams its pages back.

A file that crashes, hangs or explodes ends its own process and becomes an error; nothing else is harmed. The
process gets an empty environment, an empty working folder, no open files but its pipes, no sockets, no
children, bounded memory and no permission to grow a file (ingest.parse_main sets these before it imports a
parser). Back-pressure is the pipe: a slow consumer stops the process, which stays a page or two ahead.

Refuses to know any format; where the operating system has no resource limits (Windows), the time limits
still hold and the memory limit does not.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

from ingest import border
from ingest.document import BEGINNING, DocumentInfo, Page, PageWarning, Read, Start
from ingest.errors import (
    EmptyFile,
    MissingFile,
    PermissionDenied,
    ReaderCrashed,
    ReaderTimeout,
    ReadingStopped,
    TooLarge,
    by_name,
)
from ingest.limits import DEFAULT_LIMITS, Limits

LOOK_SECONDS = 0.2  # how often a caller is asked whether it still waits

# -I: no environment variables, no user packages, no working folder in the path. -B: writes nothing.
COMMAND = [sys.executable, "-I", "-B", "-X", "utf8", "-m", "ingest.parse_main"]


def read(
    path: Path,
    media_type: str | None = None,
    password: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    *,
    start: Start = BEGINNING,
    stopped: Callable[[], bool] = lambda: False,
) -> Read:
    """Yield one DocumentInfo, then pages in order with warnings between them.

    media_type: one of `ingest.document.MEDIA_TYPES` to skip recognition by content. start: where an earlier
    reading goes on. Closing the iterator ends the process at once; so does `stopped`, which is asked while a
    page is waited for, with ReadingStopped. Raises a subclass of UnreadableDocument; NoText comes after the
    last page, when it is known that none had text.
    """
    check_file(path, limits)
    request = {"task": "read", "media_type": media_type, "password": password, "start": asdict(start)}
    with Child(path, request, limits, stopped) as child:
        for header, payload in child.messages():
            try:
                item: DocumentInfo | Page | PageWarning = border.unpack(header, payload)
            except border.BorderViolation as violation:
                raise child.nonsense(violation) from None
            yield item


def check_file(path: Path, limits: Limits) -> None:
    """Raise what needs no parser: MissingFile, PermissionDenied, EmptyFile or TooLarge."""
    try:
        if path.is_dir():
            raise MissingFile(f"{path.name}: this is a folder, not a file")
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise MissingFile(f"{path.name}: there is no such file") from None
    except PermissionError:
        raise PermissionDenied(
            f"{path.name}: no permission to read this file; change its permissions or copy it"
        ) from None
    except OSError as error:
        raise MissingFile(f"{path.name}: cannot be opened ({error.strerror})") from None
    if size == 0:
        raise EmptyFile(f"{path.name}: the file is empty (0 bytes)")
    if size > limits.file_bytes:
        raise TooLarge(
            f"{path.name}: {size} bytes are more than the limit of {limits.file_bytes}; split the file"
        )


class Child:
    """One reading process and the watch over it. Use as a context manager; leaving ends the process."""

    def __init__(
        self,
        path: Path,
        request: dict[str, Any],
        limits: Limits,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._name = path.name
        self._limits = limits
        self._stopped = stopped
        self._folder = tempfile.TemporaryDirectory(prefix="reader-", ignore_cleanup_errors=True)
        self._request = {**request, "path": str(path.absolute()), "limits": asdict(limits)}
        self._expired = self._given_up = False
        self._patience = limits.seconds
        self._process = self._start()

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()
        self._folder.cleanup()

    def messages(self) -> Iterator[border.Message]:
        """Messages until the process says "done".

        Raises the error that the process reported, ReaderTimeout, ReaderCrashed or ReadingStopped.
        """
        while True:
            message: border.Message | None = None
            cut = False
            try:
                with self._watch():
                    message = border.receive(self._output)
            except border.BorderViolation:
                cut = True
            if self._given_up:
                raise ReadingStopped(f"{self._name}: reading it was stopped")
            if self._expired:
                raise ReaderTimeout(
                    f"{self._name}: no progress within {self._patience:g} s, so reading was stopped; "
                    "re-save the file with another program and try again"
                )
            if message is None:
                raise self._died(cut)
            match message[0].get("kind"):
                case "done":
                    return
                case "error":
                    name, text = message[0].get("error"), message[0].get("message")
                    raise by_name(str(name), str(text))
                case "working":
                    self._patience = self._limits.recognition_seconds
                    continue
            self._patience = self._limits.seconds
            yield message

    def nonsense(self, violation: border.BorderViolation) -> ReaderCrashed:
        """The error for a message that cannot be understood."""
        return ReaderCrashed(f"{self._name}: the reading process sent nonsense ({violation}); file a bug")

    @property
    def _output(self) -> BinaryIO:
        return cast(BinaryIO, self._process.stdout)

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # parsers quote the document in their complaints
            cwd=self._folder.name,
            env=_environment(),
            close_fds=True,
        )
        # The password travels here and not among the arguments, which every user of the machine can list.
        with cast(BinaryIO, process.stdin) as request:
            try:
                request.write(json.dumps(self._request).encode())
            except BrokenPipeError:
                return process  # it died already; `messages` will say how
        return process

    @contextmanager
    def _watch(self) -> Iterator[None]:
        """Ends the process if the block does not finish in time, or its result is not wanted any more.

        Only the wait for the process counts.
        """
        done = threading.Event()
        watch = threading.Thread(target=self._end_if_needed, args=(done,), daemon=True)
        watch.start()
        try:
            yield
        finally:
            done.set()
            watch.join()

    def _end_if_needed(self, done: threading.Event) -> None:
        limit = time.monotonic() + self._patience
        while not done.wait(min(LOOK_SECONDS, max(limit - time.monotonic(), 0.0))):
            self._given_up = self._stopped()
            self._expired = not self._given_up and time.monotonic() >= limit
            if self._given_up or self._expired:
                self._process.kill()
                return

    def _died(self, cut: bool) -> ReaderCrashed | ReaderTimeout:
        if cut:
            self._process.kill()
        status = self._process.wait()
        if hasattr(signal, "SIGXCPU") and -status == signal.SIGXCPU:
            return ReaderTimeout(
                f"{self._name}: reading used more than {self._limits.total_seconds} s of processor time and "
                "was stopped; split the file"
            )
        how = f"was ended by {_signal_name(-status)}" if status < 0 else f"ended with status {status}"
        return ReaderCrashed(
            f"{self._name}: the reading process {how}; the file is damaged, or needs more than "
            f"{self._limits.memory_bytes // 2**20} MiB of memory to read; re-save it with another program"
        )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("SYSTEMROOT", "WINDIR") if name in os.environ}
    # One thread: the memory limit counts every thread's reserved stack.
    return {**kept, "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
