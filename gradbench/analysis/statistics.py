"""The few statistics over seeds, safe for infinite values."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["interval", "median", "slope"]

_RESAMPLES = 4000


def median(values: ArrayLike) -> float:
    """Median; nan for nothing, and where the middle lies between -inf and inf.

    >>> median([1.0, float("inf"), 3.0])
    3.0
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        return float("nan")
    with np.errstate(invalid="ignore"):
        return float(np.median(array))


def interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the median; (nan, nan) for fewer than two values.

    The resamples are the same on every call. Their quantiles are observed medians, never a mix of two, so that an
    infinite value gives an infinite end rather than nan.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size < 2:
        return float("nan"), float("nan")
    picks = np.random.default_rng(0).integers(array.size, size=(_RESAMPLES, array.size))
    with np.errstate(invalid="ignore"):
        medians = np.sort(np.median(array[picks], axis=1))
    tail = round((1 - level) / 2 * _RESAMPLES)
    return float(medians[tail]), float(medians[_RESAMPLES - 1 - tail])


def slope(x: ArrayLike, y: ArrayLike) -> float:
    """Least-squares slope of y against x; nan where a point is not finite, and with fewer than two different x.

    >>> slope([1, 2, 3], [5.0, 3.0, 1.0])
    -2.0
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if np.unique(a).size < 2 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("nan")
    a = a - a.mean()
    return float(a @ (b - b.mean()) / (a @ a))
