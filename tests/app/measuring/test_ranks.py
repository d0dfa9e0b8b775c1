"""Rank statistics of which the values are known."""

import random

import pytest

from app.measuring.ranks import auc, mean, ranks, spearman, standard_error


def test_ranks_are_shared() -> None:
    assert ranks([3.0, 1.0, 3.0, 2.0]).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_auc() -> None:
    assert auc([3, 2, 1], [True, False, False]) == 1
    assert auc([1, 2, 3], [True, False, False]) == 0
    assert auc([1, 1, 1], [True, False, False]) == 0.5
    assert auc([0.9, 0.4, 0.5, 0.1], [True, True, False, False]) == 0.75
    assert auc([1, 2], [True, True]) is auc([], []) is None


def test_auc_is_the_share_of_pairs_in_order() -> None:
    generator = random.Random(0)
    scores = [generator.randrange(10) for _ in range(60)]
    positive = [generator.random() < 0.3 for _ in scores]
    pairs = [
        (one > other) + (one == other) / 2
        for one, a in zip(scores, positive, strict=True)
        for other, b in zip(scores, positive, strict=True)
        if a and not b
    ]
    assert auc(scores, positive) == pytest.approx(sum(pairs) / len(pairs))


def test_spearman() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 30, 1000]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert spearman(
        [106, 86, 100, 101, 99, 103, 97, 113, 112, 110], [7, 0, 27, 50, 28, 29, 20, 12, 6, 17]
    ) == (pytest.approx(-29 / 165))
    assert spearman([1, 1, 1], [1, 2, 3]) is None


def test_standard_error_of_a_mean() -> None:
    values: list[float | None] = [float(n % 2) for n in range(400)]
    assert standard_error(values, mean, 0) == pytest.approx(0.5 / 20, rel=0.1)
    assert standard_error(values, mean, 3) == standard_error(values, mean, 3)
    assert standard_error([], mean, 0) is standard_error([None] * 5, mean, 0) is None
