"""The training loop: seeded, resumable, reported as it goes.

Low-rank updates sit on all seven linear maps of every layer. They are computed in the model's own number
format and kept in fp32 beside it, since bfloat16 is too coarse to take small steps in.

A step's batch and its tokens per head depend on the seed and the step's number alone, so a run that was
stopped goes on as if it had not been.
"""

import json
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from engine.adapt import lora
from engine.adapt.batch import Batch
from engine.adapt.losses import answer_logits, answer_nll, loss
from engine.adapt.replies import with_replies
from engine.adapter import Adapter
from engine.format import MemoryFormat
from engine.loading import LoadedModel

log = logging.getLogger(__name__)

BETAS = (0.9, 0.98)
LOG, STATE = "training.jsonl", "state.pt"


@dataclass(frozen=True)
class Plan:
    """What to train and for how long. format: as the adapter will be used, its tokens per head apart, which
    are drawn from `tokens_per_head` for each step, so that one adapter serves several formats. start: the
    adapter that training goes on from.
    """

    format: MemoryFormat
    steps: int
    seed: int = 0
    rank: int = 32
    alpha: int = 64
    learning_rate: float = 1.5e-3
    warmup: int = 40
    clip: float = 1.0
    tokens_per_head: tuple[int, ...] = (8, 16, 32, 64, 64, 128)
    evaluate_every: int = 130
    save_every: int = 50
    start: Adapter | None = None

    def to_json(self) -> dict[str, Any]:
        start = "" if self.start is None else self.start.hash
        return {**asdict(self), "format": self.format.to_json(), "start": start}

    def rate(self, step: int) -> float:
        """Rises over the warm-up, then falls linearly to zero."""
        return self.learning_rate * min((step + 1) / self.warmup, (self.steps - step) / self.steps)


@dataclass(frozen=True)
class Progress:
    """loss: mean since the last report. nll: of held-out answers by tokens per head, where measured."""

    step: int
    steps: int
    samples: int
    seconds: float
    loss: float
    nll: dict[int, float]


