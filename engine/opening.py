"""From a model's name and a backend's to an engine: llama.cpp where it can serve, torch where it cannot.

llama.cpp answers several times faster on a processor and takes GGUF files only; torch writes memories faster
and reads every format. So the default for a GGUF file without a CUDA device is llama.cpp, with torch writing
from the same weights. Both use the same adapter.
"""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from engine.adapter import Adapter, chosen
from engine.errors import AdapterMismatch, BackendUnavailable, EngineError, ModelUnsupported
from engine.format import MemoryFormat
from engine.memory import ExplicitMemory
from engine.protocol import Engine
from engine.registry import Quantisation, resolve

log = logging.getLogger(__name__)

Backend = Literal["auto", "torch", "llamacpp"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)


def open_engine(
    name: str,
    *,
    backend: Backend = "auto",
    device: str = "auto",
    quantisation: Quantisation = "none",
    memory_format: str = "default",
    adapter: str = "auto",
    cache: Path,
) -> Engine:
    """Load a model. memory_format: see `engine.torch_engine.format_of`. cache: for de-quantised files.

    adapter: "none", a folder of peft, or "auto": the one that comes with the model, unless it does not fit.
    Raises EngineError; ValueError for a format that is none.
    """

    def opened(wanted: Adapter | None) -> Engine:
        return _open(name, backend, device, quantisation, memory_format, wanted, cache)

    try:
        return opened(chosen(adapter, name))
    except AdapterMismatch as error:
        if adapter != "auto":
            raise
        log.warning("answers come without an adapter: %s", error)
        return opened(None)


def _open(
    name: str,
    backend: Backend,
    device: str,
    quantisation: Quantisation,
    memory_format: str,
    adapter: Adapter | None,
    cache: Path,
) -> Engine:
    from engine import loading
    from engine.torch_engine import TorchEngine, format_of

    if backend != "torch":
        why = _not_for_llama(name, device, quantisation)
        if why is None:
            try:
                return _open_llama(name, memory_format, adapter, cache, strict=backend == "llamacpp")
            except (BackendUnavailable, ModelUnsupported) as error:
                why = str(error)
        if backend == "llamacpp":
            raise BackendUnavailable(why)
        log.info("answers come from torch: %s", why)
    loaded = loading.load(name, device=device, quantisation=quantisation, adapter=adapter, cache=cache)
    return TorchEngine(loaded, format_of(memory_format, loaded.transformer.layers, adapter))


def _not_for_llama(name: str, device: str, quantisation: Quantisation) -> str | None:
    """Why llama.cpp is not the backend to take, in words; None if it is."""
    from engine import loading
    from engine.llama import library

    source = resolve(name)
    if source.kind != "gguf":
        return f"{source.name} is not a GGUF file, and llama.cpp reads those only"
    if quantisation != "none":
        return "4-bit and 8-bit weights of bitsandbytes run in torch"
    if device == "cuda" or (device == "auto" and loading.choose_device(device)[0].type == "cuda"):
        return "a CUDA device is there, where torch is fast"
    return library.missing()


def _open_llama(
    name: str, memory_format: str, adapter: Adapter | None, cache: Path, *, strict: bool
) -> Engine:
    """strict: keep a model that cannot read memories, rather than raise ModelUnsupported."""
    from engine import loading
    from engine.llama import trial
    from engine.llama.engine import LlamaEngine
    from engine.llama.merging import merged
    from engine.llama.model import LlamaModel
    from engine.torch_engine import format_of

    path = resolve(name).path
    assert path is not None  # a GGUF source has one
    weights = loading.file_hash(path)
    file = path if adapter is None else merged(path, weights, adapter, cache)
    trial.trusted(file, cache)
    model = LlamaModel(file)
    fmt = format_of(memory_format, model.layers, adapter)
    writer = ReferenceWriter(name, fmt, adapter, cache)
    engine = LlamaEngine(model, fmt, weights, adapter=adapter, name=resolve(name).name, writer=writer)
    if engine.info.refusal is not None and fmt.layers != tuple(range(model.layers)) and not strict:
        raise ModelUnsupported(engine.info.refusal)  # torch reads this format
    return engine


class ReferenceWriter:
    """Writes memories with torch from the same file and adapter, loaded when it is first needed.

    Gives None where torch cannot load them.
    """

    def __init__(self, name: str, fmt: MemoryFormat, adapter: Adapter | None, cache: Path) -> None:
        self._name, self._format, self._adapter, self._cache = name, fmt, adapter, cache
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._failed = False

    def __call__(self, references: Sequence[Sequence[int]]) -> list[ExplicitMemory] | None:
        with self._lock:
            if self._engine is None and not self._failed:
                self._load()
        return None if self._engine is None else self._engine.write(references)

    def _load(self) -> None:
        from engine import loading
        from engine.torch_engine import TorchEngine

        try:
            loaded = loading.load(self._name, device="cpu", adapter=self._adapter, cache=self._cache)
            self._engine = TorchEngine(loaded, self._format)
        except EngineError as error:
            self._failed = True
            log.info("llama.cpp writes memories itself, since torch cannot load the model: %s", error)
