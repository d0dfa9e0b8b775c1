"""What the frozen model itself replies: what it is like to talk to must outlast what an adapter learns."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from engine.adapt.batch import Sample

LONGEST = 48  # tokens of a reply; what is longer is learnt as far as it goes


def with_replies(model: Any, samples: Sequence[Sample], end: int) -> tuple[Sample, ...]:
    """`samples`, those without an answer with what `model` says to their teacher's prompt, greedily.

    model: frozen, a `...ForCausalLM`. end: the token that ends a reply, kept as a reply's last where it does.
    """
    asked = [i for i, sample in enumerate(samples) if not sample.answer]
    prompts = [samples[i].teacher or samples[i].prompt for i in asked]
    if not asked:
        return tuple(samples)
    width = max(map(len, prompts))
    ids = torch.tensor([[end] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    with torch.inference_mode():
        said = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=LONGEST,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
        )
    found = list(samples)
    for i, row in zip(asked, said[:, width:].tolist(), strict=True):
        reply = row[: row.index(end) + 1] if end in row else row
        found[i] = replace(samples[i], answer=tuple(reply))
    return tuple(found)