class Training:
    """Trains `loaded` in place and keeps everything in `folder`.

    batches: the batch of a step. held_out: measured every `evaluate_every` steps and at both ends. Raises
    ValueError if the adapter to go on from is of another shape.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        plan: Plan,
        folder: Path,
        batches: Callable[[int], Batch],
        held_out: Sequence[Batch],
    ) -> None:
        torch.manual_seed(plan.seed)
        self._plan, self._folder, self._batches, self._held_out = plan, folder, batches, held_out
        self._transformer = loaded.transformer
        self._end = int(loaded.transformer.tokenizer.eos_token_id)
        self._model = lora.attach(loaded.transformer.model, loaded.info.model, plan.rank, plan.alpha)
        if plan.start is not None:
            lora.start_from(self._model, plan.start.folder)
        self._live = [p for p in self._model.parameters() if p.requires_grad]
        self._masters = [p.detach().float().clone().requires_grad_() for p in self._live]
        for live in self._live:
            live.data = live.data.to(self._transformer.dtype)
        self._optimiser = torch.optim.AdamW(self._masters, betas=BETAS, weight_decay=0.0, fused=True)
        self._step, self._samples, self._seconds = 0, 0, 0.0

    def run(self, report: Callable[[Progress], None], stop: threading.Event | None = None) -> Progress:
        """Train to the plan's end, or until `stop` is set. What was reached is saved and returned either way.

        Goes on from the state in the folder, if there is one; a training that has ended is left as it is.
        Raises ValueError if that state belongs to another plan.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._resume()
        plan, losses = self._plan, list[float]()
        if self._step == plan.steps:
            return self._logged()
        reached = Progress(self._step, plan.steps, self._samples, self._seconds, 0.0, {})
        if self._step == 0:
            (self._folder / LOG).unlink(missing_ok=True)  # of a training whose state is gone
            reached = self._measure(losses)
            self._log(reached, report)
        while self._step < plan.steps and not (stop and stop.is_set()):
            started = time.perf_counter()
            losses.append(self._take())
            self._seconds += time.perf_counter() - started
            self._step += 1
            if self._step % plan.evaluate_every == 0 or self._step == plan.steps:
                reached = self._measure(losses)
                self._log(reached, report)
            if self._step % plan.save_every == 0:
                self._save()
        self._save()
        return reached

    def _take(self) -> float:
        """One step."""
        plan, step = self._plan, self._step
        batch = self._batches(step)
        kept = random.Random(f"{plan.seed}:{step}").choice(plan.tokens_per_head)
        fmt = replace(plan.format, tokens_per_head=kept)
        with self._model.disable_adapter():
            batch = replace(batch, samples=with_replies(self._model, batch.samples, self._end))
        teachers = self._taught(fmt, batch)
        value = loss(self._transformer, fmt, batch, teachers)
        torch.autograd.backward(value)
        for live, master in zip(self._live, self._masters, strict=True):
            master.grad = None if live.grad is None else live.grad.float()
            live.grad = None
        norm = torch.nn.utils.clip_grad_norm_(self._masters, plan.clip)
        if not math.isfinite(float(norm)):
            log.warning("step %d was left out: its gradient is not finite", step)
            return float(value.detach())
        for group in self._optimiser.param_groups:
            group["lr"] = plan.rate(step)
        self._optimiser.step()
        self._publish()
        self._samples += len(batch.samples)
        return float(value.detach())

    def _taught(self, fmt: MemoryFormat, batch: Batch) -> list[torch.Tensor | None]:
        """What the frozen model says, from the teacher's prompts."""
        taught = {
            i: replace(sample, prompt=sample.teacher, memories=None)
            for i, sample in enumerate(batch.samples)
            if sample.teacher is not None
        }
        if not taught:
            return [None] * len(batch.samples)
        with torch.no_grad(), self._model.disable_adapter():
            logits = answer_logits(self._transformer, fmt, [], list(taught.values()))
        found = dict(zip(taught, logits, strict=True))
        return [found.get(i) for i in range(len(batch.samples))]

    def _publish(self) -> None:
        for live, master in zip(self._live, self._masters, strict=True):
            live.data.copy_(master.data)

    def _measure(self, losses: list[float]) -> Progress:
        """losses: of the steps since the last time; emptied."""
        nll = {}
        for kept in sorted(set(self._plan.tokens_per_head)):
            fmt = replace(self._plan.format, tokens_per_head=kept)
            values = [nll for batch in self._held_out for nll in answer_nll(self._transformer, fmt, batch)]
            if values:
                nll[kept] = round(sum(values) / len(values), 4)
        mean = sum(losses) / len(losses) if losses else 0.0
        losses.clear()
        seconds = round(self._seconds, 1)
        return Progress(self._step, self._plan.steps, self._samples, seconds, round(mean, 4), nll)

    def _log(self, progress: Progress, report: Callable[[Progress], None]) -> None:
        with (self._folder / LOG).open("a") as lines:
            lines.write(json.dumps(asdict(progress)) + "\n")
        report(progress)

    def _logged(self) -> Progress:
        """The last of the log."""
        last = json.loads((self._folder / LOG).read_text().splitlines()[-1])
        return Progress(**{**last, "nll": {int(kept): nll for kept, nll in last["nll"].items()}})

    def _save(self) -> None:
        """The adapter as peft keeps it, in bfloat16 whatever it was computed in, and what to go on from."""
        updates = {
            name: parameter.detach().bfloat16()
            for name, parameter in self._model.named_parameters()
            if parameter.requires_grad
        }
        # left to itself it would ask the hub whether the vocabulary has changed
        self._model.save_pretrained(str(self._folder), save_embedding_layers=False, state_dict=updates)
        state = {
            "plan": json.dumps(self._plan.to_json()),
            "step": self._step,
            "samples": self._samples,
            "seconds": self._seconds,
            "masters": [master.data for master in self._masters],
            "optimiser": self._optimiser.state_dict(),
        }
        fresh = self._folder / f"{STATE}.new"
        torch.save(state, fresh)
        fresh.replace(self._folder / STATE)

    def _resume(self) -> None:
        file = self._folder / STATE
        if not file.is_file():
            return
        state = torch.load(file, weights_only=True)
        if state["plan"] != json.dumps(self._plan.to_json()):
            raise ValueError(
                f"{self._folder} holds a training with other settings; give another folder, or remove it"
            )
        self._step, self._samples, self._seconds = state["step"], state["samples"], state["seconds"]
        for master, kept in zip(self._masters, state["masters"], strict=True):
            master.data.copy_(kept)
        self._optimiser.load_state_dict(state["optimiser"])
        self._publish()
