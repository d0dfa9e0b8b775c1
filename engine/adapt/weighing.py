"""From masses by head and what leaving memories out cost to one weight for each head.

In the spirit of AT2 (arXiv 2504.13752): ablation is measured once, on a calibration set, and heads are
weighted so that their mass predicts it. Weights are never negative, so a weighted mass stays a mean of shares
of a softmax. Several ways are fitted, each with several strengths; cross-validation settles which is taken.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

MATTERS = 0.5  # nats; a memory without which the answer loses more than this matters
CLIPPED = 5.0  # nats; more than that says no more
FOLDS = 5
STEPS = 200

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """Answers about M memories each. masses: (Q, M, heads), lost: (Q, M) nats, right: (Q,)."""

    masses: Array
    lost: Array
    right: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.right)

    def at(self, places: npt.NDArray[np.intp]) -> "Measured":
        return Measured(self.masses[places], self.lost[places], self.right[places])


@dataclass(frozen=True)
class Quality:
    """right_first: how often the memory with the answer has most mass. auc: of the mass for what matters.

    spearman: with what leaving out cost, within an answer; much of it is noise: most memories do nothing.
    """

    n: int
    right_first: float
    auc: float
    spearman: float


@dataclass(frozen=True)
class Way:
    """How to fit, and how strongly to hold back (the number of heads, for "best heads")."""

    name: str
    strength: float


WAYS = (
    *(Way("best heads", k) for k in (5, 10, 20, 40)),
    *(Way(name, s) for name in ("least squares", "logistic", "which of them") for s in (0.001, 0.01)),
)


def quality(scores: Array, measured: Measured) -> Quality:
    """Of scores (Q, M), mass or anything else that ranks memories."""
    first = scores.argmax(axis=1) == measured.right
    ranks = [_correlation(_ranks(s), _ranks(lost)) for s, lost in zip(scores, measured.lost, strict=True)]
    matters = measured.lost > MATTERS
    return Quality(len(measured), float(first.mean()), auc(scores, matters), float(np.mean(ranks)))


def auc(scores: Array, matters: npt.NDArray[np.bool_]) -> float:
    """Probability that what matters scores higher than what does not; ties count half, and so does nothing to
    tell apart.
    """
    ranks, flat = _ranks(scores.ravel()), matters.ravel()
    positive = int(flat.sum())
    if not 0 < positive < len(flat):
        return 0.5
    above = ranks[flat].sum() - positive * (positive - 1) / 2
    return float(above / (positive * (len(flat) - positive)))


def compare(measured: Measured, seed: int) -> Iterator[tuple[Way, Quality]]:
    """Each way by cross-validation: what it would do on questions that it did not see."""
    order = np.random.default_rng(seed).permutation(len(measured))
    folds = np.array_split(order, FOLDS)
    for way in WAYS:
        scores = np.zeros(measured.lost.shape)
        for fold in folds:
            weights = fit(measured.at(np.setdiff1d(order, fold)), way)
            scores[fold] = measured.masses[fold] @ weights
        yield way, quality(scores, measured)


def fit(measured: Measured, way: Way) -> Array:
    """(heads,) weights, not negative, that sum to 1."""
    if way.name == "best heads":
        found = _best_heads(measured, int(way.strength))
    else:
        found = _descended(measured, way)
    found[found < 0.002 * found.sum()] = 0  # what hardly counts
    return np.asarray(found / found.sum(), dtype=np.float64)


def _best_heads(measured: Measured, count: int) -> Array:
    """Those whose mass alone ranks best, all alike."""
    matters = measured.lost > MATTERS
    of_head = np.array(
        [auc(measured.masses[:, :, head], matters) for head in range(measured.masses.shape[2])]
    )
    weights = np.zeros(len(of_head))
    weights[np.argsort(-of_head, kind="stable")[:count]] = 1
    return weights


def _descended(measured: Measured, way: Way) -> Array:
    """By gradient descent, weights kept above 0. Heads are brought to one scale first."""
    scale = measured.masses.std(axis=(0, 1)) + 1e-6
    masses = torch.from_numpy(measured.masses / scale).float()
    lost = torch.from_numpy(measured.lost).float().clamp(0, CLIPPED)
    matters = (torch.from_numpy(measured.lost) > MATTERS).float()
    weights = torch.full((masses.shape[2],), 1 / masses.shape[2], requires_grad=True)
    shift = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.Adam([weights, shift], lr=0.02)
    for _ in range(STEPS):
        scores = masses @ weights
        if way.name == "least squares":
            loss = ((scores + shift - lost) ** 2).mean()
        elif way.name == "logistic":
            loss = torch.nn.functional.binary_cross_entropy_with_logits(scores + shift, matters)
        else:
            loss = -(lost.softmax(dim=1) * scores.log_softmax(dim=1)).sum(dim=1).mean()
        loss = loss + way.strength * (weights**2).sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            weights.clamp_(min=0)
    return np.asarray(weights.detach().numpy() / scale, dtype=np.float64)


def _ranks(values: Array) -> Array:
    """0-based, means for ties."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts + 1) / 2)[inverse], dtype=np.float64)


def _correlation(one: Array, other: Array) -> float:
    spread = one.std() * other.std()
    return float(((one - one.mean()) * (other - other.mean())).mean() / spread) if spread else 0.0
