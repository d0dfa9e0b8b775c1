"""The same tiny random GGUF file in torch (fp32) and in llama.cpp, for each family."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")

from engine import loading
from engine.format import MemoryFormat
from engine.llama.engine import LlamaEngine, Sizes
from engine.llama.model import LlamaModel
from engine.protocol import Message
from engine.torch_engine import TorchEngine
from tests.engine import tiny_gguf

LAYERS = 4
MESSAGES = [
    Message("system", "Be brief."),
    Message("user", "What is the state of the band in the town? " * 4),
]
SIZES = Sizes(parallel=4, ready=8, context_tokens=2048, threads=1)


def memory_format(tokens_per_head: int = 24, **changes: object) -> MemoryFormat:
    fields = {"selection": "attention_value_norm", "codec": "fp32", **changes}
    return MemoryFormat(tuple(range(LAYERS)), tokens_per_head, **fields)  # type: ignore[arg-type]


class Pair:
    """Both backends of one file."""

    def __init__(self, family: str, folder: Path) -> None:
        self.file = tiny_gguf.write(folder / f"{family}.gguf", family)
        self.loaded = loading.load(str(self.file), dtype=torch.float32, device="cpu", cache=folder / "cache")
        self.model = LlamaModel(self.file)

    def torch(self, fmt: MemoryFormat) -> TorchEngine:
        return TorchEngine(self.loaded, fmt)

    def llama(self, fmt: MemoryFormat, sizes: Sizes = SIZES) -> LlamaEngine:
        return LlamaEngine(self.model, fmt, loading.file_hash(self.file), sizes=sizes)


@pytest.fixture(scope="session", params=list(tiny_gguf.FAMILIES))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(request.param, tmp_path_factory.mktemp(f"pair-{request.param}"))


@pytest.fixture(scope="session")
def llama_pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair("llama", tmp_path_factory.mktemp("one-pair"))


@pytest.fixture(scope="session")
def references() -> Callable[..., list[list[int]]]:
    def make(*lengths: int, seed: int = 3) -> list[list[int]]:
        generator = np.random.default_rng(seed)
        return [generator.integers(3, len(tiny_gguf.vocabulary()), n).tolist() for n in lengths]

    return make
