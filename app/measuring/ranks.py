"""How well one score predicts another: area under the ROC curve, Spearman's correlation, bootstrap.

Knows arrays only. Where nothing tells (no positive, or a side without any difference) the answer is None, not
a number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Floats = Sequence[float] | npt.NDArray[np.float64]
Each = TypeVar("Each")

BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Figure:
    """A statistic and its standard error."""

    value: float | None
    standard_error: float | None


def ranks(values: Floats) -> npt.NDArray[np.float64]:
    """1-based, ascending; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    shared: npt.NDArray[np.float64] = (counts.cumsum() - (counts - 1) / 2)[inverse]
    return shared


def auc(scores: Floats, positive: Sequence[bool]) -> float | None:
    """The probability that a positive has the higher score; equal ones count half."""
    chosen = np.asarray(positive, dtype=np.bool_)
    count = int(chosen.sum())
    others = len(chosen) - count
    if not count or not others:
        return None
    above = ranks(scores)[chosen].sum() - count * (count + 1) / 2
    return float(above / (count * others))


def spearman(one: Floats, other: Floats) -> float | None:
    """Rank correlation, -1..1."""
    a, b = ranks(one), ranks(other)
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm else None


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def mean(values: Sequence[float | None]) -> float | None:
    """Of those that are known."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def standard_error(
    each: Sequence[Each], statistic: Callable[[Sequence[Each]], float | None], seed: int
) -> float | None:
    """Of a statistic of independent things, by drawing as many of them again, with replacement.

    Draws in which the statistic says nothing are left out; None if fewer than half say something.
    """
    generator = np.random.default_rng(seed)
    draws = (generator.integers(len(each), size=len(each)) for _ in range(BOOTSTRAPS if each else 0))
    found = [value for draw in draws if (value := statistic([each[i] for i in draw])) is not None]
    return float(np.std(found)) if len(found) > BOOTSTRAPS / 2 else None
