"""A model that cannot write memories: the document is read, says why, and no job fails."""

from dataclasses import replace

from engine.fake import FakeEmbedder, FakeEngine
from engine.protocol import EngineInfo
from ingest.pipeline import Pipeline
from storage.store import Store

CLAUSE = "The contractor delivers the items to the warehouse before the first of May."


class Refusing(FakeEngine):
    @property
    def info(self) -> EngineInfo:
        return replace(super().info, refusal="its attention slides over a window; ask in text mode")


def run(store: Store, engine: FakeEngine, jobs: int) -> None:
    line = Pipeline(store, engine, FakeEmbedder(), "w")
    for _ in range(jobs):
        job = store.jobs.claim("w")
        assert job is not None
        line.run(job)
    assert store.jobs.claim("w") is None


def test_no_memories_are_queued(store: Store, keep) -> None:
    document_id = store.documents.add(keep("a.txt", CLAUSE), "law")[0].id
    run(store, Refusing(), 1)
    document = store.documents.get(document_id)
    assert (document.status, document.reference_count, document.memory_count) == ("ready", 1, 0)
    (warning,) = document.warnings
    assert warning.page is None
    assert "text mode only: its attention slides over a window" in warning.message


def test_who_wants_no_memories_is_not_warned(store: Store, keep) -> None:
    document_id = store.documents.add(keep("a.txt", CLAUSE), "law", memories=False)[0].id
    run(store, Refusing(), 1)
    assert store.documents.get(document_id).warnings == ()


def test_memories_that_another_model_was_to_write_end_at_once(store: Store, keep) -> None:
    document_id = store.documents.add(keep("a.txt", CLAUSE), "law")[0].id
    job = store.jobs.claim("w")
    assert job is not None
    Pipeline(store, FakeEngine(), FakeEmbedder(), "w").run(job)
    run(store, Refusing(), 1)
    document = store.documents.get(document_id)
    assert (document.status, document.job, len(document.warnings)) == ("ready", None, 1)
    assert [job.status for job in store.jobs.list()] == ["done", "done"]
