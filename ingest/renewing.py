"""Memories of another format than those that are there: written anew, document by document.

A release, or a setting, may change what a memory is made of. Documents stay answerable then, as they are
before they are remembered, and what an earlier format of the same model had remembered is remembered again.
"""

import logging

from engine.format import Fingerprint
from ingest.pipeline import WRITE_PRIORITY
from storage.errors import DocumentNotFound
from storage.store import Store

log = logging.getLogger(__name__)


def renew(store: Store, fingerprint: Fingerprint) -> int:
    """Queue the memories that the bank of `fingerprint` lacks, and another of the same engine has.

    Only the format may differ. Returns of how many documents. One that was never wholly remembered is left
    as it is: somebody may have wanted none.
    """
    lacking = store.references.documents_without_memory(fingerprint.id)
    remembered = set[str]()
    for bank in store.banks.status():
        if bank.memories and fingerprint.differences(bank.fingerprint) == ["format"]:
            there = store.references.documents_without_memory(bank.fingerprint_id)
            remembered |= lacking.keys() - there.keys()
    queued = [document_id for document_id in lacking if document_id in remembered]
    for document_id in queued:
        queue(store, document_id)
    if queued:
        log.info("the memory format has changed: %d documents are remembered anew", len(queued))
    return len(queued)


def queue(store: Store, document_id: str) -> None:
    """Have the memories written that a document lacks."""
    try:
        collections = store.documents.get(document_id).collections
        store.jobs.enqueue(
            "memories",
            document_id,
            collection=collections[0] if collections else None,
            priority=WRITE_PRIORITY,
        )
    except DocumentNotFound:
        log.info("document %s was deleted meanwhile", document_id)
