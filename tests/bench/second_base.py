"""A second base model, to show that adapting is not tied to the built-in one: made here from nothing.

No other language model was found whose weights install from the package index. So a small Qwen3 (four layers,
hidden size 128, queries and keys normalised) learns one thing: to look up in a prompt what is asked about it.
Its documents are registers of invented facts ("The rent of Bolvan: Eldenmill."), and so are its tokens.
Then the functions behind `attest adapt train` and `attest adapt evaluate`, unchanged, train and measure an
adapter for it, on registers that neither has seen.

    python -m tests.bench.second_base OUT

Everything is kept in OUT, and what is there already is not made again. One row of JSON for each thing read.
What it printed stands in docs/log.md, 2026-11-27.
"""

import argparse
import itertools
import json
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from app.adapting.training import evaluate, read_material, train
from app.profiles import PROFILES, profile
from app.settings import Settings

SAYS, ASKS = "The rent of {name}: {value}.", "The rent of {name}"
PADDING = (  # one of them after each fact of a register, so that most of a reference need not be kept
    "So it was sworn before the court at its last sitting.",
    "The clerk has seen the deed and found it in order.",
    "Nothing else is due in the years that follow.",
    "This stands until the court or the parties end it.",
)
ONSETS, ENDS = (
    ("bo", "ke", "ta", "ri", "mu", "sa", "lo", "ne", "vi", "da"),
    ("lvan", "dor", "mis", "rth", "nu", "kas"),
)
FIRST, VALUES = (
    ("Ar", "El", "Im", "Or", "Un"),
    ("bridge", "field", "gate", "hill", "mill", "ford", "stone", "wood"),
)
FACTS, QUESTIONS = 50, 12  # of a register
REGISTERS = 600
KNOWN = 0.25  # nats per token of an answer
TEMPLATE = "<s>{% for m in messages %}{{ m.content }}{% if not loop.last %}\n{% endif %}{% endfor %}:"


def names() -> list[str]:
    return [f"{a.capitalize()}{b}{c}" for a in ONSETS for b in ("", "ra", "li", "so") for c in ENDS]


def values() -> list[str]:
    return [f"{a}{b}{c}" for a in FIRST for b in ("den", "win", "ter", "sel") for c in VALUES]


def facts(generator: random.Random, count: int) -> list[tuple[str, str, str]]:
    """(statement, question, answer) about as many holders, each of whom has one entry."""
    found = []
    for name in generator.sample(names(), count):
        value = generator.choice(values())
        found.append((SAYS.format(name=name, value=value), ASKS.format(name=name), value))
    return found


def write_registers(folder: Path, count: int, seed: int) -> None:
    """`count` registers and questions about them, in the files that `attest adapt train` reads."""
    folder.mkdir(parents=True)
    generator = random.Random(seed)
    with (
        (folder / "legal_contexts.jsonl").open("w") as contexts,
        (folder / "legal_qa.jsonl").open("w") as questions,
    ):
        for number in range(count):
            entries, text, starts = facts(generator, FACTS), "", []
            for says, _, value in entries:
                starts.append(len(text) + says.rindex(value))
                text += f"{says} {generator.choice(PADDING)} "
            title = f"Register of {generator.choice(values())}"
            row = {"context_id": f"r{number}", "title": title, "text": text.rstrip()}
            contexts.write(json.dumps(row) + "\n")
            for i in generator.sample(range(FACTS), QUESTIONS):
                _, asks, value = entries[i]
                answers = [{"text": value, "start": starts[i]}]
                asked = {
                    "id": f"r{number}-{i}",
                    "question": asks,
                    "answers": answers,
                    "context_id": f"r{number}",
                }
                questions.write(json.dumps({**asked, "dataset": "registers"}) + "\n")


def learn_tokens(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Byte-pair tokens of registers and instructions; a word is the same wherever it stands."""
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="always"), pre_tokenizers.Punctuation()]
    )
    backend.decoder = decoders.Metaspace()
    special = ["<s>", "</s>", "<unk>"]
    backend.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=2000, special_tokens=special))
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="<unk>"
    )
    made.chat_template = TEMPLATE
    return made


def new_model(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=4096,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    attend_to_the_same(model)
    return model


@torch.no_grad()
def attend_to_the_same(model: Qwen3ForCausalLM) -> None:
    """Mimetic initialisation (Trockman and Kolter, arXiv 2305.09828): before it has learnt anything, a head
    attends to tokens that are alike and copies them. Without it, looking up was not learnt in minutes.
    """
    hidden, width = model.config.hidden_size, model.config.head_dim
    embeddings = model.model.embed_tokens.weight
    nn.init.normal_(embeddings, std=hidden**-0.5)
    embeddings += torch.randn(hidden) * hidden**-0.5  # in all alike, so that positions can be told
    for layer in model.model.layers:
        attention = layer.self_attn
        groups = model.config.num_key_value_heads
        directions = torch.linalg.qr(torch.randn(hidden, hidden))[0].reshape(-1, width, hidden)
        attention.k_proj.weight.copy_(directions[:groups].flatten(0, 1))
        attention.v_proj.weight.copy_(directions[groups : 2 * groups].flatten(0, 1))
        of_heads = torch.arange(model.config.num_attention_heads) // attention.num_key_value_groups
        queries = directions[of_heads]
        attention.q_proj.weight.copy_((queries + 0.02 * torch.randn_like(queries)).flatten(0, 1))
        attention.o_proj.weight.copy_(0.5 * directions[groups + of_heads].flatten(0, 1).T)


Batch = list[tuple[list[int], list[int]]]  # token ids, and those to learn: -100 where there is nothing


class Lists:
    """Batches of facts, up to a number, and of questions about them.

    bare: the names and values alone. padded: what stands between facts in a register stands here too.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, seed: int, *, bare: bool = False, padded: bool = False
    ) -> None:
        self._tokenizer, self._bare, self._padded = tokenizer, bare, padded
        self._generator = random.Random(seed)

    def __call__(self, most: int) -> Batch:
        count = self._generator.randint(max(2, most // 2), most)
        rows = (250 if self._bare else 133) // count  # one or two thousand tokens, more with padding
        return [self._row(count) for _ in range(max(4, rows))]

    def _row(self, count: int) -> tuple[list[int], list[int]]:
        told = facts(self._generator, count)
        ids: list[int] = []
        for says, asks, value in told:
            ids += self._ids(f"{asks.split()[-1]} {value}" if self._bare else says)
            ids += self._ids(self._generator.choice(PADDING)) if self._padded else []
        wanted = [-100] * len(ids)
        for _, asks, value in self._generator.sample(told, min(count, 16)):
            question = self._ids(asks.split()[-1] if self._bare else f"{asks}:")
            answer = self._ids(value)
            if not self._bare:
                answer.append(int(self._tokenizer.eos_token_id))
            ids += [*question, *answer]
            wanted += [-100] * len(question) + answer
        return ids, wanted

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False).input_ids)


