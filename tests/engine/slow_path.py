"""The slow, obvious path: the stock model over one long sequence with an explicit mask.

The sequence is [prefix][every memory's whole reference][context]. A layer hook gives each attention layer
its own mask per query head: references see the prefix and themselves causally; a context token sees the
prefix, the tokens that the memories of its chunk kept in this layer and head, and the context before it.
Nothing of engine.reader, engine.decode or engine.rotary is used. Parallel positions only: a serial memory is
written at one place and read at another, which one sequence cannot show (test_reader covers it).
"""

from collections.abc import Sequence
from typing import Any

import torch

from engine.format import MemoryFormat
from engine.memory import ExplicitMemory


def logits(
    model: Any,
    prefix: Sequence[int],
    references: Sequence[Sequence[int]],
    memories: Sequence[ExplicitMemory],
    context: Sequence[int],
    sees: Sequence[Sequence[int]],
    fmt: MemoryFormat,
    context_start: int,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Logits (T, vocabulary) of the context and, per layer, attention (Hq, T, S) of the context rows.

    sees[t]: memories that context token t may see. `model` must use eager attention.
    """
    config = model.config
    heads, groups = config.num_attention_heads, config.num_attention_heads // config.num_key_value_heads
    starts, total = [], len(prefix)
    positions = list(range(len(prefix)))
    for reference in references:
        starts.append(total)
        positions += [len(prefix) + j for j in range(len(reference))]
        total += len(reference)
    first = total
    positions += [context_start + j for j in range(len(context))]
    total += len(context)
    masks = []
    for layer in range(config.num_hidden_layers):
        mask = torch.full((heads, total, total), float("-inf"))
        for i in range(len(prefix)):
            mask[:, i, : i + 1] = 0
        for start, reference in zip(starts, references, strict=True):
            for j in range(len(reference)):
                mask[:, start + j, : len(prefix)] = 0
                mask[:, start + j, start : start + j + 1] = 0
        for t in range(len(context)):
            mask[:, first + t, : len(prefix)] = 0
            mask[:, first + t, first : first + t + 1] = 0
            if layer in fmt.layers:
                row = fmt.layers.index(layer)
                for m in sees[t]:
                    for head in range(heads):
                        kept = torch.from_numpy(memories[m].indices[row, head // groups].astype("int64"))
                        mask[head, first + t, starts[m] + kept] = 0
        masks.append(mask[None])
    hooks, attentions = [], []

    def with_mask(mask: torch.Tensor) -> Any:
        return lambda module, args, kwargs: (args, {**kwargs, "attention_mask": mask})

    for layer, mask in zip(model.model.layers, masks, strict=True):
        hooks.append(layer.self_attn.register_forward_pre_hook(with_mask(mask), with_kwargs=True))
        hooks.append(
            layer.self_attn.register_forward_hook(lambda m, a, out: attentions.append(out[1][0, :, first:]))
        )
    ids = torch.tensor([[*prefix, *(t for r in references for t in r), *context]])
    try:
        with torch.inference_mode():
            output = model(input_ids=ids, position_ids=torch.tensor([positions]), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return output.logits[0, first:], attentions
