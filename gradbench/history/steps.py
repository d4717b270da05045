"""Lasting changes of level in a number that is measured every night: at which night, from what to what.

A split of the nights in two is judged by ranks, so that an outlier weighs no more than any night, and by the largest
statistic over all splits (Pettitt, A non-parametric approach to the change-point problem, 1979, with each split scaled
by its own variance) against that of the same values in random order. Each part is then split again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

__all__ = ["LASTING", "Step", "step_p", "steps"]

#: How many nights a level must hold on either side.
LASTING = 3
_FEW, _MANY = 199, 9999


@dataclass(frozen=True)
class Step:
    """A lasting change of level.

    Attributes:
        night: the first night at the new level.
        before: the median since the step before this one, or since the first night.
        after: the median until the next one, or until now.
        p: how often nights in random order split at least as clearly.
    """

    night: str
    before: float
    after: float
    p: float


def steps(values: pd.Series, size: float = 0.1, rate: float = 0.05, decibels: bool = False) -> list[Step]:
    """The nights at which the level of `values` changed for good, the oldest first.

    Where no level changes, and the nights are independent, a step is found with at most the probability `rate`. Missed
    nights (nan, or not there) are passed over; fewer than `LASTING` nights at a level are no step. With fewer than
    eight nights nothing can be significant at 0.05.

    Args:
        values: (nights,) a number for each night, indexed by night in order; infinite ones are levels too.
        size: the smallest relative change that counts, 0.1 for 10 %.
        rate: the probability of a false alarm.
        decibels: the values are 20 log10 of what `size` speaks of.
    """
    known = values.astype("float64").dropna()
    numbers = known.to_numpy()
    splits = sorted(_splits(numbers, 0, rate))
    edges = [0, *(place for place, _ in splits), len(numbers)]
    levels = [_level(numbers[first:last]) for first, last in pairwise(edges)]
    return [
        Step(str(known.index[place]), before, after, p)
        for (place, p), (before, after) in zip(splits, pairwise(levels), strict=True)
        if _differ(before, after, size, decibels)
    ]


def step_p(values: pd.Series) -> float:
    """How often nights in random order would split at least as clearly as `values` (nights,) do; 1 for too few.

    It is the p-value of the hypothesis that the level never changed.
    """
    return _p(values.astype("float64").dropna().to_numpy())


def _splits(numbers: np.ndarray, offset: int, rate: float) -> Iterator[tuple[int, float]]:
    """Places and p-values of the significant splits of `numbers`, whose first has the place `offset`."""
    p = _p(numbers)
    if p > rate:
        return
    place = _place(numbers)
    yield offset + place, p
    yield from _splits(numbers[:place], offset, rate)
    yield from _splits(numbers[place:], offset + place, rate)


def _p(numbers: np.ndarray) -> float:
    if len(numbers) < 2 * LASTING or (numbers == numbers[0]).all():
        return 1.0
    ranks = pd.Series(numbers).rank().to_numpy()
    seen = _clearest(ranks[None])[0] - 1e-9
    rng = np.random.default_rng(0)  # the same nights give the same answer
    few = _count(ranks, seen, _FEW, rng)
    if few > 0.2 * _FEW:  # far from significant: more would only make it more precise
        return (1 + few) / (1 + _FEW)
    return (1 + _count(ranks, seen, _MANY, rng)) / (1 + _MANY)


def _count(ranks: np.ndarray, seen: float, draws: int, rng: np.random.Generator) -> int:
    """How many of `draws` random orders of `ranks` split as clearly as `seen`; some at a time, to bound the memory."""
    each = max(1, 2_000_000 // len(ranks))
    count = 0
    for start in range(0, draws, each):
        orders = np.broadcast_to(ranks, (min(each, draws - start), len(ranks)))
        count += int((_clearest(rng.permuted(orders, axis=1)) >= seen).sum())
    return count


def _clearest(ranks: np.ndarray) -> np.ndarray:
    """(orders, nights) -> (orders,): the largest standardised difference of the two parts' rank sums over splits."""
    count = ranks.shape[1]
    sizes = np.arange(LASTING, count - LASTING + 1)
    sums = np.cumsum(ranks - (count + 1) / 2, axis=1)[:, sizes - 1]
    clearest: np.ndarray = np.max(np.abs(sums) / np.sqrt(sizes * (count - sizes) / count), axis=1)
    return clearest


def _place(numbers: np.ndarray) -> int:
    """Where two levels fit best: the split with the smallest sum of absolute distances from the two medians."""
    finite = numbers[np.isfinite(numbers)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    far = high - low + 1  # from the others, where infinity stands
    values = np.clip(numbers, low - far, high + far)
    places = range(LASTING, len(values) - LASTING + 1)
    return min(places, key=lambda place: _spread(values[:place]) + _spread(values[place:]))


def _spread(values: np.ndarray) -> float:
    return float(np.abs(values - np.median(values)).sum())


def _level(values: np.ndarray) -> float:
    """The median that is a value of its own, so that infinite ones make no nan."""
    return float(np.sort(values)[(len(values) - 1) // 2]) if len(values) else np.nan


def _differ(before: float, after: float, size: float, decibels: bool) -> bool:
    if before == after:
        return False
    if not (math.isfinite(before) and math.isfinite(after)):
        return True
    if decibels:
        return abs(after - before) >= 20 * math.log10(1 + size)
    return abs(after - before) >= size * abs(before)
