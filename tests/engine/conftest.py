"""Engines to test: tiny ones of each family, and the real default model."""

from pathlib import Path

import pytest
import torch

from engine import loading
from engine.loading import LoadedModel
from engine.torch_engine import TorchEngine
from tests.engine import tiny


@pytest.fixture(scope="session", params=list(tiny.FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def tiny_loaded(family: str, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tiny.save(family, tmp_path_factory.mktemp("tiny") / family)
    return loading.load(str(folder), dtype=torch.float32, device="cpu", cache=folder / "cache")


@pytest.fixture(scope="session")
def default_loaded(model_cache: Path) -> LoadedModel:
    """The real default model in fp32."""
    return loading.load(dtype=torch.float32, device="cpu", cache=model_cache)


@pytest.fixture(scope="session")
def default_engine(default_loaded: LoadedModel) -> TorchEngine:
    return TorchEngine(default_loaded)