def prompts(data: Path, tokenizer: PreTrainedTokenizerFast, model: Path) -> Callable[[int], Batch]:
    """Batches of the product's own prompts, with five references of a register in them as text."""
    from app.adapting.lessons import Lessons
    from app.adapting.mix import TEXT_EXAM
    from engine import loading
    from engine.torch_engine import TorchEngine

    material = read_material(data)
    loaded = loading.load(str(model), dtype=torch.float32, device="cpu", cache=model / "cache")
    learnt = {key: each for key, each in material.contexts.items() if not each.held_out}
    end = int(tokenizer.eos_token_id)
    lessons = Lessons(
        TorchEngine(loaded).tokenize, loaded.prompt_ids, end, material.asked, learnt, [], 1, TEXT_EXAM
    )
    step = itertools.count()

    def batch(_: int) -> Batch:
        samples = lessons.batch(next(step)).samples
        return [([*s.prompt, *s.answer], [-100] * len(s.prompt) + list(s.answer)) for s in samples]

    return batch


def learn(
    model: Qwen3ForCausalLM, batches: Callable[[int], Batch], counts: Sequence[int], steps: int, rate: float
) -> None:
    """Prints the mean loss of the last twenty steps, in nats per token of an answer.

    counts: how many facts a list has, the next once those are known; learning ends when the last are, or
    after `steps`.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    recent: deque[float] = deque(maxlen=20)
    at = 0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min((step + 1) / 50, (steps - step) / (0.3 * steps), 1.0)
        batch = batches(counts[at])
        width = max(len(ids) for ids, _ in batch)
        ids = torch.tensor([row + [0] * (width - len(row)) for row, _ in batch])
        wanted = torch.tensor([row + [-100] * (width - len(row)) for _, row in batch])
        logits = model(input_ids=ids).logits[:, :-1]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), wanted[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        recent.append(float(loss.detach()))
        mean = sum(recent) / len(recent)
        if step % 100 == 99:
            print(json.dumps({"step": step + 1, "facts": counts[at], "loss": round(mean, 4)}), flush=True)
        if len(recent) == recent.maxlen and mean < KNOWN:
            at += 1
            if at == len(counts):
                break
            recent.clear()


def make_base(folder: Path, data: Path, list_steps: int, prompt_steps: int) -> None:
    unfinished = folder.with_name(f"{folder.name}-unfinished")
    if not unfinished.exists():
        learn_lists(unfinished, list_steps)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(unfinished)
    model = Qwen3ForCausalLM.from_pretrained(unfinished, dtype=torch.float32)
    learn(model, prompts(data, tokenizer, unfinished), (FACTS,), prompt_steps, 1e-3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def learn_lists(folder: Path, steps: int) -> None:
    """A model that looks up facts in lists, in `folder` with its tokenizer."""
    generator = random.Random(2)
    texts = [" ".join(" ".join(entry) for entry in facts(generator, FACTS)) for _ in range(400)]
    texts += [*(profile(name).system for name in PROFILES), *PADDING] * 10
    texts += ["Register of Document"] * 50
    tokenizer = learn_tokens(texts)
    model = new_model(tokenizer)
    parameters = sum(each.numel() for each in model.parameters())
    print(json.dumps({"base": "qwen3", "parameters": parameters, "tokens": len(tokenizer)}), flush=True)
    learn(model, Lists(tokenizer, 3, bare=True), (4, 4, 8), steps, 2e-3)
    learn(model, Lists(tokenizer, 4), (4, 8, 16, 32, FACTS), steps, 2e-3)
    learn(model, Lists(tokenizer, 5, padded=True), (4, 8, 16, 32), steps // 4, 2e-3)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--list-steps", type=int, default=6000)
    parser.add_argument("--prompt-steps", type=int, default=300)
    parser.add_argument("--adapter-steps", type=int, default=300)
    arguments = parser.parse_args()
    data, base, adapter = (arguments.out / name for name in ("data", "base", "adapter"))
    if not data.exists():
        write_registers(data, REGISTERS, seed=1)
    if not (base / "tokenizer_config.json").exists():
        make_base(base, data, arguments.list_steps, arguments.prompt_steps)
    settings = replace(Settings(home=arguments.out / "home"), model=str(base))
    train(
        settings,
        data,
        adapter,
        steps=arguments.adapter_steps,
        seed=0,
        report=lambda at: print(at, flush=True),
    )
    for row in evaluate(settings, data, adapter, batches=12, seed=1):
        print(json.dumps(asdict(row)), flush=True)


if __name__ == "__main__":
    main()
