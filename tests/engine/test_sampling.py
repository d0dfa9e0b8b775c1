"""Greedy and drawn tokens, penalties, and answers that may not end yet."""

import numpy as np
import pytest

from engine.protocol import GenerateOptions
from engine.sampling import Sampler, log_probabilities

LOGITS = np.array([1.0, 3.0, 2.0, -1.0], dtype=np.float32)


def test_greedy_takes_the_best() -> None:
    assert Sampler(GenerateOptions()).pick(LOGITS, []) == 1


def test_a_repeated_token_loses() -> None:
    sampler = Sampler(GenerateOptions(repetition_penalty=2.0))
    assert sampler.pick(LOGITS, [1]) == 2
    assert sampler.pick(-LOGITS, [3]) == 3  # 1 / 2 is still the best
    assert LOGITS[1] == 3.0


def test_an_answer_does_not_end_before_min_tokens() -> None:
    sampler = Sampler(GenerateOptions(min_tokens=2), end_tokens={1})
    assert [sampler.pick(LOGITS, generated) for generated in ([], [2], [2, 2])] == [2, 2, 1]


def test_drawn_tokens_follow_the_probabilities_and_the_seed() -> None:
    options = GenerateOptions(temperature=1.0, seed=4)
    drawn = [Sampler(options).pick(LOGITS, []) for _ in range(3)]
    assert len(set(drawn)) == 1
    sampler = Sampler(options)
    counts = np.bincount([sampler.pick(LOGITS, []) for _ in range(4000)], minlength=4) / 4000
    expected = np.exp(LOGITS) / np.exp(LOGITS).sum()
    np.testing.assert_allclose(counts, expected, atol=0.03)


@pytest.mark.parametrize(("top_p", "possible"), [(0.5, {1}), (0.85, {1, 2}), (0.0, {1}), (1.0, {0, 1, 2, 3})])
def test_the_nucleus_is_the_smallest_set(top_p: float, possible: set[int]) -> None:
    sampler = Sampler(GenerateOptions(temperature=1.0, top_p=top_p))
    assert {sampler.pick(LOGITS, []) for _ in range(3000)} == possible


def test_log_probabilities_are_those_of_the_softmax() -> None:
    found = log_probabilities(np.stack([LOGITS, LOGITS * 200]), [0, 1])
    assert found[0] == pytest.approx(1 - np.log(np.exp(LOGITS).sum()), abs=1e-6)
    assert found[1] == pytest.approx(0, abs=1e-6)
