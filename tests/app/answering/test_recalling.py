"""The model's own queries order what the search found, as far as memories are there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from app.answering.recalling import CANDIDATES, WEIGHT, ordered, standard
from app.evidence.record import read_record
from app.evidence.report import report_of
from app.evidence.verifying import verify
from app.models import Models
from app.service import Service
from app.settings import Retrieval, Settings
from engine.fake import FakeEngine
from engine.memory import ExplicitMemory
from engine.protocol import EngineInfo, KeyedMemory, Message
from tests.app.conftest import LONG, add, answer

CLAUSE = "Which clause obliges the contractor to insure item 9 against fire?"


class Looking(FakeEngine):
    """Looks for large token ids. asked: how often."""

    def __init__(self, heads: tuple[tuple[int, int], ...] = ((0, 0),)) -> None:
        self.heads, self.asked = heads, 0

    @property
    def info(self) -> EngineInfo:
        return replace(super().info, recall=self.heads)

    def queries(self, messages: Sequence[Message]) -> npt.NDArray[np.float32]:
        self.asked += 1
        found = np.zeros((1, 1, 2, 32), np.float32)
        found[0, 0, -1, 0] = 1
        return found


@dataclass
class Row:
    id: int


def _memory(key: float) -> ExplicitMemory:
    keys = np.zeros((1, 1, 1, 32), np.float32)
    keys[..., 0] = key
    return ExplicitMemory(keys, keys, np.zeros((1, 1, 1), np.uint8), 1)


def order(engine: FakeEngine, shelf: dict[int, float], scores: list[float]) -> list[int]:
    rows = [Row(number) for number in range(len(scores))]
    written = [KeyedMemory(number, _memory(key)) for number, key in shelf.items()]
    return ordered(engine, written, [Message("user", "?")], rows, scores)  # type: ignore[arg-type]


def test_the_order_is_the_slow_obvious_one() -> None:
    generator = np.random.default_rng(1)
    for _ in range(20):
        scores, keys = generator.random(9).tolist(), generator.normal(size=9).tolist()
        found = order(Looking(), dict(enumerate(keys)), scores)
        combined = []
        for score, key in zip(scores, keys, strict=True):
            by_search = (score - np.mean(scores)) / np.std(scores)
            combined.append(by_search + WEIGHT * (key - np.mean(keys)) / np.std(keys))
        assert found == sorted(range(9), key=lambda i: -combined[i])


def test_what_is_not_written_keeps_its_place() -> None:
    engine = Looking()
    assert order(engine, {}, [3.0, 2.0, 1.0]) == [0, 1, 2]
    assert engine.asked == 0  # nothing to look at
    assert order(engine, {2: 5.0}, [3.0, 2.0, 1.0]) == [0, 1, 2]  # one alone tells nothing
    assert order(engine, {1: 0.0, 2: 9.0}, [2.0, 3.0, 2.9]) == [2, 1, 0]
    for heads in ((), ((7, 0),)):  # none are known, or none of the layers that have memories
        assert order(Looking(heads), {0: 0.0, 1: 1.0}, [1.1, 1.0]) == [0, 1]


def test_standard() -> None:
    np.testing.assert_allclose(standard(np.array([[1.0, 5.0], [3.0, 5.0]])), [[-1, 0], [1, 0]])


@pytest.fixture(params=["recall", "search"])
def retrieval(request: pytest.FixtureRequest) -> Retrieval:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def engine() -> Looking:
    return Looking()


@pytest.fixture
def service(
    home: Path, engine: Looking, retrieval: Retrieval, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    monkeypatch.setattr(Models, "_load_engine", lambda self: engine)
    with Service(Settings(home=home, model="fake", retrieval=retrieval)) as opened:
        yield opened


def test_an_answer_reads_what_the_model_looks_for(
    service: Service, engine: Looking, retrieval: Retrieval, tmp_path: Path
) -> None:
    (tmp_path / "long.txt").write_text(LONG)
    (tmp_path / "other.txt").write_text(LONG.replace("Clause", "Section"))
    service.add_collection("others", "general")
    add(service, tmp_path / "long.txt")
    add(service, tmp_path / "other.txt", collection="others")
    read = {m.reference_id for m in answer(service, CLAUSE, max_tokens=4).reads[0].memories}
    vector = service.embedder().embed([CLAUSE])[0]
    search = service.store.search(service.embedder().name, service.embedder().dimension)
    hits = search.hybrid(CLAUSE, vector, "default", k=CANDIDATES)
    assert len(hits) > 5
    by_search = [hit.reference_id for hit in hits]
    if retrieval == "search":
        assert engine.asked == 0
        assert read == set(by_search[:5])
        return
    rows = {row.id: row for row in service.store.references.get(by_search)}
    found = ordered(
        engine,
        service.asker().memories.written(list(rows.values())),
        [Message("user", CLAUSE)],
        [rows[key] for key in by_search],
        [hit.score for hit in hits],
    )
    assert read == {by_search[i] for i in found[:5]}
    assert read != set(by_search[:5])
    assert all(rows[key].document_name == "long.txt" for key in read)
    again = answer(service, CLAUSE, max_tokens=4)
    assert {m.reference_id for m in again.reads[0].memories} == read


def test_an_answer_from_before_memories_were_written_can_be_had_again(
    service: Service, retrieval: Retrieval, tmp_path: Path
) -> None:
    (tmp_path / "long.txt").write_text(LONG)
    add(service, tmp_path / "long.txt", memories=False)
    first = answer(service, CLAUSE, max_tokens=4)
    service.asker().write_ahead(CLAUSE, "default")
    later = answer(service, CLAUSE, max_tokens=4)
    read, anew = ({m.reference_id for m in each.reads[0].memories} for each in (first, later))
    assert (read != anew) is (retrieval == "recall")
    assert bool(first.unwritten) is (retrieval == "recall")
    assert later.unwritten == []
    kept = service.conversations.keep(None, CLAUSE, "default", first, mode="memory", max_tokens=4)
    record = read_record(report_of(service, kept.id).encode())
    verdict = verify(service, record)
    assert verdict.ok, verdict.reasons
    assert not verify(service, replace(record, answer=replace(later, engine=first.engine))).reasons
