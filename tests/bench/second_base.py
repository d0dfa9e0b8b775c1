"""A second base model, to show that adapting is not tied to the built-in one: made here from nothing.

No other language model was found whose weights install from the package index. So a small Qwen3 (four layers,
hidden size 128, queries and keys normalised) learns one thing: to look up in a prompt what is asked about it.
Its documents are registers of invented facts ("The holder Bolvan owes rent to Eldenmill."), and so are its
tokens. Then the functions behind `attest adapt train` and `attest adapt evaluate`, unchanged, train and
measure an adapter for it, on registers that neither has seen.

    python -m tests.bench.second_base OUT

Everything is kept in OUT, and what is there already is not made again. One row of JSON for each thing read.
"""

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from app.adapting.training import evaluate, read_material, train
from app.profiles import PROFILES, profile
from app.settings import Settings

RELATIONS = (  # what a register says, and how it is asked
    ("The holder {name} owes rent to {value}.", "To whom does the holder {name} owe rent?"),
    ("The holder {name} keeps the key of {value}.", "Whose key does the holder {name} keep?"),
    ("The holder {name} is bound by {value}.", "By whom is the holder {name} bound?"),
    ("The holder {name} sells corn to {value}.", "To whom does the holder {name} sell corn?"),
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
TEMPLATE = "<s>{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


def names() -> list[str]:
    return [f"{a.capitalize()}{b}{c}" for a in ONSETS for b in ("", "ra", "li", "so") for c in ENDS]


def values() -> list[str]:
    return [f"{a}{b}{c}" for a in FIRST for b in ("den", "win", "ter", "sel") for c in VALUES]


def facts(generator: random.Random, count: int) -> list[tuple[str, str, str]]:
    """(statement, question, answer) about as many holders, each of whom has one entry."""
    found = []
    for name in generator.sample(names(), count):
        says, asks = generator.choice(RELATIONS)
        value = generator.choice(values())
        found.append((says.format(name=name, value=value), asks.format(name=name), value))
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
                text += says + " "
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
    return Qwen3ForCausalLM(
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


def lists(tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[list[tuple[list[int], list[int]]]]:
    """Endless batches of facts and questions about them, ever more of each: token ids, and those to learn
    (-100 where there is nothing to learn).
    """
    generator = random.Random(seed)
    for step in range(1_000_000):
        most = min(FACTS, 4 + step // 20)
        batch = []
        for _ in range(max(16, 640 // (most + 6))):
            told = facts(generator, most)
            ids = list(tokenizer(" ".join(says for says, _, _ in told), add_special_tokens=False).input_ids)
            wanted = [-100] * len(ids)
            for _, asks, value in generator.sample(told, min(most, 16)):
                question = tokenizer(f"{asks}\nassistant:", add_special_tokens=False).input_ids
                answer = [*tokenizer(value, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
                ids += [*question, *answer]
                wanted += [-100] * len(question) + answer
            batch.append((ids, wanted))
        yield batch


def prompts(
    data: Path, tokenizer: PreTrainedTokenizerFast, model: Path
) -> Iterator[list[tuple[list[int], list[int]]]]:
    """Endless batches of the product's own prompts, with five references of a register in them as text."""
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
    for step in range(1_000_000):
        samples = lessons.batch(step).samples
        yield [([*s.prompt, *s.answer], [-100] * len(s.prompt) + list(s.answer)) for s in samples]


def learn(
    model: Qwen3ForCausalLM, batches: Iterator[list[tuple[list[int], list[int]]]], steps: int, rate: float
) -> float:
    """Mean loss of the last fifty steps, in nats per token of an answer."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    recent: list[float] = []
    for step, batch in zip(range(steps), batches, strict=False):
        for group in optimiser.param_groups:
            group["lr"] = rate * min((step + 1) / 100, (steps - step) / (0.3 * steps), 1.0)
        width = max(len(ids) for ids, _ in batch)
        ids = torch.tensor([row + [0] * (width - len(row)) for row, _ in batch])
        wanted = torch.tensor([row + [-100] * (width - len(row)) for _, row in batch])
        logits = model(input_ids=ids).logits[:, :-1]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), wanted[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        recent = [*recent[-49:], float(loss.detach())]
        if step % 50 == 49:
            print(json.dumps({"step": step + 1, "loss": round(sum(recent) / len(recent), 4)}), flush=True)
    return sum(recent) / len(recent)


def make_base(folder: Path, data: Path, list_steps: int, prompt_steps: int) -> None:
    generator = random.Random(2)
    texts = [" ".join(" ".join(entry) for entry in facts(generator, FACTS)) for _ in range(400)]
    texts += [profile(name).system for name in PROFILES] + [
        "system: user: assistant: Register of Document"
    ] * 50
    tokenizer = learn_tokens(texts)
    model = new_model(tokenizer)
    parameters = sum(each.numel() for each in model.parameters())
    print(json.dumps({"base": "qwen3", "parameters": parameters, "tokens": len(tokenizer)}), flush=True)
    learn(model, lists(tokenizer, 3), list_steps, 2e-3)
    unfinished = folder.with_name(f"{folder.name}-unfinished")
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    learn(model, prompts(data, tokenizer, unfinished), prompt_steps, 1e-3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--list-steps", type=int, default=1500)
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
