"""A sample without an answer gets what the frozen model says to it."""

from pathlib import Path

import torch

from engine import loading
from engine.adapt.batch import Sample
from engine.adapt.replies import LONGEST, with_replies
from tests.engine import tiny


def greedy(model: torch.nn.Module, prompt: tuple[int, ...], end: int) -> tuple[int, ...]:
    """The slow way: the whole text again for every token."""
    said: list[int] = []
    while len(said) < LONGEST and said[-1:] != [end]:
        with torch.no_grad():
            said.append(int(model(torch.tensor([[*prompt, *said]])).logits[0, -1].argmax()))
    return tuple(said)


def test_replies_are_the_models_own_and_answers_stay(tmp_path: Path) -> None:
    folder = tiny.save("llama", tmp_path / "model", initializer_range=0.3)
    loaded = loading.load(str(folder), dtype=torch.float32, device="cpu", cache=tmp_path / "cache")
    model = loaded.transformer.model
    prompts = [tuple(b"hello there"), tuple(b"what is 2 plus 3?"), tuple(b"no")]
    ends = [greedy(model, prompts[0], -1)[4], 257]  # one that comes soon, and one that may never come
    for end in ends:
        asked = [Sample(prompt, (), None, prompt, 1.0) for prompt in prompts]
        known = Sample(tuple(b"good "), tuple(b"day"), None)
        found = with_replies(model, [asked[0], known, *asked[1:]], end)
        assert found[1] == known
        replies = [found[i] for i in (0, 2, 3)]
        assert [each.prompt for each in replies] == prompts
        assert [each.answer for each in replies] == [greedy(model, prompt, end) for prompt in prompts]
    assert with_replies(model, [known], 257) == (known,)
