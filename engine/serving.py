"""An engine's side of the wire: other processes of the same user ask, one request per connection at a time.

    hello {protocol, token, pid}      -> welcome {identity, info, format, fingerprint, pid}
    tokenize {text}                   -> tokens
    write + references                -> memories
    attend {messages, count} + memories -> attention
    look {messages}                   -> queries
    generate {messages, options, asks} -> queued* (chunk | token | read | trimmed)* end
    score {messages, answer, asks}    -> chunk* score
    needed {messages, answer, groups} -> chunk* needed
    chunk {index, part, text} asks the client for memories, which answers: (cold -> memories)* memories
    stop ends the answer that runs; error {name, message} ends any request
    away: nothing has begun here, ask another process

A client that sends anything else, or goes away, loses its connection; what it asked for is stopped within one
token. Never logs what it carries.
"""

import hmac
import logging
import os
import queue
import selectors
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace

from engine import packets
from engine.errors import EngineGone, FrameInvalid
from engine.protocol import Chunk, Engine, KeyedMemory, Queued, Token, Trimmed
from engine.wire import Connection, Frame

log = logging.getLogger(__name__)

PROTOCOL = 2
HELLO_SECONDS = 5.0
DRAIN_SECONDS = 30.0  # when the owner ends, answers of others that have begun may go on for so long
ANSWER_SECONDS = 300.0  # a client that takes longer to fetch memories counts as gone
ACCEPT_SECONDS = 0.1  # before another try when no connection can be accepted (no file descriptors, say)
BACKLOG = 8  # messages a client may send before one is looked at


