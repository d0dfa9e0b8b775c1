"""What answers, for every view of a service: the models that the settings name, exchanged while all runs."""

import threading
from typing import Protocol

from app.errors import NotReady
from app.models import Models
from app.settings import Settings, with_model
from storage.store import Store


class Workers(Protocol):
    """Those that a service has beside it; see `app.supervisor`."""

    def start(self, settings: Settings) -> None: ...

    def end(self) -> None: ...


class Chosen:
    """workers: which write memories with the same model; None where the process has none."""

    def __init__(self, settings: Settings, store: Store, *, shared: bool) -> None:
        self.settings = settings
        self.models = Models(settings, store, shared=shared)
        self.workers: Workers | None = None
        self._store, self._shared = store, shared
        self._loading: threading.Thread | None = None

    def exchange(self, model: str) -> threading.Thread:
        """See `Service.use_model`; one call at a time. Returns what loads the model, in the background.

        Raises NotReady while one is being loaded, and as `app.settings.with_model`.
        """
        if self._loading is not None and self._loading.is_alive():
            raise NotReady(f"{self.settings.model} is still being loaded; try again in a moment")
        settings = with_model(self.settings, model)
        before, workers = self.models, self.workers

        def end() -> None:
            if workers is not None:
                workers.end()  # first, or they would take the model before over, to go on with it
            before.finish()

        models = Models(settings, self._store, shared=self._shared, after=end)
        self.settings, self.models = settings, models

        def load() -> None:
            models.warm().join()
            if workers is not None:
                workers.start(settings)

        self._loading = threading.Thread(target=load, daemon=True)
        self._loading.start()
        return self._loading
