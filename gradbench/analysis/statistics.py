"""The few statistics over seeds and over pairs of runs, safe for infinite values."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "adjusted",
    "fewest_pairs",
    "interval",
    "median",
    "paired_interval",
    "sign_flip",
    "sign_flips",
    "slope",
    "smallest_p",
]

_RESAMPLES = 4000
#: Up to so many pairs every sign is tried; beyond, so many random ones, the same on every call.
_EXACT_PAIRS = 16
_RANDOM_FLIPS = 9_999


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


def sign_flip(differences: ArrayLike) -> float:
    """Two-sided p of the sign-flip test (Fisher's randomisation test) that differences are symmetric around zero.

    The share of the 2^n ways to flip signs whose sum is at least as far from zero as the one that was seen; beyond 16
    pairs that differ, of 9,999 random ways and the one that was seen. A pair without a difference says nothing.

    >>> sign_flip([0.2, 0.1, 0.3, 0.2, 0.1])
    0.0625

    Args:
        differences: (pairs,), finite.
    """
    return float(sign_flips(np.asarray(differences, dtype=np.float64)[:, None])[0][0])


def sign_flips(differences: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two-sided p of several sums over the same pairs: of each alone, and of each among all of them.

    The signs of a pair are flipped in every sum at once, so that sums which move together cost no power: the second p
    is how often a flip makes any sum as unlikely as this one (Westfall and Young, Resampling-based multiple testing,
    1993, single-step min-p). Where all say the same it is as small as that of one.

    >>> worse, better = [[0.1, 0]] * 4, [[0, -0.1]] * 4
    >>> alone, among_all = sign_flips(worse + better)
    >>> alone.tolist(), among_all.tolist()
    ([0.125, 0.125], [0.234375, 0.234375])

    Args:
        differences: (pairs, sums), finite; 0 where a pair is not in a sum.
    """
    array = np.asarray(differences, dtype=np.float64)
    array = array[(array != 0).any(axis=1)]
    if array.size == 0:
        return np.ones(array.shape[1]), np.ones(array.shape[1])
    sums = np.abs(_signs(len(array)) @ array)
    slack = 1e-9 * np.abs(array).sum(axis=0)  # sums of the same numbers in another order differ in the end
    as_far = np.empty_like(sums, dtype=np.int64)  # how many flips bring each sum at least as far from zero
    for column, (values, least) in enumerate(zip(sums.T, slack, strict=True)):
        as_far[:, column] = len(values) - np.searchsorted(np.sort(values), values - least)
    as_unlikely = np.searchsorted(np.sort(as_far.min(axis=1)), as_far[0], side="right")
    return as_far[0] / len(sums), as_unlikely / len(sums)


def smallest_p(pairs: int) -> float:
    """The smallest p that `sign_flip` can reach with so many pairs that differ: 2^(1 - pairs) up to 16."""
    if pairs == 0:
        return 1.0
    return 2.0 ** (1 - pairs) if pairs <= _EXACT_PAIRS else 1 / (1 + _RANDOM_FLIPS)


def fewest_pairs(p: float) -> int:
    """The fewest pairs with which `sign_flip` can reach `p`.

    >>> fewest_pairs(0.05)
    6
    """
    return math.ceil(round(1 - math.log2(p), 9))


def paired_interval(differences: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Interval of the centre that symmetric differences lie around: the centres that `sign_flip` does not reject.

    Its ends are order statistics of the means of all 2^n - 1 subsets (Hartigan, Using subsample values as typical
    values, 1969), so that it covers with at least `level` for any symmetric distribution. (nan, nan) where even all of
    them cover less: below 6 pairs for 95 %. Beyond 16 pairs the subsets are random, the same on every call.
    """
    array = np.asarray(differences, dtype=np.float64)
    if array.size <= _EXACT_PAIRS:
        sums, members = np.array([0.0]), np.array([0])
        for value in array:
            sums, members = np.append(sums, sums + value), np.append(members, members + 1)
        means = np.sort(sums[1:] / members[1:])
    else:
        chosen = np.random.default_rng(0).integers(2, size=(_RANDOM_FLIPS, array.size)).astype(np.float64)
        means = np.sort((chosen @ array) / np.maximum(chosen.sum(axis=1), 1))
    outside = int((1 - level) / 2 * (means.size + 1) + 1e-9)
    if outside == 0:
        return float("nan"), float("nan")
    return float(means[outside - 1]), float(means[-outside])


def adjusted(p: ArrayLike) -> NDArray[np.float64]:
    """Adjust p for the false-discovery rate (Benjamini and Hochberg, 1995): of those up to q a share q is false."""
    array = np.asarray(p, dtype=np.float64)
    if array.size == 0:
        return array
    from scipy.stats import false_discovery_control  # slow to import, and needed to compare runs only

    return np.asarray(false_discovery_control(array, method="bh"), dtype=np.float64)


def _signs(pairs: int) -> NDArray[np.int64]:
    """Ways to flip the signs of pairs, none first: (ways, pairs). Of two that differ in every sign one is enough."""
    if pairs > _EXACT_PAIRS:
        flipped = np.random.default_rng(0).integers(2, size=(_RANDOM_FLIPS + 1, pairs))
        flipped[0] = 0
    else:
        flipped = (np.arange(2 ** (pairs - 1))[:, None] >> np.arange(pairs)) & 1
    return 1 - 2 * flipped
