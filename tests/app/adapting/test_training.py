"""`attest adapt`: from a folder of questions to an adapter that the engine uses."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from gguf import GGUFReader
from safetensors.torch import load_file

from app.adapting import heads as fitting_heads
from app.adapting.heads import fit_heads
from app.adapting.training import AFTER_TEXT, KEPT, TEXT_FIRST, evaluate, export, read_material, train
from app.errors import AttestError
from app.settings import Settings
from engine.adapt.examining import Row
from engine.adapt.training import Progress
from engine.adapt.weighing import WAYS
from engine.adapter import OURS, TENSORS, Adapter
from engine.loading import load
from engine.opening import open_engine
from engine.protocol import Message
from engine.selection import RULES
from engine.torch_engine import TorchEngine
from tests.app.conftest import attest, attest_process
from tests.engine import tiny, tiny_gguf


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Enough contexts that some are held out."""
    folder = tmp_path / "data"
    folder.mkdir()
    contexts, questions = [], []
    for n in range(40):
        text = f"Lease {n}. Tenant {n * 7} pays {n * 13} euros. The roof is kept in order by owner {n}."
        contexts.append({"context_id": f"c{n}", "title": f"Lease {n}", "text": text})
        answer = {"text": f"{n * 13} euros", "start": text.index(f"{n * 13} euros")}
        questions.append({"id": n, "question": "What is paid?", "answers": [answer], "context_id": f"c{n}"})
    for name, rows in (("legal_contexts", contexts), ("legal_qa", questions)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    model = tiny.save("llama", tmp_path / "model")
    return Settings(home=tmp_path / "home", model=str(model), device="cpu")


def test_a_trained_adapter_is_measured_and_used(settings: Settings, data: Path, tmp_path: Path) -> None:
    folder, reports = tmp_path / "reader", list[Progress]()
    card = train(settings, data, folder, steps=2, seed=3, report=reports.append)
    assert [progress.step for progress in reports] == [0, 2]
    adapter = Adapter.open(folder)
    assert (adapter.base, adapter.format.to_json()) == (card["base"], card["format"])
    assert card["trained"]["data"].keys() == {"legal_qa.jsonl", "legal_contexts.jsonl"}
    assert not [file for file in folder.glob("*.json") if str(tmp_path) in file.read_text()]

    rows = list(evaluate(settings, data, folder, batches=1, seed=1))
    base, adapted = ([row for row in rows if row.adapted is side] for side in (False, True))
    assert [row.reads for row in base] == ["none", "text", "memory", "wrong"]
    assert [row.reads for row in adapted] == ["none", "text", *["memory"] * len(KEPT), "wrong"]
    assert [row.tokens_per_head for row in adapted[2:]] == [*KEPT, 64]
    assert len({row.n for row in rows}) == 1
    assert base[0].nll != adapted[0].nll  # two steps have changed something
    assert base[2].nll != base[3].nll  # wrong memories are not the right ones
    assert {row.variant for row in rows} == {""}
    assert all((row.law, row.medicine, row.general) == (row.nll, None, None) for row in rows)
    assert list(evaluate(settings, data, folder, batches=1, seed=1, reads=["text"])) == [
        row for row in rows if row.reads == "text"
    ]

    plain = open_engine(settings.model, adapter="none", cache=settings.model_cache)
    engine = open_engine(settings.model, adapter=str(folder), cache=settings.model_cache)
    assert engine.info.adapter == "reader"
    assert engine.format == adapter.format
    assert engine.fingerprint.id != plain.fingerprint.id


def test_memories_are_learnt_after_text(settings: Settings, data: Path, tmp_path: Path) -> None:
    """One command does what two do, and goes on where it was stopped."""
    arguments = {"seed": 3, "report": lambda progress: None}
    stop, folder = threading.Event(), tmp_path / "one"

    def stop_soon(progress: Progress) -> None:
        if progress.step == 0:
            stop.set()

    stopped = {**arguments, "report": stop_soon, "stop": stop}
    card = train(settings, data, folder, steps=2, text_first=1, **stopped)
    assert (card["trained"]["reads"], card["trained"]["step"]) == ("text", 0)
    assert not (folder / "attest.json").exists()
    card = train(settings, data, folder, steps=2, text_first=1, **arguments)
    assert train(settings, data, folder, steps=2, text_first=1, **arguments) == card  # it has ended
    assert json.loads((folder / "attest.json").read_text()) == json.loads(json.dumps(card))
    assert (card["trained"]["reads"], card["trained"]["step"]) == ("memory", 2)
    assert card["trained"]["nll"]

    text, two, start = tmp_path / "text", tmp_path / "two", folder / TEXT_FIRST
    train(settings, data, text, steps=1, reads="text", **arguments)
    # from the same folder: the second part's lessons are drawn by its hash
    train(settings, data, two, steps=2, start=start, learning_rate=AFTER_TEXT, **arguments)
    for one, other in ((start, text), (folder, two)):
        mine, theirs = (load_file(each / TENSORS) for each in (one, other))
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    with pytest.raises(AttestError, match="goes before memories"):
        train(settings, data, folder, steps=2, reads="text", text_first=1, **arguments)


def test_heads_are_weighed_and_used(
    settings: Settings, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting_heads, "FEWEST", 3)
    folder, measured, stop = tmp_path / "reader", tmp_path / "measured.npz", threading.Event()
    train(settings, data, folder, steps=2, seed=3, report=lambda progress: None)
    before = Adapter.open(folder)
    arguments = (settings, data, folder)
    options = {"questions": 20, "held_out": 20, "seed": 1, "measured": measured, "stop": stop}
    reports: list[str] = []
    rows = list(fit_heads(*arguments, **options, report=reports.append))
    assert [row["name"] for row in rows if row["cross_validated"]] == [way.name for way in WAYS]
    assert [(row["name"] == "plain mean", row["answers"]) for row in rows if not row["cross_validated"]] == [
        *((True, "gold"), (False, "gold"), (True, "generated"), (False, "generated"))
    ]
    adapter = Adapter.open(folder)
    assert adapter.hash == before.hash
    assert adapter.heads is not None
    engine = open_engine(settings.model, adapter=str(folder), cache=settings.model_cache)
    assert engine.info.heads == adapter.heads.id
    assert str(tmp_path) not in (folder / "heads.json").read_text()

    stop.set()  # measures nothing, and finds the same in what was kept
    again = list(fit_heads(*arguments, **options, report=reports.append))
    assert again == rows
    assert Adapter.open(folder).heads == adapter.heads
    measured.unlink()
    with pytest.raises(AttestError, match="too few to weigh heads by"):
        list(fit_heads(*arguments, **options, report=reports.append))


def test_the_ladder_changes_one_thing_at_a_time(
    settings: Settings, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "reader"
    train(settings, data, folder, steps=2, seed=3, report=lambda progress: None)
    for name in ("home", "model", "device"):
        monkeypatch.setenv(f"ATTEST_{name.upper()}", str(getattr(settings, name)))
    done = attest("adapt", "evaluate", folder, "--data", data, "--batches", "1", "--ladder", "--json")
    assert done.status == 0, done.stderr
    rows = [Row(**line) for line in done.lines]
    plain = rows[: 4 + 3 + len(KEPT)]
    assert {row.variant for row in plain} == {""}
    ladder = {row.variant: row for row in rows[len(plain) :]}
    assert list(ladder) == [
        *("first half", "serial", "1 memory", "3 memories", "10 memories", "shuffled"),
        *(f"selection {rule}" for rule in RULES),
        *("codec fp32", "codec fp16", "codec int8", "codec int4", "codec int4-channel"),
    ]
    own = next(row for row in plain if row.adapted and row.reads == "memory" and row.tokens_per_head == 64)
    assert {(row.adapted, row.reads, row.tokens_per_head, row.n) for row in ladder.values()} == {
        (True, "memory", 64, own.n)
    }
    assert ladder["codec int4-channel"] == replace(own, variant="codec int4-channel")
    assert ladder["shuffled"].nll == pytest.approx(own.nll, abs=2e-4)
    for variant in ("first half", "serial", "1 memory", "selection attention", "codec fp32", "codec int4"):
        assert ladder[variant].nll != own.nll, variant


def test_adapters_are_averaged_by_a_command(settings: Settings, data: Path, tmp_path: Path) -> None:
    first, second, mean = tmp_path / "first", tmp_path / "second", tmp_path / "mean"
    train(settings, data, first, steps=1, seed=0, report=lambda progress: None)
    train(settings, data, second, steps=1, seed=0, start=first, report=lambda progress: None)
    done = attest("adapt", "average", mean, second, first, "--json")
    assert done.status == 0, done.stderr
    adapter, parts = Adapter.open(mean), [Adapter.open(second), Adapter.open(first)]
    (card,) = done.lines
    assert card == json.loads((mean / OURS).read_text())
    assert [part["adapter"] for part in card["trained"]["mean of"]] == [part.hash for part in parts]
    assert adapter.base == parts[0].base
    numbers = [load_file(each.folder / TENSORS) for each in (adapter, *parts)]
    for name, tensor in numbers[0].items():
        torch.testing.assert_close(tensor.float(), (numbers[1][name].float() + numbers[2][name].float()) / 2)
    again = attest("adapt", "average", mean, second, first)
    assert again.status != 0
    assert "exists already" in again.stderr
    alone = attest("adapt", "average", tmp_path / "alone", first)
    assert "two adapters" in alone.stderr


def test_an_exported_model_needs_no_adapter(settings: Settings, data: Path, tmp_path: Path) -> None:
    train(settings, data, tmp_path / "reader", steps=4, seed=0, report=lambda progress: None)
    export(settings, tmp_path / "reader", tmp_path / "merged", "merged")

    def score(model: str, adapter: Adapter | None = None) -> npt.NDArray[np.float32]:
        """In bfloat16, which is what exported weights are, whatever the machine computes in."""
        loaded = load(model, dtype=torch.bfloat16, device="cpu", adapter=adapter, cache=settings.model_cache)
        question = [Message("user", "What is paid?")]
        return TorchEngine(loaded).score(question, "13 euros", None).log_probabilities

    adapted = score(settings.model, Adapter.open(tmp_path / "reader"))
    scores = [adapted, score(str(tmp_path / "merged")), score(settings.model)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-3)
    assert abs(scores[0] - scores[2]).max() > 0.2
    with pytest.raises(AttestError, match="exists already"):
        export(settings, tmp_path / "reader", tmp_path / "merged", "merged")
    with pytest.raises(AttestError, match="not a GGUF file"):
        export(settings, tmp_path / "reader", tmp_path / "other", "gguf")


def test_an_adapter_is_exported_for_llama_cpp(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    model = tiny_gguf.write(tmp_path / "tiny.gguf", "llama")
    settings = Settings(home=tmp_path / "home", model=str(model), device="cpu")
    train(settings, data, tmp_path / "reader", steps=1, seed=0, report=lambda progress: None)
    export(settings, tmp_path / "reader", tmp_path / "reader.gguf", "gguf")
    fields = GGUFReader(tmp_path / "reader.gguf").fields
    assert fields["general.type"].contents() == "adapter"
    assert fields["adapter.type"].contents() == "lora"


def test_the_same_folder_with_other_settings_is_refused(
    settings: Settings, data: Path, tmp_path: Path
) -> None:
    train(settings, data, tmp_path / "a", steps=1, seed=0, report=lambda progress: None)
    with pytest.raises(AttestError, match="other settings"):
        train(settings, data, tmp_path / "a", steps=2, seed=0, report=lambda progress: None)


def test_a_folder_without_questions_is_named(tmp_path: Path) -> None:
    with pytest.raises(AttestError, match="holds no questions"):
        read_material(tmp_path)
    done = attest_process("adapt", "train", tmp_path / "out", "--data", tmp_path)
    assert done.status == 1
    assert "holds no questions" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_few_minutes_of_training_lower_the_held_out_loss_by_a_third(
    shared_data: Path, tmp_path: Path
) -> None:
    """The default model on the real data, as the shipped adapter was trained, only shorter."""
    reports: list[Progress] = []
    settings = Settings(home=tmp_path / "home")
    train(settings, shared_data, tmp_path / "adapter", steps=60, seed=0, report=reports.append)
    first, last = reports[0].nll, reports[-1].nll
    assert all(last[kept] < first[kept] * 2 / 3 for kept in (16, 32, 64))
