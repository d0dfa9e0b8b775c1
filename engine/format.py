"""What a memory is made of, and what it is valid for.

`MemoryFormat` is configuration kept beside every bank of memories: which layers, how many tokens per
key-value head, by which rule they are chosen, how they are placed, how they are encoded on disk
(Memory^3, arXiv 2407.01178, section 3.3). `Fingerprint` names everything that must be equal before a
memory may be read (section 6, remark 9: memories become unreadable when the weights change).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

REFERENCE_TOKENS = 128  # a reference never has more (section 3.1); also the width of its position interval
CHUNK_TOKENS = 64  # memories are chosen anew for every 64 tokens of context (section 3.1)
MEMORIES_PER_CHUNK = 5  # section 3.1
GROUP = 32  # numbers of a memory that share their steps where they are kept in four bits (engine.codec)
PREFIX_TEXT = "Reference:"  # behind BOS: every reference is written behind it, every read begins with it

Positions = Literal["parallel", "serial"]
Codec = Literal["fp32", "fp16", "int8", "int4", "int4-channel", "pq"]


@dataclass(frozen=True)
class MemoryFormat:
    """How references become memories.

    layers: indices of the layers that write and read memories, ascending.
    tokens_per_head: tokens kept per layer and key-value head; `REFERENCE_TOKENS` keeps all of them.
    selection: name of the rule that chooses them, a key of `engine.selection.RULES`.
    positions: "parallel" puts every memory at the same interval of `REFERENCE_TOKENS` positions behind
        the prefix (the paper's choice); "serial" one behind the other.
    temperature: attention scores of memories are divided by it. References that were encoded apart draw too
        little attention from a model that expects one text; below 1 gives it back (APE, arXiv 2502.05431).
        1 is the plain joint softmax.
    codec: number format on disk (engine.codec), or "pq": product quantisation (engine.codebook).
    """

    layers: tuple[int, ...]
    tokens_per_head: int = REFERENCE_TOKENS
    selection: str = "attention"
    positions: Positions = "parallel"
    temperature: float = 1.0
    codec: Codec = "fp16"

    def __post_init__(self) -> None:
        if not self.layers or list(self.layers) != sorted(set(self.layers)):
            raise ValueError(f"layers must be ascending and not empty, got {self.layers}")
        if not 1 <= self.tokens_per_head <= REFERENCE_TOKENS:
            raise ValueError(f"tokens_per_head must be 1..{REFERENCE_TOKENS}, got {self.tokens_per_head}")
        if self.codec not in get_args(Codec):
            raise ValueError(f"unknown codec {self.codec!r}; known are {', '.join(get_args(Codec))}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")

    @property
    def width(self) -> int:
        """Positions between prefix and context: constant, whatever memories are loaded (section 3.2)."""
        return REFERENCE_TOKENS * (1 if self.positions == "parallel" else MEMORIES_PER_CHUNK)

    @property
    def dense(self) -> bool:
        """Whether every token of a reference is kept, so that nothing needs to be chosen."""
        return self.tokens_per_head >= REFERENCE_TOKENS

    @classmethod
    def paper(cls, layer_count: int) -> "MemoryFormat":
        """The paper's own: the first half of the layers, 8 tokens per head (sections 3.3 and 3.4)."""
        return cls(layers=tuple(range(layer_count // 2)), tokens_per_head=8, selection="attention")

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "layers": list(self.layers)}

    def stored(self) -> dict[str, Any]:
        """The fields that decide what is on disk; positions and temperature are applied when it is read."""
        return {k: v for k, v in self.to_json().items() if k not in ("positions", "temperature")}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "MemoryFormat":
        return cls(**{**data, "layers": tuple(data["layers"])})


@dataclass(frozen=True)
class Fingerprint:
    """Everything that two engines must share to read one another's memories.

    weights, adapter, tokenizer: SHA-256 (hex) of the files; adapter is "" without one.
    quantisation: how the weights are held in memory, since that changes what they write.
    prefix: token ids of the shared prefix.
    rope: the rotary embedding's parameters as canonical JSON.
    format: only what decides the stored numbers counts (`MemoryFormat.stored`).
    """

    weights: str
    adapter: str
    tokenizer: str
    quantisation: str
    prefix: tuple[int, ...]
    rope: str
    format: MemoryFormat

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "prefix": list(self.prefix), "format": self.format.stored()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Fingerprint":
        """Of the same id; its format has the usual positions and temperature, which are not kept."""
        return cls(
            **{**data, "prefix": tuple(data["prefix"]), "format": MemoryFormat.from_json(data["format"])}
        )

    @property
    def id(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical JSON."""
        return fingerprint_id(self.to_json())

    def differences(self, other: dict[str, Any]) -> list[str]:
        """Names of the parts in which `other` (a fingerprint's JSON) differs, for the error message."""
        mine = self.to_json()
        return [name for name in mine if mine[name] != other.get(name)]


def fingerprint_id(data: Mapping[str, Any]) -> str:
    """The id of the fingerprint whose JSON this is: a bank's, say, of an engine that is not here any more."""
    canonical = json.dumps(dict(data), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
