"""Which models a home folder uses, and how they are loaded. What the app and its workers must agree on.

The model "fake" is the one for tests of everything around a model (engine.fake), with an embedder of the same
kind unless another than the default is named. Imports nothing heavy
before something is loaded.
"""

import threading
from dataclasses import dataclass
from pathlib import Path

from engine.adapter import identity
from engine.errors import EngineError
from engine.fake import FakeEmbedder, FakeEngine
from engine.opening import Backend, open_engine
from engine.owner import SharedEngine, share
from engine.protocol import Embedder, Engine
from engine.registry import DEFAULT_EMBEDDER, Quantisation


@dataclass(frozen=True)
class Choice:
    """model, embedder: names as `engine.loading` knows them. The rest as in `engine.opening.open_engine`."""

    home: Path
    model: str
    embedder: str
    device: str
    quantisation: Quantisation
    memory_format: str
    backend: Backend = "auto"
    adapter: str = "auto"

    def share(self, stop: threading.Event | None = None) -> SharedEngine:
        """The engine of this home, loaded here or by another process when it is first used."""
        wanted = {
            "model": self.model,
            "adapter": identity(self.adapter, self.model),
            "backend": self.backend,
            "device": self.device,
            "quantisation": self.quantisation,
            "memory_format": self.memory_format,
        }
        return share(self.home, wanted, self.load_engine, stop)

    def load_engine(self) -> Engine:
        """Load it here in any case. Raises EngineError."""
        if self.model == "fake":
            return FakeEngine()
        try:
            return open_engine(
                self.model,
                backend=self.backend,
                device=self.device,
                quantisation=self.quantisation,
                memory_format=self.memory_format,
                adapter=self.adapter,
                cache=self.home / "models",
            )
        except ValueError as error:
            raise EngineError(str(error)) from error

    def load_embedder(self) -> Embedder:
        """Raises EngineError."""
        if self.model == "fake" and self.embedder == DEFAULT_EMBEDDER:
            return FakeEmbedder()
        from engine.embedding import SentenceEmbedder

        return SentenceEmbedder(self.embedder, device=self.device)
