"""From a model's name to a prepared model: GGUF file, safetensors folder, hub id or the built-in default.

Says which device was taken and why. Weights come from safetensors or GGUF only (never pickle), no remote
code runs, and the network is used only when the caller allows it. A GGUF file is de-quantised once into a
safetensors folder under `cache`, because reading it again takes a hundred times longer than the folder.
An adapter is merged in memory, after the base weights are loaded and before they are quantised: one way for
files, folders and hub ids, and nothing more on disk.
"""

import hashlib
import importlib.util
import json
import logging
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from engine.adapter import Adapter, deltas
from engine.errors import AdapterMismatch, ModelNotFound, ModelUnsupported, QuantisationUnavailable
from engine.format import Fingerprint, MemoryFormat
from engine.prompting import turns, untemplated
from engine.protocol import EngineInfo, Message
from engine.registry import DEFAULT_MODEL, ModelSource, Quantisation, resolve
from engine.transformer import Transformer

log = logging.getLogger(__name__)

_DEQUANTISED = 2  # raised when de-quantising gives something else than before


@dataclass(frozen=True)
class LoadedModel:
    """A prepared model with what identifies it.

    weights_hash: of the weights without the adapter. held: how they are held, for the fingerprint.
    """

    transformer: Transformer
    info: EngineInfo
    end_tokens: frozenset[int]
    weights_hash: str
    tokenizer_hash: str
    held: str
    adapter: Adapter | None = None

    def fingerprint(self, fmt: MemoryFormat) -> Fingerprint:
        rope = json.dumps(getattr(self.transformer.model.config, "rope_parameters", None), sort_keys=True)
        return Fingerprint(
            weights=self.weights_hash,
            adapter="" if self.adapter is None else self.adapter.hash,
            tokenizer=self.tokenizer_hash,
            quantisation=self.held,
            prefix=self.transformer.prefix,
            rope=rope,
            format=fmt,
        )

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation that ends where the answer begins, by the model's chat template.

        Special tokens spelled out inside a message are broken up: a document must not end its own turn.
        """
        tokenizer = self.transformer.tokenizer
        special = [str(t) for t in tokenizer.added_tokens_decoder.values() if t.special]
        conversation = turns(messages, special)
        if tokenizer.chat_template is None:
            return list(tokenizer(untemplated(conversation)).input_ids)
        rendered = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
        return list(tokenizer(rendered, add_special_tokens=False).input_ids)


def choose_device(asked: str = "auto") -> tuple[torch.device, torch.dtype, str]:
    """Device, number format and the reason for both, in words."""
    if asked == "cuda" or (asked == "auto" and torch.cuda.is_available()):
        if not torch.cuda.is_available():
            raise QuantisationUnavailable(
                "CUDA was asked for, but torch finds no CUDA device; use --device cpu"
            )
        return torch.device("cuda"), torch.bfloat16, f"CUDA device {torch.cuda.get_device_name()} found"
    why = "no CUDA device found" if asked == "auto" else "asked for"
    if torch.cpu._is_avx512_bf16_supported():
        return torch.device("cpu"), torch.bfloat16, f"{why}; the processor computes in bfloat16"
    return torch.device("cpu"), torch.float32, f"{why}; the processor has no bfloat16 instructions"


def load(
    name: str = DEFAULT_MODEL,
    *,
    device: str = "auto",
    dtype: torch.dtype | None = None,
    quantisation: Quantisation = "none",
    adapter: Adapter | None = None,
    cache: Path,
    allow_download: bool = False,
) -> LoadedModel:
    """Load and prepare a model, with an adapter merged into it.

    cache: folder for de-quantised GGUF files. allow_download lets a hub
    id be fetched; without it only files already on this machine are used.

    Raises ModelNotFound, ModelUnsupported, QuantisationUnavailable, or AdapterMismatch.
    """
    source = resolve(name)
    target, best, reason = choose_device(device)
    dtype = dtype or best
    extra = _quantisation_arguments(quantisation, target, dtype)
    model, tokenizer, weights_hash = _weights(source, dtype, adapter, extra, cache, allow_download)
    if quantisation == "none":
        model.to(target)
    transformer = Transformer(model, tokenizer)
    held = {"none": str(dtype).removeprefix("torch."), "8bit": "int8", "4bit": "nf4"}[quantisation]
    info = EngineInfo(
        backend="torch",
        model=source.name,
        adapter=None if adapter is None else adapter.name,
        quantisation=held,
        device=str(target),
        device_reason=reason,
        layers=transformer.layers,
        context_tokens=transformer.context_tokens,
        recall=() if adapter is None else adapter.recall,
    )
    log.info("loaded model %s on %s as %s, adapter %s", source.name, target, held, info.adapter or "none")
    ends = _end_tokens(model, tokenizer)
    if source.kind == "gguf":  # one file holds weights and vocabulary, and llama.cpp reads it too
        held = "gguf" if quantisation == "none" else held
        return LoadedModel(transformer, info, ends, weights_hash, weights_hash, held, adapter)
    tokenizer_hash = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
    return LoadedModel(transformer, info, ends, weights_hash, tokenizer_hash, held, adapter)


def save_merged(name: str, adapter: Adapter, folder: Path, *, cache: Path) -> None:
    """The model with the adapter merged into it, as a safetensors folder for other programs.

    In bfloat16: what was trained has no more. Raises as `load`.
    """
    model, tokenizer, _ = _weights(resolve(name), torch.bfloat16, adapter, {}, cache, False)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _weights(
    source: ModelSource,
    dtype: torch.dtype,
    adapter: Adapter | None,
    quantised: dict[str, Any],
    cache: Path,
    allow_download: bool,
) -> tuple[Any, Any, str]:
    """Model, tokenizer, and the hash of the weights without the adapter that is merged into them."""
    folder, weights_hash = _folder(source, dtype, cache)
    at_once = quantised if adapter is None else {}
    model, tokenizer = _from_pretrained(
        str(folder or source.name), dtype=dtype, local_files_only=not allow_download, **at_once
    )
    weights_hash = weights_hash or _hash_parameters(model)
    if adapter is not None:
        adapter.check(weights_hash)
        _merge(model, adapter)
        model = _quantised(model, dtype, quantised) if quantised else model
    return model, tokenizer, weights_hash


def _folder(source: ModelSource, dtype: torch.dtype, cache: Path) -> tuple[Path | None, str]:
    """A folder that transformers loads, and the hash of the weights ("" where only the hub knows)."""
    if source.path is None:
        return None, ""
    if source.kind == "folder":
        return source.path, _hash_files(sorted(source.path.glob("*.safetensors")))
    digest = file_hash(source.path)
    folder = cache / f"{digest[:16]}-{str(dtype).removeprefix('torch.')}-{_DEQUANTISED}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):  # the page and the worker start together; one of them does it
        if not (folder / "config.json").is_file():
            log.info("de-quantising a GGUF file of %d bytes, once", source.path.stat().st_size)
            with tempfile.TemporaryDirectory(dir=cache) as temporary:
                _dequantise(source.path, dtype, Path(temporary)).rename(folder)
    return folder, digest


def _dequantise(file: Path, dtype: torch.dtype, parent: Path) -> Path:
    from transformers import GgufConfig

    model, tokenizer = _from_pretrained(
        str(file.parent),
        gguf_file=file.name,
        dtype=dtype,
        local_files_only=True,
        quantization_config=GgufConfig(dequantize=True),
    )
    _as_the_file_says(file, tokenizer)
    folder = parent / "model"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _as_the_file_says(file: Path, tokenizer: Any) -> None:
    """Mend what transformers leaves out of a GGUF file, or refuse the file."""
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers

    reader = GGUFReader(file)
    if any(tensor.name == "rope_freqs.weight" for tensor in reader.tensors):
        raise ModelUnsupported(
            f"{file.name} stretches its positions (Llama 3.1 scaling), which transformers does not read from "
            "GGUF files; use the llamacpp backend, or the model's safetensors folder"
        )
    field = reader.get_field("tokenizer.ggml.pre")
    if field is not None and field.contents() == "smollm":
        # its splitter takes digits one by one before anything else; without it both backends disagree
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )


def quiet_transformers() -> None:
    """No progress bars and no advice on stderr: ours is for the user."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()


