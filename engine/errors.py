"""Everything that the engine raises.

EngineError
├── ModelNotFound       no such file, folder, package or hub id
├── ModelUnsupported    the architecture cannot read explicit memories (or cannot be loaded at all)
├── BackendUnavailable  llama.cpp is not installed, cannot be loaded, or has another state format
├── AdapterInvalid      an adapter's folder is missing or damaged, or it is not plain LoRA
├── AdapterMismatch     an adapter was trained on other weights than the model's
├── QuantisationUnavailable   4-bit or 8-bit weights were asked for where they cannot run
├── MemoryMismatch      a memory was written by another model, format or prefix
├── ContextOverflow     prompt and answer do not fit the model's context
├── EngineGone          the process that holds the model ended in the middle of a request
├── EngineAway          ... or cannot be reached, and nothing of the request had begun
└── FrameInvalid        what came from the other process is not a message of ours

Each message says what happened, to what, and what to do next.
"""


class EngineError(Exception):
    """Base of all engine errors."""


class ModelNotFound(EngineError):
    """No such file, folder, installed package or hub id."""


class ModelUnsupported(EngineError):
    """The architecture cannot read explicit memories, or transformers cannot load it."""


class BackendUnavailable(EngineError):
    """A backend is not installed, cannot be loaded, or behaves otherwise than this engine was written for."""


class AdapterInvalid(EngineError):
    """An adapter's folder is missing or damaged, or of a kind that cannot be merged into weights."""


class AdapterMismatch(EngineError):
    """An adapter was trained on other weights than the model's."""


class QuantisationUnavailable(EngineError):
    """The asked quantisation cannot run on this device."""


class MemoryMismatch(EngineError):
    """A memory belongs to another model, format or prefix than this engine's."""


class ContextOverflow(EngineError):
    """The prompt and the answer together do not fit the model's context."""


class EngineGone(EngineError):
    """The process that holds the model ended in the middle of a request."""


class EngineAway(EngineError):
    """The process that holds the model cannot be reached; nothing of the request had begun."""


class FrameInvalid(EngineError):
    """What came from the other process is not a message of ours, or is too large."""
