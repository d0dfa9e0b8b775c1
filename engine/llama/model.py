"""A GGUF model in llama.cpp: its shape, its vocabulary, its rotary angles, its chat template.

Says whether its cache can hold explicit memories (`refusal`): plain rotary attention with one key row and one
value row per head and cell can, sliding windows, recurrent layers and latent attention cannot. A refused
model still answers in text mode.
"""

import ctypes
import json
import weakref
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import ModelNotFound, ModelUnsupported
from engine.llama import library

_ADVICE = "choose a Llama, SmolLM, Mistral, Qwen2 or Qwen3 model, or ask in text mode"
_META_BYTES = 1 << 16


class LlamaModel:
    """A loaded GGUF file; its memory is given back with the object, after the contexts that use it.

    layers, heads, kv_heads, head_dim: its shape. interleaved: whether rotary pairs lie side by side in its
    keys (Llama's own order) rather than in two halves (NeoX order, the canonical one).
    Raises ModelNotFound and BackendUnavailable.
    """

    def __init__(self, path: Path, *, gpu: bool = True) -> None:
        self.library = llama = library.load()
        self.path = path
        parameters = llama.llama_model_default_params()
        self.offloaded = gpu and bool(llama.llama_supports_gpu_offload())
        parameters.n_gpu_layers = 999 if self.offloaded else 0
        handle = llama.llama_model_load_from_file(str(path).encode(), parameters)
        if not handle:
            raise ModelNotFound(
                f"{path} could not be loaded by llama.cpp: it is damaged, or its architecture is newer than "
                "this release; check the file, or choose --backend torch"
            )
        self.handle = handle
        weakref.finalize(self, llama.llama_model_free, handle)
        self.vocabulary = llama.llama_model_get_vocab(handle)
        self.architecture = self.meta("general.architecture") or ""
        self.layers = int(llama.llama_model_n_layer(handle))
        self.heads = int(llama.llama_model_n_head(handle))
        self.kv_heads = int(llama.llama_model_n_head_kv(handle))
        width = int(llama.llama_model_n_embd(handle))
        self.head_dim = self._number("attention.key_length", width // max(self.heads, 1))
        self.context_tokens = int(llama.llama_model_n_ctx_train(handle))
        self.vocabulary_size = int(llama.llama_vocab_n_tokens(self.vocabulary))
        self.interleaved = llama.llama_model_rope_type(handle) == llama.LLAMA_ROPE_TYPE_NORM

    def meta(self, key: str) -> str | None:
        """A metadata value as text; None if the file has none."""
        buffer = ctypes.create_string_buffer(_META_BYTES)
        size = self.library.llama_model_meta_val_str(self.handle, key.encode(), buffer, _META_BYTES)
        return None if size < 0 else buffer.value.decode("utf-8", "replace")

    def _number(self, key: str, default: int) -> int:
        value = self.meta(f"{self.architecture}.{key}")
        return int(value) if value is not None and value.isdigit() else default

    @cached_property
    def refusal(self) -> str | None:
        """Why this model cannot read explicit memories, in words; None if nothing speaks against it.

        What the metadata leaves open is settled by `engine.llama.probe`.
        """
        llama, why = self.library, None
        if llama.llama_model_is_recurrent(self.handle) or llama.llama_model_is_hybrid(self.handle):
            why = "it keeps a recurrent state, not one key and value per token"
        elif llama.llama_model_n_swa(self.handle) > 0:
            why = "its attention slides over a window, which would drop the memories"
        elif llama.llama_model_has_encoder(self.handle) or not llama.llama_model_has_decoder(self.handle):
            why = "it is not a decoder alone"
        elif llama.llama_model_rope_type(self.handle) not in (
            llama.LLAMA_ROPE_TYPE_NORM,
            llama.LLAMA_ROPE_TYPE_NEOX,
        ):
            why = "its positions are not plain rotary embeddings"
        elif self._number("attention.kv_lora_rank", 0) > 0:
            why = "its keys and values are compressed together (latent attention)"
        elif self._number("attention.value_length", self.head_dim) != self.head_dim:
            why = "its keys and values differ in size"
        elif self._number("rope.dimension_count", self.head_dim) != self.head_dim:
            why = "it rotates a part of each key only"
        return None if why is None else f"{self.path.name} cannot read explicit memories: {why}; {_ADVICE}"

    # -- rotary embedding

    def frequencies(self, factors: npt.NDArray[np.float32] | None = None) -> npt.NDArray[np.float64]:
        """Radians per position of each rotary pair, (D / 2,). factors: the file's own divisors (Llama 3)."""
        base = float(self.meta(f"{self.architecture}.rope.freq_base") or 10_000.0)
        plain = base ** (-np.arange(0, self.head_dim, 2, dtype=np.float64) / self.head_dim)
        scale = float(self.library.llama_model_rope_freq_scale_train(self.handle))
        return plain * scale / (1.0 if factors is None else factors.astype(np.float64))

    def frequency_factors(self) -> npt.NDArray[np.float32] | None:
        """The tensor `rope_freqs.weight`, which Llama 3 files have; None without one."""
        from gguf import GGUFReader

        for tensor in GGUFReader(self.path).tensors:
            if tensor.name == "rope_freqs.weight":
                return np.array(tensor.data, dtype=np.float32).reshape(-1)
        return None

    @property
    def rope(self) -> str:
        """Canonical JSON as transformers' configuration has it, for the fingerprint."""
        base = float(self.meta(f"{self.architecture}.rope.freq_base") or 10_000.0)
        kind = self.meta(f"{self.architecture}.rope.scaling.type") or "none"
        parameters: dict[str, Any] = {"rope_theta": base, "rope_type": "default"}
        if kind != "none":
            factor = self.meta(f"{self.architecture}.rope.scaling.factor")
            parameters |= {"rope_type": kind, "factor": float(factor or 1.0)}
        return json.dumps(parameters, sort_keys=True)

    @property
    def quantisation(self) -> str:
        """The file's, such as Q4_1."""
        from gguf import LlamaFileType

        number = self.meta("general.file_type")
        try:
            name = str(LlamaFileType(int(number or -1)).name)
        except ValueError:
            return "GGUF"
        return name.removeprefix("MOSTLY_").removeprefix("ALL_")

    # -- vocabulary

    @property
    def bos(self) -> int | None:
        token = int(self.library.llama_vocab_bos(self.vocabulary))
        return token if token >= 0 else None

    @property
    def eos(self) -> int:
        return int(self.library.llama_vocab_eos(self.vocabulary))

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """Tokens that end an answer."""
        is_end = self.library.llama_vocab_is_eog
        return frozenset(t for t in range(self.vocabulary_size) if is_end(self.vocabulary, t))

    @cached_property
    def special_tokens(self) -> tuple[str, ...]:
        """Texts of the control tokens, such as <|im_start|>, the longest first."""
        llama, found = self.library, []
        for token in range(self.vocabulary_size):
            if llama.llama_vocab_is_control(self.vocabulary, token):
                text = llama.llama_vocab_get_text(self.vocabulary, token)
                if text:
                    found.append(text.decode("utf-8", "replace"))
        return tuple(sorted(found, key=len, reverse=True))

    @property
    def template(self) -> str | None:
        """The chat template (Jinja) that the file carries."""
        text = self.library.llama_model_chat_template(self.handle, None)
        return text.decode("utf-8", "replace") if text else None

    def tokenize(self, text: str, *, special: bool, ends: bool = False) -> list[int]:
        """Token ids. special: whether special tokens that are spelled out become such tokens. ends: add
        what the file wants at the beginning and the end of a text.
        """
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        while True:
            ids = (ctypes.c_int32 * room)()
            count = self.library.llama_tokenize(self.vocabulary, data, len(data), ids, room, ends, special)
            if count >= 0:
                return list(ids[:count])
            room = -count

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """What `token` adds to the text, in UTF-8 that may end inside a character."""
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            size = self.library.llama_token_to_piece(self.vocabulary, token, buffer, room, 0, special)
            if size >= 0:
                return buffer.raw[:size]
            room = -size

    def text(self, tokens: list[int]) -> str:
        return b"".join(self.piece(token) for token in tokens).decode("utf-8", "replace")

    def offsets(self, text: str, ids: list[int]) -> list[tuple[int, int]]:
        """(start, end) of each token in `text`, in code points, half-open.

        Raises ModelUnsupported if the vocabulary does not reproduce the text (it then cannot be cited).
        """
        data = text.encode("utf-8", "replace")
        pieces = [self.piece(token, special=True) for token in ids]
        joined = b"".join(pieces)
        shift = len(joined) - len(data)  # some vocabularies put a space in front of every text
        if shift not in (0, 1) or joined[shift:] != data:
            raise ModelUnsupported(
                f"{self.path.name}: its vocabulary changes the text it is given, so passages could not be "
                "cited exactly; choose another model"
            )
        character = np.zeros(len(data) + 1, dtype=np.int64)
        starts = np.frombuffer(data, dtype=np.uint8) & 0xC0 != 0x80
        character[1:] = np.cumsum(starts)  # characters that have begun before each byte
        spans, at = [], -shift
        for piece in pieces:
            first, last = max(at, 0), at + len(piece)
            at = last
            begun = character[first + 1] - 1 if first < len(data) else character[-1]
            spans.append((int(begun) if last > first else int(character[first]), int(character[last])))
        return spans
