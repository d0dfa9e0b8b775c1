"""Heads are weighed by what they predict: on made-up masses of which some heads know what matters."""

import numpy as np
import pytest

from engine.adapt.weighing import WAYS, Measured, Way, auc, compare, fit, quality

HEADS, KNOWING = 24, (3, 7, 11)


def made_up(questions: int = 60, seed: int = 0) -> Measured:
    """One memory of five matters; three heads lean to it, the others fall anywhere."""
    generator = np.random.default_rng(seed)
    masses = generator.uniform(0, 0.2, (questions, 5, HEADS))
    right = generator.integers(0, 5, questions)
    lost = generator.normal(0, 0.05, (questions, 5))
    lost[np.arange(questions), right] = generator.uniform(1, 20, questions)
    for head in KNOWING:
        masses[np.arange(questions), right, head] += 0.12
    return Measured(masses, lost, right.astype(np.intp))


def test_area_under_the_curve_is_the_share_of_pairs_in_order() -> None:
    generator = np.random.default_rng(1)
    scores, matters = generator.integers(0, 6, (7, 5)).astype(float), generator.random((7, 5)) < 0.3
    pairs = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high in scores[matters]
        for low in scores[~matters]
    ]
    assert auc(scores, matters) == pytest.approx(np.mean(pairs))
    assert auc(scores, np.zeros_like(matters)) == 0.5


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.name}-{way.strength}")
def test_every_way_finds_the_heads_that_know(way: Way) -> None:
    measured = made_up()
    weights = fit(measured, way)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    if way.strength < HEADS:
        fitted, plain = (quality(scores, made_up(seed=1)) for scores in scored(made_up(seed=1), weights))
        assert weights[list(KNOWING)].sum() > len(KNOWING) / HEADS
        assert fitted.right_first > plain.right_first
        assert fitted.auc > plain.auc


def scored(measured: Measured, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return measured.masses @ weights, measured.masses.mean(axis=2)


def test_cross_validation_sees_through_what_was_only_learnt_by_heart() -> None:
    measured = made_up()
    noise = Measured(
        np.random.default_rng(2).uniform(0, 1, measured.masses.shape), measured.lost, measured.right
    )
    for way, found in compare(noise, seed=0):
        assert found.right_first < 0.45, way
        assert found.n == len(noise)
    assert all(found.auc > 0.7 for way, found in compare(measured, seed=0) if way.strength in (5, 0.001))


def test_quality_of_a_perfect_score() -> None:
    measured = made_up()
    found = quality(measured.lost, measured)
    assert (found.right_first, found.auc, found.spearman) == (1, 1, pytest.approx(1))
