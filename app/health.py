"""How it all stands, for people: what answers and where, what is kept, what is wrong and what to do."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

from app.doctor import Check, checks_of
from app.errors import for_people
from app.library.views import EngineStatus
from app.service import Service
from engine.registry import installed


@dataclass(frozen=True)
class Health:
    """home: the folder of the store. memories, memory_bytes: of all banks. free: on the store's disk.

    lacking: passages that the model has no memory of yet; None until it is loaded, or if it writes none.
    models: names of those that are here and known by name. audited: what reading every memory found, None
    where that was not asked for.
    """

    version: str
    engine: EngineStatus
    embedder: str
    home: str
    collections: int
    documents: int
    passages: int
    memories: int
    memory_bytes: int
    free: int
    workers: int
    lacking: int | None
    models: Sequence[str]
    checks: Sequence[Check]
    audited: Sequence[str] | None = None

    @property
    def problems(self) -> list[Check]:
        return [check for check in self.checks if check.state != "ok"]


def health_of(service: Service, *, thorough: bool = False) -> Health:
    """Raises AttestError."""
    store = service.store
    with for_people():
        banks = store.banks.status()
        _, passages = store.listing.written(None)
        documents = store.documents.count()
        collections = len(store.collections.profiles())
        workers = len(store.workers.alive())
    return Health(
        version("attest-assistant"),
        service.engine_status(),
        service.settings.embedder,
        str(service.settings.home),
        collections,
        documents,
        passages,
        sum(bank.memories for bank in banks),
        sum(bank.bytes for bank in banks),
        shutil.disk_usage(service.settings.home).free,
        workers,
        _lacking(service),
        installed(),
        _checks(service, workers),
        _audited(service) if thorough else None,
    )


def _checks(service: Service, workers: int) -> list[Check]:
    """What runs here should have a worker, which the command line can do without."""
    lacking = "none is running yet; documents wait until one does, which should be in a moment"
    return [
        replace(check, state="warning", message=lacking) if check.name == "worker" and not workers else check
        for check in checks_of(service)
    ]


def _lacking(service: Service) -> int | None:
    if not service.engine_status().ready:
        return None
    engine = service.engine()
    if engine.info.refusal is not None:
        return None
    with for_people():
        return sum(service.store.references.documents_without_memory(engine.fingerprint.id).values())


def _audited(service: Service) -> list[str]:
    from app.library.upkeep import verify

    return [problem.message for problem in verify(service).problems]
