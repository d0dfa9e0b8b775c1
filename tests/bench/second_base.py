"""Does an adapter teach another base? A small Qwen3, trained here from nothing, learns to read memories.

No other weights than the default's install from the package index, so the second base is made: it learns to
find a code that was told earlier in its text, at which it is then frozen and given to the training that the
shipped adapter came from. Keys and codes are drawn anew for every question, so that only what is read can
tell an answer. A JSON line for what the base says from text, and for each number of tokens per head before
and after training, in nats per answer token; `wrong` reads memories of other keys.

    python -m tests.bench.second_base
"""

import argparse
import json
import random
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from engine import loading
from engine.adapt.batch import Batch, Sample
from engine.adapt.losses import answer_nll
from engine.adapt.training import Plan, Training
from engine.format import MEMORIES_PER_CHUNK, MemoryFormat
from engine.loading import LoadedModel
from tests.engine import tiny

FAMILY = "qwen3"
SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "initializer_range": 0.02,
}
KEPT = (2, 4, 8)
KEYS, CODES = range(33, 127), range(127, 256)
FACTS = 6  # in a text that the base learns from
OPENING, MIDDLE = b"of ", b" is "
REFERENCES, BATCH, HELD_OUT = 12, 32, 8


def fact(key: int, code: int) -> tuple[int, ...]:
    return (*OPENING, key, *MIDDLE, code, *b".\n")


def asked(key: int) -> tuple[int, ...]:
    return (*OPENING, key, *MIDDLE)


def told(generator: random.Random, count: int) -> dict[int, int]:
    """Codes by key."""
    keys = generator.sample(KEYS, count)
    return dict(zip(keys, generator.choices(CODES, k=count), strict=True))


def train_base(model: PreTrainedModel, steps: int, seed: int) -> None:
    """Facts, then each of them once more in another order: the code of one told before is to be known."""
    generator = random.Random(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    again = FACTS * len(fact(0, 0)) + len(asked(0)) - 1 + len(fact(0, 0)) * torch.arange(FACTS)
    for step in range(steps):
        rows = []
        for _ in range(BATCH):
            codes = told(generator, FACTS)
            order = [*codes, *generator.sample(list(codes), FACTS)]
            rows.append([token for key in order for token in fact(key, codes[key])])
        ids = torch.tensor(rows)
        logits = model(input_ids=ids, use_cache=False).logits[:, again].float()
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, again + 1].flatten())
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min((step + 1) / 50, (steps - step) / steps)
        optimiser.step()
        if step % 100 == 0 or step == steps - 1:
            print(json.dumps({"base_step": step, "nll": round(float(loss.detach()), 4)}), flush=True)


def lesson(generator: random.Random) -> Batch:
    """Each question reads the reference that answers it and four others."""
    codes = told(generator, REFERENCES)
    samples = []
    for i, (key, code) in enumerate(codes.items()):
        others = generator.sample([j for j in range(REFERENCES) if j != i], MEMORIES_PER_CHUNK - 1)
        read = [i, *others]
        generator.shuffle(read)
        samples.append(Sample(asked(key), (code,), tuple(read)))
    return Batch(tuple(fact(*pair) for pair in codes.items()), tuple(samples))


def as_text(batch: Batch) -> Batch:
    def shown(sample: Sample) -> Sample:
        text = [token for i in sample.memories or () for token in batch.references[i]]
        return replace(sample, prompt=(*text, *sample.prompt), memories=None)

    return replace(batch, samples=tuple(map(shown, batch.samples)))


def wrong(batch: Batch) -> Batch:
    """Each question reads as many references, and none of them answers it."""

    def misled(i: int, sample: Sample) -> Sample:
        others = [j for j in range(REFERENCES) if j != i]
        return replace(sample, memories=tuple(others[:MEMORIES_PER_CHUNK]))

    return replace(batch, samples=tuple(misled(i, sample) for i, sample in enumerate(batch.samples)))


def nll(loaded: LoadedModel, fmt: MemoryFormat, batches: list[Batch]) -> float:
    values = [value for batch in batches for value in answer_nll(loaded.transformer, fmt, batch)]
    return round(sum(values) / len(values), 4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base-steps", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=300, help="of the adapter")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = tiny.model(FAMILY, **SHAPE)
        train_base(model.train(), arguments.base_steps, arguments.seed)
        model.eval().save_pretrained(folder / "base")
        tiny.tokenizer().save_pretrained(folder / "base")
        loaded = loading.load(str(folder / "base"), dtype=torch.float32, device="cpu", cache=folder)
        fmt = MemoryFormat(tuple(range(loaded.transformer.layers)), 4, "contribution_energy", codec="int8")
        unseen = random.Random(f"{arguments.seed} held out")
        held_out = [lesson(unseen) for _ in range(HELD_OUT)]
        print(json.dumps({"reads": "text", "nll": nll(loaded, fmt, [as_text(b) for b in held_out])}))
        print(
            json.dumps(
                {"reads": "text, wrong", "nll": nll(loaded, fmt, [as_text(wrong(b)) for b in held_out])}
            )
        )
        plan = Plan(
            fmt,
            arguments.steps,
            arguments.seed,
            rank=16,
            alpha=32,
            learning_rate=3e-3,
            tokens_per_head=KEPT,
            evaluate_every=100,
        )

        def lessons(step: int) -> Batch:
            return lesson(random.Random(f"{arguments.seed} {step}"))

        training = Training(loaded, plan, folder / "adapter", lessons, held_out)
        training.run(
            lambda reached: print(json.dumps({"step": reached.step, "memory": reached.nll}), flush=True)
        )
        last = nll(loaded, fmt, [wrong(batch) for batch in held_out])
        print(json.dumps({"reads": "wrong", "tokens_per_head": fmt.tokens_per_head, "nll": last}))


if __name__ == "__main__":
    main()