def _from_pretrained(where: str, **arguments: Any) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quiet_transformers()
    named = str(Path(where, arguments["gguf_file"])) if "gguf_file" in arguments else where
    of_tokenizer = {k: v for k, v in arguments.items() if k in ("gguf_file", "local_files_only")}
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, **of_tokenizer)
        weights = {} if "gguf_file" in arguments else {"use_safetensors": True}
        model = AutoModelForCausalLM.from_pretrained(where, **arguments, **weights)
    except (OSError, RuntimeError) as error:
        raise ModelNotFound(
            f"{named} could not be loaded ({str(error).splitlines()[0]}); check the path, or allow the "
            "download of a hub id"
        ) from error
    except (ValueError, LookupError, TypeError, ImportError, struct.error) as error:
        raise ModelUnsupported(
            f"{named}: transformers cannot load this model ({str(error).splitlines()[0]})"
        ) from error
    return model, tokenizer


def _quantisation_arguments(
    quantisation: Quantisation, device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    if quantisation == "none":
        return {}
    if importlib.util.find_spec("bitsandbytes") is None:
        raise QuantisationUnavailable(
            "bitsandbytes is not installed; run `make install` or use full precision"
        )
    from transformers import BitsAndBytesConfig

    if quantisation == "8bit":
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=dtype,
            bnb_4bit_use_double_quant=True,
        )
    return {"quantization_config": config, "device_map": {"": str(device)}}


def _merge(model: Any, adapter: Adapter) -> None:
    """Add the deltas to the weights in place: summed in float32, rounded once to their number format."""
    parameters = dict(model.named_parameters())
    for name, delta in deltas(adapter):
        weight = parameters.get(name)
        if weight is None or weight.shape != delta.shape:
            raise AdapterMismatch(
                f"the model has no weight {name} of {tuple(delta.shape)} numbers, which adapter "
                f"{adapter.name} changes; set the adapter to none"
            )
        weight.data = (weight.data.float() + delta).to(weight.dtype)


def _quantised(model: Any, dtype: torch.dtype, arguments: dict[str, Any]) -> Any:
    """The model again, its weights quantised by bitsandbytes."""
    return type(model).from_pretrained(
        None, config=model.config, state_dict=model.state_dict(), dtype=dtype, **arguments
    )


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    ends = getattr(model.generation_config, "eos_token_id", None)
    listed = ends if isinstance(ends, list) else [ends]
    return frozenset(int(end) for end in [*listed, tokenizer.eos_token_id] if end is not None)


def file_hash(file: Path) -> str:
    """What names a GGUF file in fingerprints."""
    return _hash_files([file])


def _hash_files(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _hash_parameters(model: Any) -> str:
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
