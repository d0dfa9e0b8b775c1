"""Another model is chosen while all runs: answers end as they began, and workers go over to it."""

from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from app.answering.answer import Answer, DoneEvent, TokenEvent
from app.errors import AttestError, NotAllowed, NotReady
from app.health import health_of
from app.service import Service
from app.settings import load
from app.supervisor import Supervisor
from engine import choice
from engine.fake import FakeEmbedder, FakeEngine
from engine.format import Fingerprint
from engine.protocol import Embedder, Engine, EngineInfo
from storage.grants import Viewer
from tests.app.conftest import LEASE, QUESTION
from tests.app.library.test_ingesting import until
from tests.engine import tiny_gguf


class Second(FakeEngine):
    """Another model than the fake one, with memories of its own."""

    @property
    def info(self) -> EngineInfo:
        return replace(super().info, model="second")

    @property
    def fingerprint(self) -> Fingerprint:
        return replace(super().fingerprint, weights="second")


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a second model lies."""
    path = tmp_path / "second.gguf"
    path.touch()

    def load_engine(chosen: choice.Choice) -> Engine:
        return FakeEngine() if chosen.model == "fake" else Second()

    def load_embedder(_: choice.Choice) -> Embedder:
        return FakeEmbedder()

    monkeypatch.setattr(choice.Choice, "load_engine", load_engine)
    monkeypatch.setattr(choice.Choice, "load_embedder", load_embedder)
    monkeypatch.delenv("ATTEST_MODEL", raising=False)
    return str(path)


def answer_of(service: Service) -> Answer:
    (done,) = [each for each in service.ask(QUESTION, "default") if isinstance(each, DoneEvent)]
    return done.answer


def test_the_next_answer_is_the_other_models_from_memories_of_its_own(
    service: Service, filled: list[str], second: str
) -> None:
    first = answer_of(service)
    service.use_model(second).join()
    assert service.engine_status().model == "second"
    lacking = health_of(service).lacking
    assert lacking == service.store.references.count()
    given = answer_of(service)
    assert (first.engine.model, given.engine.model) == ("fake", "second")
    assert given.reads
    assert first.engine.fingerprint != given.engine.fingerprint
    assert health_of(service).lacking < lacking  # those that were read are written
    with pytest.raises(AttestError, match="given by fake as it was then; ask again"):
        service.needed(QUESTION, "default", first)
    assert load().model == second  # of every later start, too
    service.use_model("fake").join()
    assert service.needed(QUESTION, "default", first).citations[0].needed is not None


def test_an_answer_that_has_begun_ends_with_its_own_model(
    service: Service, filled: list[str], second: str
) -> None:
    stream = service.ask(QUESTION, "default")
    next(each for each in stream if isinstance(each, TokenEvent))
    loading = service.use_model(second)
    assert not service.engine_status().ready
    with pytest.raises(NotReady, match="still being loaded"):
        service.use_model("fake")
    (done,) = [each for each in stream if isinstance(each, DoneEvent)]
    assert done.answer.engine.model == "fake"
    loading.join()
    assert answer_of(service).engine.model == "second"


def test_the_worker_goes_over(service: Service, second: str, keep) -> None:
    service.warm().join()
    seen: list[str] = []

    class Watched(Supervisor):
        def start(self, settings) -> None:
            seen.append(f"start {settings.model}")
            super().start(settings)

        def end(self) -> None:
            seen.append("end")
            super().end()

    with Watched(service.settings) as workers:
        service.work_with(workers)
        until(lambda: workers.pids)
        (before,) = workers.pids
        service.use_model(second).join()
        until(lambda: workers.pids)
        (after,) = workers.pids
        assert not psutil.pid_exists(before) or psutil.Process(before).status() == psutil.STATUS_ZOMBIE
        service.add_documents([keep("lease.md", LEASE)], "default")
        until(lambda: service.documents("default")[0].status == "ready")
        assert psutil.Process(after).cmdline().count(second) == 1
        assert service.documents("default")[0].memories  # of the second model: listed by what is in use
    assert seen == ["start fake", "end", f"start {second}", "end"]
    assert workers.pids == []


def test_a_model_that_cannot_be_loaded_says_why_and_another_can_be_chosen(
    service: Service, filled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATTEST_MODEL", raising=False)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and no more")
    answer_of(service)
    service.use_model(str(broken)).join()
    status = service.engine_status()
    assert not status.ready
    assert "broken" in status.message
    service.use_model("fake").join()
    assert answer_of(service).engine.model == "fake"


def test_a_real_file_takes_the_place_of_the_fake(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATTEST_MODEL", raising=False)
    path = tiny_gguf.write(tmp_path / "tiny.gguf", "llama")
    service.use_model(str(path)).join()
    assert service.engine().info.model == "tiny"
    assert service.engine().fingerprint.id == service._models.fingerprint()


def test_what_is_no_model_and_who_may_not_choose(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AttestError, match="no model 'nothing'"):
        service.use_model("nothing")
    with pytest.raises(AttestError, match="fetched from a hub"):
        service.use_model("owner/model")
    with pytest.raises(NotAllowed, match="only the administrator"):
        service.as_user(Viewer(7, "ann", "session")).use_model("fake")
    with pytest.raises(NotAllowed, match="only the administrator"):
        service.as_user(Viewer(7, "ann", "session")).write_memories()
    monkeypatch.setenv("ATTEST_MODEL", "smollm2-135m-instruct")
    with pytest.raises(AttestError, match="ATTEST_MODEL says that the model is smollm2-135m-instruct"):
        service.use_model("fake")
    assert service.settings.model == "fake"
    assert not (service.settings.home / "settings.toml").exists()
