"""The language model and the embedder of one process, loaded when they are first needed or in the background.

Knows nothing of users: what an answer may read is decided by the store that it is asked with.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.answering.asking import Asker
from app.errors import AttestError, NotReady, for_people
from app.library.views import EngineStatus
from app.settings import Settings
from engine.choice import Choice
from engine.protocol import Embedder, Engine
from storage.store import Store

log = logging.getLogger(__name__)

FINISH_SECONDS = 120.0  # for answers that have begun, when their model gives way to another


class Models:
    """Safe to share between threads.

    store: where memories are kept. shared: use the engine of whichever process of this user has it loaded,
    else be that process. Without it the model is loaded here in any case. after: called before anything is
    loaded; it ends what these models take the place of.
    """

    def __init__(
        self, settings: Settings, store: Store, *, shared: bool, after: Callable[[], None] | None = None
    ) -> None:
        self._settings, self._store, self._after = settings, store, after
        self._choice = Choice(
            settings.home,
            settings.model,
            settings.embedder,
            settings.device,
            settings.quantisation,
            settings.memory_format,
            settings.backend,
            settings.adapter,
        )
        self._shared = self._choice.share() if shared else None
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._embedder: Embedder | None = None
        self._asker: Asker | None = None
        self._failure: str | None = None
        self._answering = 0
        self._answered = threading.Condition()

    def finish(self) -> None:
        """Close once the answers that have begun are given, or their time is up."""
        with self._answered:
            self._answered.wait_for(lambda: self._answering == 0, FINISH_SECONDS)
        self.close()

    def close(self) -> None:
        if self._shared is not None:
            self._shared.close()

    def engine(self) -> Engine:
        """Loaded on first use, here or by the process that has it. Raises NotReady."""
        with self._lock:
            if self._engine is None:
                with self._loading():
                    self._engine = self._load_engine()
            return self._engine

    def embedder(self) -> Embedder:
        """Loaded on first use. Raises NotReady."""
        with self._lock:
            if self._embedder is None:
                with self._loading():
                    self._embedder = self._choice.load_embedder()
            return self._embedder

    def asker(self, store: Store) -> Asker:
        """Answers from what `store` shows; memories in RAM are shared between all askers."""
        engine = self.engine()
        with self._lock, for_people():
            if self._asker is None:
                self._asker = Asker(
                    self._store, engine, self.embedder, recalling=self._settings.retrieval == "recall"
                )
            return self._asker.seeing(store)

    def warm(self) -> threading.Thread:
        """Load in the background; `status` says how that goes.

        Whether this process owns the engine is settled when it returns.
        """
        if self._shared is not None:
            self._shared.claim()

        def load() -> None:
            try:
                self.asker(self._store)
                self.embedder()
            except AttestError as error:
                log.error("%s", error)

        thread = threading.Thread(target=load, daemon=True)
        thread.start()
        return thread

    def status(self) -> EngineStatus:
        if self._engine is None or self._embedder is None:
            message = self._failure or f"loading the model {self._settings.model}"
            return EngineStatus(False, self._settings.model, "", "", "", "", message)
        info = self._engine.info
        return EngineStatus(
            True,
            info.model,
            info.backend,
            info.quantisation,
            info.device,
            info.device_reason,
            "ready",
            info.adapter or "",
        )

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Around an answer that somebody waits for."""
        with self._answered:
            self._answering += 1
        try:
            yield
        finally:
            with self._answered:
                self._answering -= 1
                self._answered.notify_all()

    @property
    def idle(self) -> bool:
        """Whether nobody waits for an answer of this process."""
        return self._answering == 0

    def fingerprint(self) -> str | None:
        """Of the bank in use, once the engine is loaded."""
        return None if self._engine is None else self._engine.fingerprint.id

    def forget(self) -> None:
        """Drop memories from RAM: something was deleted."""
        if self._asker is not None:
            self._asker.memories.forget()

    def _load_engine(self) -> Engine:
        if self._after is not None:
            self._after()
            self._after = None
        if self._shared is None:
            return self._choice.load_engine()
        log.info("%s answers", self._shared.info.model)  # asking for its name waits until it can
        return self._shared

    @contextmanager
    def _loading(self) -> Iterator[None]:
        try:
            with for_people():
                yield
        except AttestError as error:
            self._failure = str(error)
            raise NotReady(str(error)) from error
        self._failure = None
