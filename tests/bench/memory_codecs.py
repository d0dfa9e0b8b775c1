"""Rate and distortion of ways to code memories: bytes to a vector, squared error, answer NLL.

    python -m tests.bench.memory_codecs [--questions 60] [--home FOLDER] [SCHEME...]

Questions, references and memories are those of `attest bench store`; `--home` keeps them for the next run.
A scheme is `KEYS/VALUES`, or one name for both:

    fp16, int8
    head-GxB    a codebook per layer and head, G groups of 5 principal components, 2^B centroids (the product)
    layer-GxB   the same rotations and scales per head, but one set of centroids for the heads of a layer
    one-GxB     one rotation and one set of centroids for all layers and heads
    paper       FAISS's `OPQ16_64,Residual2x14,PQ8x10`, one for all; trained on as many vectors as there are

Distortion is the squared error over the variance within a head, averaged over heads. Codebooks are trained on
all the memories, those of the questions among them, as a bank's own is.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

from app.measuring.open_book import Library
from app.measuring.questions import read_contexts, read_questions
from app.measuring.store import Asked, _asked, _fill
from app.profiles import profile
from app.settings import Settings
from engine import loading
from engine.adapter import chosen
from engine.codebook import ROUNDS, _turn
from engine.codec import encode
from engine.fake import FakeEmbedder
from engine.memory import ExplicitMemory
from engine.protocol import KeyedMemory, Message
from engine.torch_engine import TorchEngine, format_of
from ingest.bank import MemoryBank
from storage.store import Store

Floats = npt.NDArray[np.float32]
SCHEMES = ("int8", "paper", "one-12x8", "layer-12x8", "head-12x8", "head-12x8/fp16", "fp16/head-12x8")


def quantised(vectors: Floats, groups: int, bits: int) -> Floats:
    """(N, D) through a product quantiser trained on them, unturned."""
    quantiser = faiss.ProductQuantizer(vectors.shape[1], groups, bits)
    quantiser.cp.niter, quantiser.cp.max_points_per_centroid = ROUNDS, 64
    quantiser.cp.min_points_per_centroid = 1
    contiguous = np.ascontiguousarray(vectors, dtype=np.float32)
    quantiser.train(contiguous)
    read: Floats = quantiser.decode(quantiser.compute_codes(contiguous))
    return read


def turned(vectors: Floats, groups: int) -> tuple[Floats, Callable[[Floats], Floats]]:
    mean = vectors.mean(axis=0)
    turn = _turn(vectors - mean, groups)
    coordinates = (vectors - mean) @ turn
    scale = float(np.sqrt((coordinates**2).mean()))
    return coordinates / scale, lambda read: (read * scale) @ turn.T + mean


def coded(heads: Floats, scheme: str) -> Floats:
    """(L, H, N, D) as they are read back."""
    layers, count, _, dim = heads.shape
    if scheme == "fp16":
        return heads
    if scheme == "paper":
        flat = np.ascontiguousarray(heads.reshape(-1, dim))
        quantiser = faiss.index_factory(dim, f"OPQ{dim // 4}_{dim},Residual2x14,PQ8x10")
        few = np.random.default_rng(0).permutation(len(flat))[:100_000]
        quantiser.train(flat[few])
        return quantiser.sa_decode(quantiser.sa_encode(flat)).reshape(heads.shape)
    kind, size = scheme.split("-")
    groups, bits = map(int, size.split("x"))
    if kind == "one":
        flat, back = turned(heads.reshape(-1, dim), groups)
        return back(quantised(flat, groups, bits)).reshape(heads.shape)
    read = np.zeros_like(heads)
    for layer in range(layers):
        parts = [turned(heads[layer, head], groups) for head in range(count)]
        if kind == "layer":
            together = quantised(np.concatenate([part for part, _ in parts]), groups, bits)
            codes = np.split(together, count)
        else:
            codes = [quantised(part, groups, bits) for part, _ in parts]
        for head, (_, back) in enumerate(parts):
            read[layer, head] = back(codes[head])
    return read


def bytes_of(scheme: str, dim: int) -> float:
    if "-" in scheme:
        groups, bits = map(int, scheme.split("-")[1].split("x"))
        return groups * bits / 8
    return {"fp16": 2 * dim, "int8": dim + 4, "paper": 14}[scheme]


class Half:
    """All keys, or all values, side by side."""

    def __init__(self, memories: Sequence[ExplicitMemory], name: str) -> None:
        parts = [getattr(memory, name).astype(np.float32) for memory in memories]
        self._ends = np.cumsum([part.shape[2] for part in parts])[:-1]
        self.exact = np.concatenate(parts, axis=2)

    @cache  # noqa: B019 - two objects that live as long as the program
    def read(self, scheme: str) -> tuple[list[Floats], float]:
        """Of each memory, and the distortion."""
        if scheme == "int8":
            import torch

            numbers, scales = encode(torch.from_numpy(self.exact), "int8")
            assert scales is not None
            read = numbers.astype(np.float32) * scales[..., None]
        else:
            read = coded(self.exact, scheme)
        error = ((read - self.exact) ** 2).sum(axis=(2, 3))
        variance = ((self.exact - self.exact.mean(axis=2, keepdims=True)) ** 2).sum(axis=(2, 3))
        return np.split(read, self._ends, axis=2), float((error / variance).mean())


def answers(engine: TorchEngine, asked: Sequence[Asked], memories: dict[int, ExplicitMemory]) -> Floats:
    """NLL of each question's answer."""
    found = []
    for each in asked:
        read = [KeyedMemory(key, memories[key]) for key in each.reads]
        messages = [Message("system", profile("general").system), Message("user", each.question.text)]
        answer = each.question.answers[0].text.strip()
        score = engine.score(messages, answer, lambda chunk, read=read: read)  # type: ignore[misc]
        found.append(-float(score.log_probabilities.mean()))
    return np.array(found, np.float32)


