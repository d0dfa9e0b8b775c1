"""Training goes on where it stopped, learns what memories hold, and leaves the base alone."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine import loading
from engine.adapt.batch import Batch, Sample
from engine.adapt.lora import LINEAR_MAPS
from engine.adapt.losses import answer_nll
from engine.adapt.training import LOG, Plan, Progress, Training
from engine.adapter import Adapter
from engine.format import MemoryFormat
from engine.loading import LoadedModel
from tests.engine import tiny

FORMAT = MemoryFormat((0, 1, 2, 3), 16, "attention_value_norm", codec="fp32")


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedModel:
    """A fresh model for each test: training changes it in place."""
    folder = tiny.save("llama", tmp_path / "model", initializer_range=0.3)
    return loading.load(str(folder), dtype=torch.float32, device="cpu", cache=tmp_path / "cache")


def batch(step: int) -> Batch:
    """Four codes, each told by its own reference only: nothing but its memory can know it."""
    codes = [(step * 7 + i * 31) % 90 + 10 for i in range(4)]
    references = tuple((*b"the code is ", code, *b" today") for code in codes)
    samples = [Sample(tuple(b"code: "), (code, 257), (i, (i + 1) % 4)[:1]) for i, code in enumerate(codes)]
    plain = Sample(tuple(b"good "), tuple(b"day"), None, teacher=tuple(b"good "), distilled=1.0)
    return Batch(references, (*samples, plain))


def plan(steps: int, **changes: object) -> Plan:
    fields = {"rank": 8, "alpha": 16, "warmup": 2, "tokens_per_head": (16, 32), "save_every": 3, **changes}
    return Plan(FORMAT, steps, **fields)  # type: ignore[arg-type]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(folder / "adapter_model.safetensors")
    return found


def test_an_adapter_is_written_alike_by_every_process(loaded: LoadedModel, tmp_path: Path) -> None:
    Training(loaded, plan(1), tmp_path / "a", batch, []).run(lambda _: None)
    written = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert written["target_modules"] == list(LINEAR_MAPS)


def test_what_only_a_memory_holds_is_learnt(loaded: LoadedModel, tmp_path: Path) -> None:
    reports: list[Progress] = []
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / LOG).write_text("of a training whose state is gone")
    few = [batch(0), batch(1)]
    fast = plan(80, learning_rate=1e-2, evaluate_every=80)
    training = Training(loaded, fast, tmp_path / "a", lambda step: few[step % 2], few)
    reached = training.run(reports.append)
    assert reached == reports[-1]
    first, last = reports[0].nll, reports[-1].nll
    assert set(first) == {16, 32}
    assert all(last[kept] < first[kept] / 3 for kept in first)
    swapped = [replace(sample, memories=((i + 1) % 4,)) for i, sample in enumerate(few[0].samples[:4])]
    misled = answer_nll(loaded.transformer, FORMAT, Batch(few[0].references, tuple(swapped)))
    assert min(misled) > 2 * last[16]
    logged = [json.loads(line) for line in (tmp_path / "a" / LOG).read_text().splitlines()]
    assert [line["step"] for line in logged] == [0, 80]
    assert reached.samples == 80 * 5


def test_a_stopped_training_goes_on_as_if_it_had_not(
    tmp_path: Path, stopping: Callable[[int], tuple[Callable[[int], Batch], threading.Event]]
) -> None:
    def fresh(name: str) -> LoadedModel:
        folder = tiny.save("llama", tmp_path / name)
        return loading.load(str(folder), dtype=torch.float32, device="cpu", cache=tmp_path / "cache")

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    Training(fresh("one"), plan(8), whole, batch, []).run(lambda progress: None)
    batches, stop = stopping(4)
    reached = Training(fresh("two"), plan(8), parts, batches, []).run(lambda progress: None, stop)
    assert reached.step == 0  # nothing was measured since the beginning
    assert Training(fresh("three"), plan(8), parts, batch, []).run(lambda progress: None).step == 8
    expected, found = weights(whole), weights(parts)
    assert expected.keys() == found.keys()
    assert any(tensor.abs().max() > 0 for name, tensor in found.items() if "lora_B" in name)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.fixture
def stopping() -> Callable[[int], tuple[Callable[[int], Batch], threading.Event]]:
    """Batches that set an event once `steps` of them were taken."""

    def make(steps: int) -> tuple[Callable[[int], Batch], threading.Event]:
        stop = threading.Event()

        def batches(step: int) -> Batch:
            if step + 1 == steps:
                stop.set()
            return batch(step)

        return batches, stop

    return make


def test_another_plan_does_not_go_on(tmp_path: Path, loaded: LoadedModel) -> None:
    Training(loaded, plan(2), tmp_path / "a", batch, []).run(lambda progress: None)
    folder = tiny.save("llama", tmp_path / "again")
    again = loading.load(str(folder), dtype=torch.float32, device="cpu", cache=tmp_path / "cache")
    with pytest.raises(ValueError, match="other settings"):
        Training(again, plan(3), tmp_path / "a", batch, []).run(lambda progress: None)


def card(folder: Path) -> Path:
    """What the app writes beside peft's files."""
    (folder / "attest.json").write_text(json.dumps({"base": "", "format": FORMAT.to_json()}))
    return folder


def test_training_goes_on_from_an_adapter(loaded: LoadedModel, tmp_path: Path) -> None:
    """What was learnt is there before the first step."""
    first = Training(loaded, plan(8, evaluate_every=8), tmp_path / "a", batch, [batch(0)])
    learnt = first.run(lambda progress: None).nll
    earlier = Adapter.open(card(tmp_path / "a"))
    folder = tiny.save("llama", tmp_path / "again", initializer_range=0.3)
    again = loading.load(str(folder), dtype=torch.float32, device="cpu", cache=tmp_path / "cache")
    reports: list[Progress] = []
    Training(again, plan(2, start=earlier), tmp_path / "b", batch, [batch(0)]).run(reports.append)
    assert reports[0].nll == pytest.approx(learnt, abs=2e-3)  # an adapter is kept in bfloat16
    assert reports[-1].nll != learnt
    anew = loading.load(str(folder), dtype=torch.float32, device="cpu", cache=tmp_path / "cache")
    with pytest.raises(ValueError, match="other settings"):  # without the adapter it is another training
        Training(anew, plan(2), tmp_path / "b", batch, []).run(reports.append)


def test_an_adapter_of_another_rank_is_nothing_to_go_on_from(loaded: LoadedModel, tmp_path: Path) -> None:
    Training(loaded, plan(1), tmp_path / "a", batch, []).run(lambda progress: None)
    folder = tiny.save("llama", tmp_path / "again")
    again = loading.load(str(folder), dtype=torch.float32, device="cpu", cache=tmp_path / "cache")
    earlier = Adapter.open(card(tmp_path / "a"))
    with pytest.raises(ValueError, match="do not fit"):
        Training(again, plan(1, rank=4, start=earlier), tmp_path / "b", batch, [])


def test_the_base_stays_as_it_is(loaded: LoadedModel, tmp_path: Path) -> None:
    before = {name: p.detach().clone() for name, p in loaded.transformer.model.named_parameters()}
    Training(loaded, plan(3), tmp_path / "a", batch, []).run(lambda progress: None)
    after = dict(loaded.transformer.model.named_parameters())
    for name, tensor in before.items():
        kept = after.get(name, after.get(name.replace(".weight", ".base_layer.weight")))
        assert kept is not None
        assert torch.equal(kept, tensor)
