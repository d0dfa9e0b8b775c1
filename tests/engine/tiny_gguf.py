"""Tiny random GGUF models of each supported family, and one with a sliding window, made from nothing.

The file holds what llama.cpp's converter would write for the same transformers weights: query and key rows of
the "llama" architecture reordered for its interleaved rotation, those of the others (NEOX order) left alone.
The tokenizer is byte-level BPE with a few merges, split by a rule that llama.cpp and transformers share, with
ChatML's control tokens. Weights are scaled so that attention is uneven and logits spread by about 2.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter, TokenType
from tokenizers import pre_tokenizers

Array = npt.NDArray[np.float32]

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
BOS, EOS = 1, 2
# fmt: off
MERGES = (
    "Ġ t", "Ġ a", "i n", "h e", "r e", "o n", "e r", "Ġt he", "a t", "Ġ s", "Ġ o", "e n", "Ġ c", "e s",
    "Ġ w", "n d", "i t", "o r", "i s", "Ġ f", "Ġ p", "Ġ b", "in g", "o u", "Ġa nd", "a l", "a r",
    "Ġt o", "Ġ m", "e d", "Ġ in", "Ġo f", "Ġ d", "l e", "i c", "Ġ is", "Ġ h", "o m", "Ġ 1", "1 2",
    "Ġ Ġ", "Ċ Ċ", "u s", "s t", "i on", "en t", "Ġb e", "Ġ re", "Ġf or",
)
# fmt: on
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Shape:
    """What a family is. window: sliding window in tokens, of every layer but each `window_pattern`th.

    pre: the pre-tokenizer's name in GGUF. weights: number format of the matrices; the rest is float32.
    """

    architecture: str
    pre: str
    tied: bool = False
    qkv_bias: bool = False
    qk_norm: bool = False
    post_norms: bool = False
    window: int | None = None
    window_pattern: int = 2
    layers: int = 4
    hidden: int = 64
    feed_forward: int = 96
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 16
    context: int = 2048
    rope_theta: float = 10_000.0
    add_bos: bool = False
    weights: Literal["f32", "f16"] = "f32"


FAMILIES: dict[str, Shape] = {
    "llama": Shape("llama", "llama-bpe", tied=True, rope_theta=100_000.0),
    # like Mistral Nemo, with heads wider than hidden / heads
    "mistral": Shape("llama", "gpt-2", head_dim=32, rope_theta=1_000_000.0, add_bos=True),
    "qwen2": Shape("qwen2", "qwen2", qkv_bias=True, rope_theta=1_000_000.0),
    # transformers reads no head dimension from a Qwen3 GGUF and takes 128, which all of them have
    "qwen3": Shape("qwen3", "qwen2", qk_norm=True, tied=True, head_dim=128, rope_theta=1_000_000.0),
}
WITHOUT_MEMORY: dict[str, Shape] = {
    "gemma3": Shape("gemma3", "gpt-2", tied=True, qk_norm=True, post_norms=True, window=32),
}


def write(path: Path, family: str, seed: int = 0, **changes: Any) -> Path:
    """Write the model of `family` (a key of FAMILIES or WITHOUT_MEMORY) to `path`, and return the path.

    changes: fields of `Shape` to set otherwise. The same seed and shape give the same file.
    """
    shape = replace({**FAMILIES, **WITHOUT_MEMORY}[family], **changes)
    # transformers would take a name of just "mistral" for an architecture that the gguf package does not list
    writer = GGUFWriter(path, shape.architecture)
    writer.add_name(f"Tiny {family}")
    _add_hyperparameters(writer, shape)
    _add_tokenizer(writer, shape)
    for name, weight in _tensors(shape, np.random.default_rng(seed)).items():
        matrix = weight.ndim == 2 and shape.weights == "f16"
        writer.add_tensor(name, weight.astype(np.float16) if matrix else weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def vocabulary() -> list[str]:
    """Tokens in the order of their ids: control tokens, bytes, merges."""
    return [*CONTROL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(m.replace(" ", "") for m in MERGES)]


def _add_hyperparameters(writer: Any, shape: Shape) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(vocabulary()))
    if shape.window is not None:
        writer.add_sliding_window(shape.window)
        writer.add_sliding_window_pattern(shape.window_pattern)


def _add_tokenizer(writer: Any, shape: Shape) -> None:
    tokens = vocabulary()
    plain = len(tokens) - len(CONTROL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(shape.pre)
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL] * len(CONTROL) + [TokenType.NORMAL] * plain)
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_pad_token_id(EOS)
    writer.add_add_bos_token(shape.add_bos)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _tensors(shape: Shape, generator: np.random.Generator) -> dict[str, Array]:
    """GGUF's names to weights, matrices as (outputs, inputs)."""

    def matrix(outputs: int, inputs: int, gain: float = 1.0) -> Array:
        """Outputs spread by `gain` where inputs spread by 1."""
        drawn = generator.standard_normal((outputs, inputs), dtype=np.float32)
        return drawn * np.float32(gain / np.sqrt(inputs))

    def vector(size: int, mean: float, spread: float) -> Array:
        return np.float32(mean) + np.float32(spread) * generator.standard_normal(size, dtype=np.float32)

    hidden, width, kv_width = shape.hidden, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    tensors = {
        "token_embd.weight": matrix(len(vocabulary()), hidden, 2.0),
        "output_norm.weight": vector(hidden, 1.0, 0.1),
    }
    if not shape.tied:
        tensors["output.weight"] = matrix(len(vocabulary()), hidden, 2.0)
    for layer in range(shape.layers):
        block = {
            "attn_norm.weight": vector(hidden, 1.0, 0.1),
            # attention scores spread by the product of the two gains
            "attn_q.weight": _rotary_order(matrix(width, hidden, 1.4), shape, shape.heads),
            "attn_k.weight": _rotary_order(matrix(kv_width, hidden, 1.4), shape, shape.kv_heads),
            "attn_v.weight": matrix(kv_width, hidden),
            "attn_output.weight": matrix(hidden, width),
            "ffn_norm.weight": vector(hidden, 1.0, 0.1),
            "ffn_gate.weight": matrix(shape.feed_forward, hidden, 1.4),
            "ffn_up.weight": matrix(shape.feed_forward, hidden),
            "ffn_down.weight": matrix(hidden, shape.feed_forward),
        }
        if shape.qkv_bias:
            block["attn_q.bias"] = vector(width, 0.0, 0.5)
            block["attn_k.bias"] = vector(kv_width, 0.0, 0.5)
            block["attn_v.bias"] = vector(kv_width, 0.0, 0.5)
        if shape.qk_norm:
            block["attn_q_norm.weight"] = vector(shape.head_dim, 1.4, 0.2)
            block["attn_k_norm.weight"] = vector(shape.head_dim, 1.4, 0.2)
        if shape.post_norms:
            block["post_attention_norm.weight"] = vector(hidden, 1.0, 0.1)
            block["post_ffw_norm.weight"] = vector(hidden, 1.0, 0.1)
        tensors |= {f"blk.{layer}.{name}": weight for name, weight in block.items()}
    return tensors


def _rotary_order(weight: Array, shape: Shape, heads: int) -> Array:
    """A head's rows from halves (x0..., y0...) to pairs (x0, y0, x1, y1...) for the "llama" architecture."""
    if shape.architecture != "llama":
        return weight
    halves = weight.reshape(heads, 2, shape.head_dim // 2, shape.hidden)
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(weight.shape)
