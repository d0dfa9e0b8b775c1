"""After a change of the memory format, what was remembered is remembered anew, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.fake import FakeEmbedder, FakeEngine
from engine.format import Fingerprint
from ingest.pipeline import Pipeline
from ingest.renewing import renew
from storage.store import Store


class OtherFormat(FakeEngine):
    @property
    def fingerprint(self) -> Fingerprint:
        own = super().fingerprint
        return replace(own, format=replace(own.format, selection="attention_value_norm"))


class OtherWeights(FakeEngine):
    @property
    def fingerprint(self) -> Fingerprint:
        return replace(super().fingerprint, weights="others")


def drain(store: Store, engine: FakeEngine) -> None:
    line = Pipeline(store, engine, FakeEmbedder(), "w")
    while job := store.jobs.claim("w"):
        line.run(job)


@pytest.fixture
def documents(store: Store, keep: Callable[[str, str], Path]) -> tuple[str, str]:
    """One that is remembered, and one that was never to be."""
    wanted = store.documents.add(keep("a.txt", "The rent is ten pounds."), "law")[0].id
    drain(store, FakeEngine())
    unwanted = store.documents.add(keep("b.txt", "The roof is red."), "law", memories=False)[0].id
    drain(store, FakeEngine())
    return wanted, unwanted


def test_what_an_earlier_format_remembered_is_remembered_anew(
    store: Store, documents: tuple[str, str]
) -> None:
    wanted, unwanted = documents
    mine = OtherFormat().fingerprint
    assert set(store.references.documents_without_memory(mine.id)) == {wanted, unwanted}
    assert renew(store, mine) == 1
    assert [job.document_id for job in store.jobs.list() if job.status == "queued"] == [wanted]
    drain(store, OtherFormat())
    assert set(store.references.documents_without_memory(mine.id)) == {unwanted}
    assert renew(store, mine) == 0


def test_nothing_is_renewed_for_other_weights_or_the_same_format(
    store: Store, documents: tuple[str, str]
) -> None:
    assert renew(store, OtherWeights().fingerprint) == 0
    assert renew(store, FakeEngine().fingerprint) == 0
    assert [job for job in store.jobs.list() if job.status == "queued"] == []
