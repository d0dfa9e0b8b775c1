"""Which tokens should a memory keep? Rules, ways to write and budgets, on the same held-out questions.

The adapter was trained with one rule and reads what the others keep as it comes, so a small difference may
be habit. `difference` is to the adapter's own rule at the same number of tokens per head, in nats per answer
token, with its standard error over questions.

    python -m tests.bench.token_selection --data ../shared/data
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from app.adapting.lessons import Lessons
from app.adapting.mix import EXAM
from app.adapting.training import read_material
from engine import loading, selection
from engine.adapt import lora, losses
from engine.adapt.batch import Batch
from engine.adapt.passes import LivePlain, LiveWrite, attend, causal
from engine.adapter import Adapter, adapter_folder
from engine.format import REFERENCE_TOKENS, MemoryFormat
from engine.registry import DEFAULT_MODEL
from engine.rotary import rotate
from engine.torch_engine import TorchEngine
from engine.transformer import Transformer

KEPT = (8, 16, 32)
Shape = tuple[torch.Tensor, torch.Tensor, torch.Tensor, Sequence[int], float]


class EchoWrite(LiveWrite):
    """The reference twice in a row behind the prefix; what is kept is the second time's, when each token has
    the whole reference before it. Positions are those of a reference read once.
    """

    def __init__(self, transformer: Transformer, fmt: MemoryFormat, lengths: Sequence[int]) -> None:
        super().__init__(transformer, fmt, lengths)
        self.positions = torch.arange(self.prefix + 2 * REFERENCE_TOKENS, device=transformer.device)
        self.cos, self.sin = transformer.angles(self.positions)
        self.mask = causal(transformer, len(self.positions))
        steps = torch.arange(REFERENCE_TOKENS)
        echo = torch.stack([self.prefix + n + steps.clamp(max=n - 1) for n in lengths])
        front = torch.arange(self.prefix).expand(len(lengths), -1)
        self.columns = torch.cat((front, echo), dim=1).to(transformer.device)

    def attend(
        self, layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        rotated = rotate(keys, self.cos, self.sin)
        self.prefix_kv[layer] = rotated[0, :, : self.prefix], values[0, :, : self.prefix]
        self.keep(layer, *(self._second(x) for x in (queries, keys, values)), scaling)
        return attend(rotate(queries, self.cos, self.sin), rotated, values, self.mask, scaling)

    def _second(self, vectors: torch.Tensor) -> torch.Tensor:
        rows = self.columns[:, None, :, None].expand(-1, vectors.shape[1], -1, vectors.shape[3])
        return vectors.gather(2, rows)


def echoed(transformer: Transformer, fmt: MemoryFormat, references: Sequence[Sequence[int]]) -> LiveWrite:
    write = EchoWrite(transformer, fmt, [len(reference) for reference in references])
    ids = torch.zeros(len(references), len(write.positions), dtype=torch.long)
    for row, reference in zip(ids, references, strict=True):
        tokens = torch.tensor([*transformer.prefix, *reference, *reference])
        row[: len(tokens)] = tokens
    transformer.hidden(ids.to(transformer.device), write.positions, write)
    return write


class Candidates:
    """Rules that look at more than queries, keys and values: at the batch that is being written."""

    def __init__(self, transformer: Transformer) -> None:
        self._transformer = transformer
        self._known: dict[int, torch.Tensor] = {}
        self._surprisal = torch.empty(0)
        self.tokens_per_head = 0

    def rules(self) -> dict[str, selection.Rule]:
        return {
            "random": lambda *x: _masked(torch.rand(x[1].shape[:3]), x[3]),
            "surprisal": lambda *x: _masked(self._heads(x), x[3]),
            "attention x value norm x (surprisal + 3)": lambda *x: (
                selection.attention_value_norm(*x) * (self._heads(x) + 3)
            ),
            "the same tokens for all heads of a layer": _common,
            "tokens that no other head keeps first": self._coverage,
            "attention x squared value norm": lambda *x: (
                selection.attention_value_norm(*x) * torch.linalg.vector_norm(x[2].float(), dim=-1)
            ),
            "value norm": lambda *x: _masked(torch.linalg.vector_norm(x[2].float(), dim=-1), x[3]),
        }

    def look_at(self, batch: Batch) -> None:
        """The surprisal of each token behind the prefix and what comes before it, in nats."""
        if id(batch) not in self._known:
            self._known[id(batch)] = self._measure(batch.references)
        self._surprisal = self._known[id(batch)]

    def _measure(self, references: Sequence[Sequence[int]]) -> torch.Tensor:
        transformer, prefix = self._transformer, len(self._transformer.prefix)
        ids = torch.zeros(len(references), prefix + REFERENCE_TOKENS, dtype=torch.long)
        for row, reference in zip(ids, references, strict=True):
            row[: prefix + len(reference)] = torch.tensor([*transformer.prefix, *reference])
        plain = LivePlain(transformer, ids.shape[1])
        hidden = transformer.hidden(ids, plain.positions, plain)
        found = torch.zeros(len(references), REFERENCE_TOKENS)
        with torch.inference_mode():
            for row, states, reference in zip(found, hidden, references, strict=True):
                logits = transformer.model.lm_head(states[prefix - 1 : prefix - 1 + len(reference)]).float()
                wanted = torch.tensor(reference)
                row[: len(reference)] = nn.functional.cross_entropy(logits, wanted, reduction="none")
        return found

    def _heads(self, x: Shape) -> torch.Tensor:
        return self._surprisal[:, None].expand(-1, x[1].shape[1], -1)

    def _coverage(self, *x: object) -> torch.Tensor:
        scores = selection.attention_value_norm(*x)  # type: ignore[arg-type]
        taken = torch.zeros_like(scores[:, 0], dtype=torch.bool)
        for head in range(1, scores.shape[1]):
            before = scores[:, head - 1].topk(self.tokens_per_head, dim=-1).indices
            taken = taken.scatter(1, before, torch.ones_like(before, dtype=torch.bool))
            scores[:, head] = scores[:, head].where(~taken, scores[:, head] * 0.3)
        return scores


def _common(*x: object) -> torch.Tensor:
    scores = selection.attention_value_norm(*x)  # type: ignore[arg-type]
    shares = scores.clamp(min=0)
    mean = (shares / shares.sum(dim=-1, keepdim=True)).mean(dim=1, keepdim=True)
    return mean.expand_as(scores).where(scores > float("-inf"), scores)


def _masked(scores: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    scores = scores.clone()
    for row, length in zip(scores, lengths, strict=True):
        row[:, length:] = float("-inf")
    return scores


@contextmanager
def _writing(
    write: Callable[[Transformer, MemoryFormat, Sequence[Sequence[int]]], LiveWrite],
) -> Iterator[None]:
    usual, losses.write_live = losses.write_live, write
    try:
        yield
    finally:
        losses.write_live = usual


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--adapter", default="auto")
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    folder = adapter_folder(arguments.adapter, DEFAULT_MODEL)
    assert folder is not None, "the model comes without an adapter; name one"
    adapter = Adapter.open(folder)
    material = read_material(arguments.data)
    loaded = loading.load(DEFAULT_MODEL, cache=Path(tempfile.gettempdir()) / "attest-models")
    held = {key: context for key, context in material.contexts.items() if context.held_out}
    transformer, tokenize = loaded.transformer, TorchEngine(loaded).tokenize
    end = int(transformer.tokenizer.eos_token_id)
    lessons = Lessons(tokenize, loaded.prompt_ids, end, material.asked, held, [], arguments.seed, EXAM)
    batches = [lessons.batch(number) for number in range(arguments.batches)]
    lora.load(transformer.model, folder)
    candidates, own = Candidates(transformer), adapter.format
    selection.RULES.update(candidates.rules())

    def values(fmt: MemoryFormat) -> list[float]:
        candidates.tokens_per_head, found = fmt.tokens_per_head, []
        for batch in batches:
            candidates.look_at(batch)
            found += losses.answer_nll(transformer, fmt, batch)
        return found

    usual = {kept: values(replace(own, tokens_per_head=kept)) for kept in KEPT}

    def show(name: str, kept: int, nll: Sequence[float], against: Sequence[float]) -> None:
        apart = [a - b for a, b in zip(nll, against, strict=True)]
        row = {
            "rule": name,
            "tokens_per_head": kept,
            "nll": round(statistics.mean(nll), 4),
            "difference": round(statistics.mean(apart), 4),
            "standard_error": round(statistics.stdev(apart) / len(apart) ** 0.5, 4),
            "n": len(nll),
        }
        print(json.dumps(row), flush=True)

    for kept in KEPT:
        sized = replace(own, tokens_per_head=kept)
        for rule in selection.RULES:
            found = usual[kept] if rule == own.selection else values(replace(sized, selection=rule))
            show(rule, kept, found, usual[kept])
        with _writing(echoed):
            show(f"{own.selection}, echoed", kept, values(sized), usual[kept])
        every_other = replace(own, layers=own.layers[1::2], tokens_per_head=2 * kept)
        show(f"{own.selection}, every other layer, twice the tokens", kept, values(every_other), usual[kept])


if __name__ == "__main__":
    main()
