"""An engine that lives in another process of this user: `Engine` over a socket.

Answers ask for their memories here, in the thread that takes their next step; what `write` is asked for in
the meantime belongs to the answer and travels on its connection. Every other call has a connection of its
own, taken from a few that are kept open.
"""

import os
import socket
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine import packets
from engine.errors import EngineAway, EngineGone, FrameInvalid
from engine.format import Fingerprint, MemoryFormat
from engine.memory import ExplicitMemory
from engine.packing import packs
from engine.protocol import (
    Attention,
    Chunk,
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
from engine.serving import PROTOCOL
from engine.wire import Arrays, Connection, Frame

CONNECT_SECONDS = 5.0
STOP_SECONDS = 0.02  # how often a stop is looked for while nothing arrives
KEPT = 4  # idle connections


@dataclass(frozen=True)
class Address:
    """Where an owner listens: a Unix socket's path, or a loopback port. token: what it wants to be told."""

    path: str | None
    port: int | None
    token: str

    def connect(self) -> socket.socket:
        """Raises OSError."""
        if self.path is None:
            return socket.create_connection(("127.0.0.1", self.port or 0), CONNECT_SECONDS)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(CONNECT_SECONDS)
            sock.connect(self.path)
        except OSError:
            sock.close()
            raise
        return sock


class RemoteEngine:
    """`Engine` of the process at `address`. Safe to share between threads.

    Connecting raises EngineAway. A call raises EngineAway if nothing of it had begun, so that it may be made
    again elsewhere, and EngineGone if the other process went away in the middle.

    identity: what was loaded there. pid: of the owner.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False
        self._asking = threading.local()  # .connection: of the answer that asks for memories in this thread
        connection, welcome = self._connect()
        self._give_back(connection)
        with packets.reading():
            self.identity: dict[str, str] = dict(welcome["identity"])
            self.pid = int(welcome["pid"])
        self._info, self._format, self._fingerprint = packets.engine_in(welcome)

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def format(self) -> MemoryFormat:
        return self._format

    @property
    def fingerprint(self) -> Fingerprint:
        return self._fingerprint

    def close(self) -> None:
        """Close idle connections; calls that run keep theirs."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def tokenize(self, text: str) -> Tokens:
        with self._connection() as connection:
            connection.send("tokenize", {"text": text})
            return packets.tokens_in(_expect(connection, "tokens"))

    def write(self, references: Sequence[Sequence[int]]) -> list[ExplicitMemory]:
        answering: Connection | None = getattr(self._asking, "connection", None)
        memories: list[ExplicitMemory] = []
        for pack in packs([len(reference) for reference in references]):
            step = packets.references_out([references[i] for i in pack])
            if answering is not None:
                memories += _written(answering, "cold", step, len(pack))
            else:
                with self._connection() as connection:
                    memories += _written(connection, "write", step, len(pack))
        return memories

    def generate(
        self, messages: Sequence[Message], memories_for: MemoriesFor | None, options: GenerateOptions
    ) -> Iterator[Token | Read | Queued | Trimmed]:
        fields = {"messages": packets.messages_out(messages), "options": packets.options_out(options)}
        with self._connection() as connection:
            for frame in self._conversation(connection, "generate", fields, memories_for, options.stop):
                if frame.kind == "end":
                    return
                yield _event(frame)

    def score(self, messages: Sequence[Message], answer: str, memories_for: MemoriesFor | None) -> Score:
        fields = {"messages": packets.messages_out(messages), "answer": answer}
        with self._connection() as connection:
            frame = next(self._conversation(connection, "score", fields, memories_for, threading.Event()))
            if frame.kind != "score":
                raise FrameInvalid("the engine's process answered something else; the connection is closed")
            return packets.score_in(frame)

    def needed(
        self,
        messages: Sequence[Message],
        answer: str,
        memories_for: MemoriesFor,
        groups: Sequence[Collection[int]],
    ) -> Needed:
        fields = {
            "messages": packets.messages_out(messages),
            "answer": answer,
            "groups": [[int(key) for key in group] for group in groups],
        }
        with self._connection() as connection:
            frame = next(self._conversation(connection, "needed", fields, memories_for, threading.Event()))
            if frame.kind != "needed":
                raise FrameInvalid("the engine's process answered something else; the connection is closed")
            return packets.needed_in(frame)

    def attend(self, messages: Sequence[Message], memories: Sequence[ExplicitMemory]) -> Attention:
        fields = {"messages": packets.messages_out(messages), "count": len(memories)}
        with self._connection() as connection:
            connection.send("attend", fields, packets.memories_out(memories))
            return packets.attention_in(_expect(connection, "attention"), len(memories))

    def queries(self, messages: Sequence[Message]) -> npt.NDArray[np.float32]:
        with self._connection() as connection:
            connection.send("look", {"messages": packets.messages_out(messages)})
            return packets.queries_in(_expect(connection, "queries"))

    def _conversation(
        self,
        connection: Connection,
        kind: str,
        fields: Mapping[str, Any],
        memories_for: MemoriesFor | None,
        stop: threading.Event,
    ) -> Iterator[Frame]:
        """What arrives for a request that may ask for memories, which are fetched on the way."""
        try:
            connection.send(kind, {**fields, "asks": memories_for is not None})
        except EngineGone as error:
            raise EngineAway("the process that holds the model ended; ask again") from error
        waiting = told = False
        while True:
            if stop.is_set() and not told:
                connection.send("stop")
                told = True
            if not told and not connection.ready(STOP_SECONDS):
                continue
            try:
                frame = _checked(connection.receive())
            except EngineGone as error:
                if waiting:
                    raise EngineAway("the process that holds the model ended; ask again") from error
                raise
            waiting = frame.kind == "queued"
            if frame.kind == "chunk" and memories_for is not None:
                self._send_memories(connection, frame, memories_for)
            else:
                yield frame

    def _send_memories(self, connection: Connection, frame: Frame, memories_for: MemoriesFor) -> None:
        with packets.reading():
            chunk = Chunk(int(frame.fields["index"]), frame.fields["part"], str(frame.fields["text"]))
        self._asking.connection = connection
        try:
            keyed = memories_for(chunk)
        finally:
            self._asking.connection = None
        connection.send("memories", *packets.keyed_out(keyed))

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """One for a call; it is kept for the next only if the call ended in order."""
        connection = self._take()
        done = False
        try:
            yield connection
            done = True
        finally:
            if done:
                self._give_back(connection)
            else:
                connection.close()

    def _take(self) -> Connection:
        while True:
            with self._lock:
                if not self._idle:
                    break
                connection = self._idle.pop()
            if not connection.ready(0):  # nothing is due on an idle one but its end
                return connection
            connection.close()
        return self._connect()[0]

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < KEPT:
                self._idle.append(connection)
                return
        connection.close()

    def _connect(self) -> tuple[Connection, dict[str, Any]]:
        try:
            sock = self._address.connect()
        except OSError as error:
            raise EngineAway(f"no process serves the model ({error.strerror or error})") from error
        connection = Connection(sock)
        welcomed = False
        try:
            connection.send("hello", {"protocol": PROTOCOL, "token": self._address.token, "pid": os.getpid()})
            frame = connection.receive() if connection.ready(CONNECT_SECONDS) else Frame("silence")
            if frame.kind != "welcome":
                raise EngineAway("what listens in the engine's place does not serve it")
            welcomed = True
        except (EngineGone, FrameInvalid) as error:
            raise EngineAway("what listens in the engine's place does not serve it") from error
        finally:
            if not welcomed:
                connection.close()
        return connection, frame.fields


def _checked(frame: Frame) -> Frame:
    """Raises what the other side says went wrong."""
    if frame.kind == "error":
        raise packets.error_in(frame)
    if frame.kind == "away":
        raise EngineAway("the process that holds the model is ending; ask again")
    return frame


def _expect(connection: Connection, kind: str) -> Frame:
    frame = _checked(connection.receive())
    if frame.kind != kind:
        raise FrameInvalid("the engine's process answered something else; the connection is closed")
    return frame


def _written(connection: Connection, kind: str, references: Arrays, count: int) -> list[ExplicitMemory]:
    connection.send(kind, None, references)
    return packets.memories_in(_expect(connection, "memories"), count)


def _event(frame: Frame) -> Token | Read | Queued | Trimmed:
    with packets.reading():
        if frame.kind == "token":
            return Token(int(frame.fields["id"]), str(frame.fields["text"]))
        if frame.kind == "queued":
            return Queued(int(frame.fields["ahead"]))
        if frame.kind == "trimmed":
            return Trimmed(int(frame.fields["messages"]))
        if frame.kind == "read":
            return packets.read_in(frame.fields, frame.arrays)
    raise FrameInvalid("the engine's process answered something else; the connection is closed")
