"""Upkeep of the banks: whether they are whole, writing them anew for another engine, giving disk back.

A bank belongs to the engine that wrote it. After a change of model, adapter or format the new engine's bank
is written in the background, one job for each document, while the old one goes on serving its own engine.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.errors import AttestError, for_people
from app.service import Service
from app.supervisor import OwnWorkers
from engine.format import Fingerprint, fingerprint_id
from ingest.bank import MemoryBank
from ingest.renewing import queue
from storage.audit import Audit, Problem
from storage.compaction import Compaction
from storage.records import BankStatus

UNREADABLE = "it was coded with a codebook that is damaged or gone"
POLL_SECONDS = 0.5
AT_A_TIME = 500  # documents asked about in one go


@dataclass(frozen=True)
class Rebuilt:
    """Where the present engine's bank stands.

    queued: documents whose memories are being written. discarded: damaged memories taken out first.
    memories, references: written, and in all documents that can be searched. complete: nothing is lacking.
    droppable: once it is complete, the banks of other engines, which `attest memories compact --bank` drops.
    """

    fingerprint_id: str
    queued: int
    discarded: int
    memories: int
    references: int
    complete: bool
    droppable: tuple[str, ...]


Report = Callable[[int, int], None]


def verify(service: Service) -> Audit:
    """Read every memory and count everything against everything. Changes nothing."""
    with for_people():
        audit = service.store.audit(fingerprint_id)
        known = [Fingerprint.from_json(bank.fingerprint) for bank in service.store.banks.status()]
        unreadable = {each.id: MemoryBank(service.store, each).unreadable() for each in known}
    banks = [replace(bank, whole=bank.whole - len(unreadable[bank.fingerprint_id])) for bank in audit.banks]
    problems = [
        Problem(UNREADABLE, bank, reference_id=reference)
        for bank, references in unreadable.items()
        for reference in references
    ]
    return replace(audit, banks=tuple(banks), problems=(*audit.problems, *problems))


def compact(service: Service, drop: Sequence[str] = ()) -> Compaction:
    """Give disk back; `drop`: banks to remove. Raises AttestError: not the bank of the engine in use."""
    if drop and (mine := service.engine().fingerprint.id) in drop:
        raise AttestError(f"bank {mine} belongs to the engine in use; choose another model first")
    with for_people():
        return service.store.compact(drop)


def rebuild(service: Service, *, wait: bool = False, report: Report | None = None) -> Rebuilt:
    """Have every memory that the present engine lacks written by the worker.

    wait: until all jobs are done, with a worker of our own if none runs; `report` then hears how many
    memories are written, of how many. Raises NotReady, AttestError if the model cannot write memories.
    """
    engine = service.engine()
    if engine.info.refusal is not None:
        raise AttestError(engine.info.refusal)
    mine = engine.fingerprint.id
    with for_people():
        discarded = MemoryBank(service.store, engine.fingerprint).discard_damaged()
        lacking = service.store.references.documents_without_memory(mine)
        for document_id in lacking:
            queue(service.store, document_id)
    if wait and lacking:
        _wait(service, set(lacking), mine, report or (lambda done, total: None))
    return _standing(service, mine, 0 if wait else len(lacking), discarded)


def _wait(service: Service, waiting: set[str], mine: str, report: Report) -> None:
    with OwnWorkers(service.settings) as worker:
        while waiting:
            asked = sorted(waiting)[:AT_A_TIME]
            with for_people():
                rows = service.store.documents.of_ids(asked)
                lacking = service.store.references.documents_without_memory(mine)
                total = service.store.references.count()
            waiting -= {key for key in asked if key not in rows or rows[key].job is None}
            report(total - sum(lacking.values()), total)
            if waiting:
                worker.keep_running(service.store)
                time.sleep(POLL_SECONDS)


def _standing(service: Service, mine: str, queued: int, discarded: int) -> Rebuilt:
    with for_people():
        lacking = sum(service.store.references.documents_without_memory(mine).values())
        references = service.store.references.count()
        others = tuple(bank.fingerprint_id for bank in service.store.banks.status() if _other(bank, mine))
    complete = not lacking
    return Rebuilt(
        mine, queued, discarded, references - lacking, references, complete, others if complete else ()
    )


def _other(bank: BankStatus, mine: str) -> bool:
    return bank.fingerprint_id != mine


def is_partial(audit: Audit) -> bool:
    """Whether all that is wrong is about some memories, while others are whole."""
    about_memories = all(problem.shard or problem.reference_id for problem in audit.problems)
    return about_memories and any(bank.whole for bank in audit.banks)


def audit_json(audit: Audit) -> dict[str, Any]:
    """The audit as `attest memories verify --json` prints it."""
    return {
        "ok": not audit.problems,
        "documents": audit.documents,
        "references": audit.references,
        "banks": list(audit.banks),
        "problems": list(audit.problems),
    }