class Server:
    """Serves `engine` on `listener` (which it closes) to whoever knows `token`, until closed.

    identity: what was loaded, for clients to compare with what they would have loaded.
    """

    def __init__(
        self, engine: Engine, listener: socket.socket, token: str, identity: Mapping[str, str]
    ) -> None:
        self._engine, self._listener, self._token = engine, listener, token
        self._welcome = packets.engine_out(engine.info, engine.format, engine.fingerprint)
        self._welcome |= {"identity": dict(identity), "pid": os.getpid()}
        self._lock = threading.Lock()
        self._peers: set[Peer] = set()
        self._closing = False
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, daemon=True, name="engine-server")
        self._thread.start()

    def close(self, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Take nothing new, send away what waits, and let answers that have begun end."""
        self._wake.close()
        self._thread.join()
        with self._lock:
            self._closing = True
            peers = list(self._peers)
        begun = [peer for peer in peers if not peer.send_away()]
        limit = time.monotonic() + drain_seconds
        for peer in begun:
            peer.thread.join(max(0.0, limit - time.monotonic()))
            peer.connection.hang_up()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector, self._listener, self._woken:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not any(key.fileobj is self._woken for key, _ in selector.select()):
                try:
                    sock, _ = self._listener.accept()
                except OSError as error:
                    log.warning("a connection to the engine was not accepted (%s)", error.strerror)
                    time.sleep(ACCEPT_SECONDS)
                    continue
                peer = Peer(self._engine, Connection(sock))
                threading.Thread(target=self._attend, args=(peer,), daemon=True).start()

    def _attend(self, peer: "Peer") -> None:
        """A connection's life; its thread is the one that receives."""
        connection = peer.connection
        try:
            pid = self._greeted(connection)
            if pid is None:
                return
            with self._lock:
                if self._closing:
                    return
                self._peers.add(peer)
            peer.name = str(pid)
            peer.thread.start()
            connection.send("welcome", self._welcome)
            peer.receive()
        except EngineGone:
            pass
        except FrameInvalid as error:
            log.warning("a client of the engine was cut off: %s", error)
        finally:
            peer.end()
            with self._lock:
                self._peers.discard(peer)
            connection.close()

    def _greeted(self, connection: Connection) -> int | None:
        """The client's process id; None if it is none of ours."""
        if not connection.ready(HELLO_SECONDS):
            return None
        hello = connection.receive()
        fits = hello.kind == "hello" and hello.fields.get("protocol") == PROTOCOL
        token, pid = hello.fields.get("token"), hello.fields.get("pid")
        told = token.encode("utf-8", "surrogatepass") if isinstance(token, str) else b""
        known = hmac.compare_digest(told, self._token.encode())
        return pid if fits and known and type(pid) is int else None


class Peer:
    """One client's connection: the thread that receives, and `thread`, which works."""

    def __init__(self, engine: Engine, connection: Connection) -> None:
        self.connection = connection
        self.name = ""
        self.thread = threading.Thread(target=self._work, daemon=True)
        self._engine = engine
        self._inbox: queue.SimpleQueue[tuple[Frame, threading.Event] | None] = queue.SimpleQueue()
        self._stop = threading.Event()  # of the request that was received last
        self._lock = threading.Lock()
        self._begun = False  # the answer that runs has got somewhere
        self._leaving = False

    def receive(self) -> None:
        """Until the connection ends. Raises EngineGone then, or FrameInvalid."""
        while True:
            frame = self.connection.receive()
            if frame.kind == "stop":
                self._stop.set()
                continue
            if frame.kind not in ("cold", "memories"):  # a request of its own, not a part of one
                self._stop = threading.Event()
            if self._inbox.qsize() >= BACKLOG:
                raise FrameInvalid("more messages at once than a connection takes")
            self._inbox.put((frame, self._stop))

    def end(self) -> None:
        """The connection is gone: stop what runs."""
        self._stop.set()
        self._inbox.put(None)

    def send_away(self) -> bool:
        """End the connection, unless an answer has begun (False): that one may end first."""
        with self._lock:
            self._leaving = True
            if self._begun:
                return False
        with suppress(EngineGone):
            self.connection.send("away")
        self.connection.hang_up()
        return True

    def _work(self) -> None:
        try:
            while (received := self._inbox.get()) is not None:
                self._serve(*received)
                with self._lock:
                    self._begun = False
                    if self._leaving:
                        break
        except EngineGone:
            pass
        except FrameInvalid as error:
            log.warning("a client of the engine was cut off: %s", error)
        self.connection.hang_up()

    def _serve(self, frame: Frame, stop: threading.Event) -> None:
        try:
            self._answer(frame, stop)
        except (EngineGone, FrameInvalid):
            raise
        except Exception as error:  # noqa: BLE001 - models raise anything; it is the client who must hear of it
            log.warning("a request (%s) of another process failed: %s", frame.kind, type(error).__name__)
            self.connection.send("error", packets.error_out(error))

    def _answer(self, frame: Frame, stop: threading.Event) -> None:
        if frame.kind == "generate":
            self._generate(frame, stop)
        elif frame.kind in ("score", "needed"):
            with packets.reading():
                answer, asks = frame.fields["answer"], frame.fields["asks"]
                if type(answer) is not str:
                    raise FrameInvalid("an answer that is no text")
            messages = packets.messages_in(frame.fields)
            if frame.kind == "score":
                score = self._engine.score(messages, answer, self._memories_for if asks else None)
                self.connection.send("score", *packets.score_out(score))
            else:
                groups = packets.groups_in(frame.fields)
                needed = self._engine.needed(messages, answer, self._memories_for, groups)
                self.connection.send("needed", None, packets.needed_out(needed))
        elif frame.kind == "tokenize":
            text = frame.fields.get("text")
            if type(text) is not str:
                raise FrameInvalid("nothing to cut into tokens")
            self.connection.send("tokens", None, packets.tokens_out(self._engine.tokenize(text)))
        elif frame.kind == "write":
            self._write(frame)
        elif frame.kind == "attend":
            with packets.reading():
                memories = packets.memories_in(frame, int(frame.fields["count"]))
            attention = self._engine.attend(packets.messages_in(frame.fields), memories)
            self.connection.send("attention", None, packets.attention_out(attention))
        elif frame.kind == "look":
            queries = self._engine.queries(packets.messages_in(frame.fields))
            self.connection.send("queries", None, {"queries": queries})
        else:
            raise FrameInvalid("a request that does not exist")

    def _generate(self, frame: Frame, stop: threading.Event) -> None:
        messages = packets.messages_in(frame.fields)
        options = replace(packets.options_in(frame.fields, self.name), stop=stop)
        asks = frame.fields.get("asks") is True
        stream = self._engine.generate(messages, self._memories_for if asks else None, options)
        with closing(stream):  # type: ignore[type-var]  # engines' streams are generators
            for event in stream:
                if isinstance(event, Queued):
                    self.connection.send("queued", {"ahead": event.ahead})
                    continue
                self._begin()
                if isinstance(event, Token):
                    self.connection.send("token", {"id": int(event.id), "text": event.text})
                elif isinstance(event, Trimmed):
                    self.connection.send("trimmed", {"messages": event.messages})
                else:
                    self.connection.send("read", *packets.read_out(event))
        self.connection.send("end")

    def _memories_for(self, chunk: Chunk) -> Sequence[KeyedMemory]:
        """Ask the client, and write what it finds missing, here: in the thread of its answer."""
        self._begin()
        self.connection.send("chunk", {"index": chunk.index, "part": chunk.part, "text": chunk.text})
        while True:
            try:
                received = self._inbox.get(timeout=ANSWER_SECONDS)
            except queue.Empty:
                received = None
            if received is None:
                raise EngineGone("the client went away while it was asked for memories")
            frame, _ = received
            if frame.kind == "memories":
                return packets.keyed_in(frame)
            if frame.kind != "cold":
                raise FrameInvalid("a new request in the middle of an answer")
            self._write(frame)

    def _write(self, frame: Frame) -> None:
        written = self._engine.write(packets.references_in(frame))
        self.connection.send("memories", {"count": len(written)}, packets.memories_out(written))

    def _begin(self) -> None:
        """From now on, the client cannot simply ask someone else."""
        with self._lock:
            if self._leaving and not self._begun:
                raise EngineGone("the client was sent away")
            self._begun = True
