"""The context's key-value cache: transformers' cache interface over buffers that never move.

Holds the shared prefix and the context of one sequence, keys rotated once when they enter. Memories are
not in here: they can be swapped without touching it.
"""

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from engine.rotary import rotate


class ContextLayer(CacheLayerMixin):  # type: ignore[misc]  # transformers is untyped
    """One layer: keys, values (1, H, capacity, D); the first `length` columns are in use."""

    is_sliding = False

    def __init__(self, angles: "Angles", capacity: int) -> None:
        super().__init__()
        self.angles = angles
        self.capacity = capacity
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        batch, heads, _, dim = key_states.shape
        self.keys = key_states.new_empty(batch, heads, self.capacity, dim)
        self.values = value_states.new_empty(batch, heads, self.capacity, dim)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Take raw keys (1, H, T, D) and values; return all columns in use, keys rotated."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[2]
        self.keys[:, :, self.length : end] = rotate(key_states, self.angles.cos, self.angles.sin)
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return self.capacity


class Angles:
    """Cosines and sines, (T, D), of the tokens that are going through the model now; shared by all layers."""

    cos: torch.Tensor
    sin: torch.Tensor


class ContextCache(Cache):  # type: ignore[misc]
    """`layers` x (1, H, capacity, D). Capacity is in tokens, the prefix included."""

    def __init__(self, layers: int, capacity: int) -> None:
        self.angles = Angles()
        super().__init__(layers=[ContextLayer(self.angles, capacity) for _ in range(layers)])

    @property
    def length(self) -> int:
        """Columns in use."""
        return int(self.layers[0].length)

    def shorten(self, length: int) -> None:
        """Forget all columns behind the first `length`."""
        for layer in self.layers:
            layer.length = length

    def fill(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Put already rotated keys and values, (L, H, P, D) each, at the front of an empty cache."""
        for layer, key, value in zip(self.layers, keys, values, strict=True):
            layer.lazy_initialization(key[None], value[None])
            layer.keys[:, :, : key.shape[1]] = key
            layer.values[:, :, : key.shape[1]] = value
            layer.length = key.shape[1]
