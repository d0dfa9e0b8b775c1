"""A trained LoRA adapter on disk: a folder of peft, and beside it what it was trained for.

    adapter_config.json, adapter_model.safetensors    as peft writes them
    attest.json    {"base": hash of the weights it belongs to, "format": the memory format it reads best,
                    "trained": anything}
    heads.json     which attention heads tell what an answer depends on, if they were fitted (`engine.heads`)
    recall.json    which heads find memories, if that was found out (`engine.recall`)

Knows plain LoRA only, W + scale * B @ A: torch merges it into the weights at load (`engine.loading`),
llama.cpp reads a merged copy of its file (`engine.llama.merging`). Every other kind is refused. Knows
nothing of models, and opening a folder imports no torch.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from engine import recall
from engine.errors import AdapterInvalid, AdapterMismatch
from engine.format import MemoryFormat
from engine.heads import HeadWeights
from engine.recall import Heads
from engine.registry import adapter_folder

if TYPE_CHECKING:
    import torch

CONFIG, TENSORS, OURS = "adapter_config.json", "adapter_model.safetensors", "attest.json"

_PREFIX = "base_model.model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
# fields of peft's configuration that make W + scale * B @ A wrong
_NOT_PLAIN = (
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "lora_bias",
    "fan_in_fan_out",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "modules_to_save",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
)
_INITIALISED = (True, False, "gaussian", "orthogonal", "eva")  # the others change the base weights as well


@dataclass(frozen=True)
class Adapter:
    """name: of the folder. hash: SHA-256 (hex) over peft's two files. base: hash of the weights that it was
    trained on (`engine.loading.LoadedModel.weights_hash`). format: the default memory format with it.
    rank: rows of A and columns of B. scale: what B @ A is multiplied with. heads: None if none were fitted.
    recall: heads that find memories (`engine.recall`).
    """

    folder: Path
    name: str
    hash: str
    base: str
    format: MemoryFormat
    rank: int
    scale: float
    heads: HeadWeights | None = None
    recall: Heads = ()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Raises AdapterInvalid if a file is missing or damaged, or the adapter is not plain LoRA."""
        folder = folder.expanduser().resolve()
        config, ours = _json(folder / CONFIG), _json(folder / OURS)
        try:
            rank, alpha = int(config["r"]), float(config["lora_alpha"])
            base, fmt = str(ours["base"]), MemoryFormat.from_json(ours["format"])
            scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise AdapterInvalid(
                f"adapter {folder}: {CONFIG} or {OURS} lacks what it should say ({error!r}); export it again"
            ) from error
        _plain(folder, config)
        _paired(folder, rank)
        digest = hashlib.sha256()
        for name in (CONFIG, TENSORS):
            with (folder / name).open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        heads, found = HeadWeights.open(folder), recall.opened(folder, digest.hexdigest())
        return cls(folder, folder.name, digest.hexdigest(), base, fmt, rank, scale, heads, found)

    def check(self, weights: str) -> None:
        """Raises AdapterMismatch unless it was trained on the weights of this hash."""
        if weights != self.base:
            raise AdapterMismatch(
                f"adapter {self.name} was trained on other weights ({self.base[:12]}) than this model's "
                f"({weights[:12]}); choose the model that it belongs to, or set the adapter to none"
            )


def chosen(setting: str, model: str) -> Adapter | None:
    """The adapter that a setting stands for: "auto" (the one that comes with the model), "none" or a folder.

    Raises AdapterInvalid.
    """
    folder = adapter_folder(setting, model)
    return None if folder is None else Adapter.open(folder)


def identity(setting: str, model: str) -> str:
    """The chosen adapter's hash, "" for none; the setting itself where loading will say what is wrong."""
    try:
        adapter = chosen(setting, model)
    except AdapterInvalid:
        return setting
    return "" if adapter is None else adapter.hash


def deltas(adapter: Adapter) -> Iterator[tuple[str, "torch.Tensor"]]:
    """(name in transformers, scale * B @ A (outputs, inputs) float32) of each weight, one after the other."""
    for name, up, down in matrices(adapter):
        yield name, (up @ down) * adapter.scale


def matrices(adapter: Adapter) -> Iterator[tuple[str, "torch.Tensor", "torch.Tensor"]]:
    """(name in transformers, B (outputs, rank), A (rank, inputs)) of each weight, in float32."""
    from safetensors import safe_open

    with safe_open(adapter.folder / TENSORS, framework="pt") as file:
        for key in sorted(file.keys()):
            if key.endswith(_DOWN):
                name = key.removesuffix(_DOWN)
                up, down = file.get_tensor(name + _UP).float(), file.get_tensor(key).float()
                yield f"{name.removeprefix(_PREFIX)}.weight", up, down


def _json(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdapterInvalid(
            f"{file} cannot be read ({error}); an adapter is a folder with {CONFIG}, {TENSORS} and {OURS}"
        ) from error
    if not isinstance(data, dict):
        raise AdapterInvalid(f"{file} holds no JSON object; export the adapter again")
    return data


def _plain(folder: Path, config: dict[str, Any]) -> None:
    odd = [name for name in _NOT_PLAIN if config.get(name)]
    if config.get("bias", "none") != "none":
        odd.append("bias")
    if config.get("init_lora_weights", True) not in _INITIALISED:
        odd.append("init_lora_weights")
    if config.get("peft_type", "LORA") != "LORA":
        odd.append("peft_type")
    if odd:
        raise AdapterInvalid(f"adapter {folder} is not plain LoRA ({', '.join(odd)}); train it without these")


def _paired(folder: Path, rank: int) -> None:
    """Every tensor is one half of a LoRA pair of this rank."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / TENSORS, framework="numpy") as file:
            keys = file.keys()
            shapes = {key: file.get_slice(key).get_shape() for key in keys}
    except (OSError, SafetensorError) as error:
        raise AdapterInvalid(
            f"adapter {folder}: {TENSORS} is missing or damaged ({error}); copy or export it again"
        ) from error
    downs = {key.removesuffix(_DOWN) for key in shapes if key.endswith(_DOWN)}
    expected = {name + half for name in downs for half in (_DOWN, _UP)}
    ranks = [shapes[name + _DOWN][0] for name in downs] + [shapes.get(name + _UP, [0])[-1] for name in downs]
    if not downs or set(shapes) != expected or set(ranks) != {rank}:
        raise AdapterInvalid(
            f"adapter {folder} holds other tensors than pairs of LoRA matrices of rank {rank}; train it as "
            "plain LoRA on linear layers"
        )