def rows(home: Path, questions: int, schemes: Sequence[str]) -> Iterator[str]:
    settings = Settings(home=home)
    adapter = chosen("auto", settings.model)
    loaded = loading.load(settings.model, device="cpu", adapter=adapter, cache=settings.model_cache)
    fmt = replace(format_of("default", loaded.transformer.layers, loaded.adapter), codec="fp16")
    engine = TorchEngine(loaded, fmt)
    eval_set = Path(str(resources.files("assets") / "eval"))
    contexts = read_contexts(eval_set / "contexts.jsonl")
    answerable = [each for each in read_questions(eval_set / "questions.jsonl") if each.answers]
    with Store.open(home) as store:
        library = Library(store, engine, FakeEmbedder(), contexts.values(), lambda line: None)
        asked = _asked(store, library, answerable, questions, 0)
        bank = MemoryBank(store, engine.fingerprint)
        keys = sorted({key for each in asked for key in each.reads})
        missing = sorted(set(keys) - set(bank.stored.references()))
        _fill(store, engine, {"fp16": bank}, missing, lambda line: print(line, flush=True))
        memories = bank.read(keys)
        halves = [Half([memories[key] for key in keys], name) for name in ("keys", "values")]
        plain = answers(engine, asked, memories)
        dim = halves[0].exact.shape[3]
        yield f"{len(asked)} questions, {len(keys)} memories, fp16: NLL {plain.mean():.4f}"
        yield "| keys / values | bytes a vector | distortion of keys | of values | answer NLL against fp16 |"
        yield "|---|---|---|---|---|"
        for scheme in schemes:
            names = scheme.split("/") * (1 if "/" in scheme else 2)
            (keys_read, keys_off), (values_read, values_off) = (
                half.read(name) for half, name in zip(halves, names, strict=True)
            )
            read = {
                key: replace(memories[key], keys=k.astype(np.float16), values=v.astype(np.float16))
                for key, k, v in zip(keys, keys_read, values_read, strict=True)
            }
            apart = (answers(engine, asked, read) - plain) / plain.mean()
            size = sum(bytes_of(name, dim) for name in names) / 2
            yield (
                f"| {' / '.join(names)} | {size:g} | {keys_off:.3f} | {values_off:.3f} | "
                f"{apart.mean():+.2%} ± {apart.std() / len(apart) ** 0.5:.2%} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("schemes", nargs="*", default=SCHEMES)
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--home", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(given.home or Path(folder), given.questions, given.schemes):
            print(row, flush=True)


if __name__ == "__main__":
    main()
