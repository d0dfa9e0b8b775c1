"""How should llama.cpp use a LoRA adapter: beside the file's weights, or merged, and quantised to what?

`engine.llama.merging` merges; this is why, and why to eight bits.

Every side reads the same texts; torch in float32, with the same adapter merged, is the truth. `floor` is the
untouched file against torch without an adapter: what llama.cpp's rounding costs anyway. `merged_own` has the
weights in the number formats that the file holds them in. Sides decode in turn, so that speeds compare
whatever else the machine does. Without --adapter, a random one of realistic size.

    python -m tests.bench.adapter_gguf --adapter assets/adapters/NAME
"""

import argparse
import ctypes
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType

from engine import loading
from engine.adapter import Adapter
from engine.format import MemoryFormat
from engine.llama import lora
from engine.llama.context import Context, Run
from engine.llama.merging import changed, rewrite
from engine.llama.model import LlamaModel
from engine.registry import DEFAULT_MODEL, resolve
from tests.engine import tiny_adapter

TEXTS = (
    "This Agreement may be terminated by either party upon thirty (30) days' prior written notice to the "
    "other party. Sections 5, 7 and 9 survive any termination or expiration of this Agreement.",
    "The recommended starting dose is 10 mg once daily, which may be increased to 20 mg after four weeks if "
    "the response is insufficient. Patients with renal impairment should not exceed 5 mg.",
    "The first railway in the county was opened in 1841 to carry coal from the mines to the harbour, and "
    "passengers were admitted two years later when a second track had been laid.",
    "To make the sauce, melt the butter in a small pan over low heat, stir in the flour and cook for a "
    "minute, then add the milk little by little, whisking all the time until it is smooth.",
    "Water boils at a lower temperature at high altitude because the pressure of the air is lower there, "
    "which is why food takes longer to cook in the mountains than at the sea.",
    "The court held that the tenant was not liable for the damage, since the landlord had been told about "
    "the leaking roof in writing and had done nothing about it for more than six months.",
)
ROUNDS, DECODED, RANK = 3, 24, 32


def beside(context: Context, adapter: Path) -> None:
    """Use an adapter's own file in a context."""
    llama = context.library
    handle = llama.llama_adapter_lora_init(context.model.handle, str(adapter).encode())
    adapters, scales = (llama.llama_adapter_lora_p_ctypes * 1)(handle), (ctypes.c_float * 1)(1.0)
    if llama.llama_set_adapters_lora(context.handle, adapters, 1, scales) != 0:
        raise RuntimeError("llama.cpp did not take the adapter")


def of_llama(context: Context, ids: list[int]) -> Any:
    context.clear()
    return context.run([Run(0, 0, ids, tuple(range(len(ids))))])[0]


def of_torch(loaded: loading.LoadedModel, ids: list[int]) -> Any:
    with torch.inference_mode():
        output = loaded.transformer.model(input_ids=torch.tensor([ids]), use_cache=False)
    return output.logits[0].float().numpy()


def closeness(ours: list[Any], truth: list[Any], texts: list[list[int]]) -> dict[str, float]:
    """NLL of the texts, and the distance to the truth."""
    gap = [float(np.abs(a - b).mean()) for a, b in zip(ours, truth, strict=True)]
    top = np.concatenate([a.argmax(1) == b.argmax(1) for a, b in zip(ours, truth, strict=True)])
    return {
        "nll": nll(ours, texts),
        "logit_difference": round(statistics.mean(gap), 4),
        "top1_agreement": round(float(top.mean()), 4),
    }


def nll(logits: list[Any], texts: list[list[int]]) -> float:
    found = []
    for rows, ids in zip(logits, texts, strict=True):
        logged = torch.from_numpy(rows[:-1]).log_softmax(-1)
        found.append(-logged[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].mean().item())
    return round(statistics.mean(found), 4)


def decode_seconds(context: Context, ids: list[int]) -> float:
    of_llama(context, ids)
    started = time.perf_counter()
    for i in range(DECODED):
        context.run([Run(0, len(ids) + i, [ids[i % len(ids)]], (0,))])
    return time.perf_counter() - started


def compare(name: str, folder: Path | None, cache: Path) -> dict[str, Any]:
    file = resolve(name).path
    assert file is not None
    untouched = LlamaModel(file)
    base = loading.load(name, dtype=torch.float32, device="cpu", cache=cache)
    if folder is None:
        shapes, fmt = tiny_adapter.linear_shapes(base.transformer.model), MemoryFormat((0,))
        folder = tiny_adapter.write(cache / "random", shapes, base.weights_hash, fmt, rank=RANK, spread=0.02)
    adapter = Adapter.open(folder)
    texts = [base.transformer.tokenizer(text).input_ids for text in TEXTS]
    plain = [of_torch(base, ids) for ids in texts]
    del base
    tuned = loading.load(name, dtype=torch.float32, device="cpu", adapter=adapter, cache=cache)
    truth = [of_torch(tuned, ids) for ids in texts]
    del tuned
    models = {"base": untouched, "lora": LlamaModel(file)}
    new = dict(changed(file, adapter))
    for kind in (None, GGMLQuantizationType.Q5_1, GGMLQuantizationType.Q8_0):
        side = f"merged_{kind.name if kind else 'own'}"
        models[side] = LlamaModel(rewrite(file, new, kind, cache / f"{side}.gguf"))
    contexts = {side: Context(model, 512, 1, threads=2, flash=False) for side, model in models.items()}
    beside(contexts["lora"], lora.write(cache / "lora.gguf", untouched, adapter))
    times: dict[str, list[float]] = {side: [] for side in contexts}
    for _ in range(ROUNDS):
        for side, context in contexts.items():
            times[side].append(decode_seconds(context, texts[0]))
    result: dict[str, Any] = {
        "adapter": adapter.name,
        "torch": {"nll_without": nll(plain, texts), "nll": nll(truth, texts)},
        "without": closeness(plain, truth, texts),  # how far the adapter moves the model
    }
    for side, context in contexts.items():
        logits = [of_llama(context, ids) for ids in texts]
        near = closeness(logits, plain if side == "base" else truth, texts)
        speed = round(min(times["base"]) / min(times[side]), 3)
        result["floor" if side == "base" else side] = {**near, "decode_speed_over_base": speed}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--adapter", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        result = compare(arguments.model, arguments.adapter, Path(cache))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
