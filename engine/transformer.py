"""A causal language model of transformers, prepared to have its attention computed by our passes.

Knows shapes, the shared prefix and positions; knows nothing of files, banks or documents. Families whose
attention takes rotary angles from a `rotary_emb` module and pairs halves (Llama, SmolLM, Mistral, Qwen2,
Qwen3) work unchanged; `Transformer` proves it for each model at load by comparing logits with the stock
implementation, and refuses the rest.
"""

from contextlib import nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import nn

from engine import attention
from engine.attention import AttentionPass
from engine.cache import ContextCache
from engine.errors import ModelUnsupported
from engine.format import PREFIX_TEXT, MemoryFormat
from engine.rotary import DeferredRotary, rotate

_ADVICE = "choose a Llama, SmolLM, Mistral, Qwen2 or Qwen3 model"


class Transformer:
    """Wraps `model` (a `...ForCausalLM`) and its tokenizer in place.

    Raises ModelUnsupported if the architecture cannot carry explicit memories.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.backbone: Any = model.get_decoder()
        config = model.config
        if not isinstance(getattr(self.backbone, "rotary_emb", None), nn.Module):
            raise ModelUnsupported(
                f"{config.model_type}: no rotary embedding of the Llama kind was found, so memories cannot "
                f"be placed; {_ADVICE}"
            )
        self.layers = int(config.num_hidden_layers)
        self.heads = int(config.num_attention_heads)
        self.kv_heads = int(getattr(config, "num_key_value_heads", None) or self.heads)
        self.head_dim = int(getattr(config, "head_dim", None) or config.hidden_size // self.heads)
        self.device: torch.device = self.backbone.embed_tokens.weight.device
        self.dtype: torch.dtype = self.backbone.norm.weight.dtype
        self.context_tokens = _context_tokens(config)
        self.prefix = self._prefix_ids()
        attention.register()
        self.rotary = DeferredRotary(self.backbone.rotary_emb)
        self.backbone.rotary_emb = self.rotary
        self.model.set_attn_implementation(attention.NAME)
        self._prove_equal_to_stock()

    def _prefix_ids(self) -> tuple[int, ...]:
        bos = self.tokenizer.bos_token_id
        text = self.tokenizer(PREFIX_TEXT, add_special_tokens=False).input_ids
        return (*([] if bos is None else [int(bos)]), *map(int, text))

    def context_start(self, fmt: MemoryFormat) -> int:
        """Position of the first context token."""
        return len(self.prefix) + fmt.width

    def hidden(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        attest: AttentionPass,
        cache: ContextCache | None = None,
        *,
        gradients: bool = False,
    ) -> torch.Tensor:
        """Last hidden states (B, T, hidden) of `ids` (B, T) at `positions` (T,)."""
        if cache is not None:
            cache.angles.cos, cache.angles.sin = self.angles(positions)
        with nullcontext() if gradients else torch.inference_mode(), self.rotary.defer():
            output = self.backbone(
                input_ids=ids,
                position_ids=positions[None],
                past_key_values=cache,
                use_cache=cache is not None,
                # a prepared mask is passed through as it is, and our passes never look at it
                attention_mask=torch.zeros(1, 1, 1, 1, device=self.device, dtype=self.dtype),
                attest=attest,
            )
        return output.last_hidden_state  # type: ignore[no-any-return]

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., vocabulary) of hidden states (..., hidden), float32."""
        with torch.inference_mode():
            return self.model.lm_head(hidden).float()  # type: ignore[no-any-return]

    def angles(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines, (T, D) each, in the model's dtype."""
        return self.rotary.table(positions, torch.empty(0, device=self.device, dtype=self.dtype))

    @cached_property
    def prefix_kv(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys (rotated) and values of the shared prefix, (L, H, P, D) each: the same for every sequence."""
        cache = ContextCache(self.layers, len(self.prefix))
        positions = torch.arange(len(self.prefix), device=self.device)
        ids = torch.tensor([self.prefix], device=self.device)
        self.hidden(ids, positions, CausalPass(*self.angles(positions)), cache)
        keys = torch.stack([layer.keys[0] for layer in cache.layers])
        values = torch.stack([layer.values[0] for layer in cache.layers])
        return keys, values

    def _prove_equal_to_stock(self) -> None:
        """Compare our attention with the stock one on a few tokens, and refuse the model if they differ."""
        vocabulary = int(self.backbone.embed_tokens.weight.shape[0])
        ids = (torch.arange(24, device=self.device) * 7919 % vocabulary)[None]
        positions = torch.arange(24, device=self.device)
        with torch.inference_mode():
            stock = self.model(input_ids=ids, position_ids=positions[None], use_cache=False).logits.float()
        try:
            cache = ContextCache(self.layers, 24)
            ours = self.logits(self.hidden(ids, positions, CausalPass(*self.angles(positions)), cache))
        except (RuntimeError, TypeError, ValueError, AttributeError, KeyError) as error:
            raise ModelUnsupported(
                f"{self.model.config.model_type}: attention cannot be routed through explicit memories "
                f"({error}); {_ADVICE}"
            ) from error
        # rounding in low precision moves logits a little; a wrong rotary pairing or mask moves them a lot
        tolerance = (1e-3 if self.dtype == torch.float32 else 0.25) * float(stock.std())
        difference = float((ours - stock).abs().mean())
        if not difference <= tolerance:
            raise ModelUnsupported(
                f"{self.model.config.model_type}: our attention differs from the stock model's by "
                f"{difference:.3g} (mean logit; at most {tolerance:.3g} is rounding), so its cache has "
                f"another shape; {_ADVICE}"
            )


class CausalPass:
    """Plain causal attention over the cache: what a read pass is when there are no memories."""

    def __init__(self, cos: torch.Tensor, sin: torch.Tensor) -> None:
        self.cos, self.sin = cos, sin

    def attend(
        self, layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        queries = rotate(queries, self.cos, self.sin)
        mask = causal_mask(queries.shape[2], keys.shape[2], queries.device)
        return nn.functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, scale=scaling, enable_gqa=True
        )


def causal_mask(tokens: int, columns: int, device: torch.device) -> torch.Tensor:
    """(tokens, columns) bool: the last `tokens` of `columns` are the queries themselves."""
    return torch.ones(tokens, columns, dtype=torch.bool, device=device).tril(columns - tokens)


def _context_tokens(config: Any) -> int:
    """Longest context that full attention covers: a sliding window would hide the memories behind it."""
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    longest = int(config.max_position_embeddings)
    return min(longest, int(window)) if window else longest
