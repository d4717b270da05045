"""One line of the calibration: how often an interval held what was planted, and how sure that share itself is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from gradbench.measure.errors import GradientErrors

__all__ = ["LEVEL", "Count", "Estimate", "binomial_interval", "count", "estimate", "exact"]

#: What the intervals promise.
NOMINAL = 0.95
#: Coverage of the binomial intervals: with a hundred lines that are all right, one in twenty tables has a line that
#: is called wrong.
LEVEL = 0.999


@dataclass(frozen=True)
class Estimate:
    """A number that was measured, with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Count:
    """How often the interval of a number held the number that was planted.

    Attributes:
        group: what was calibrated together.
        what: the number, and under which circumstances.
        planted: the true value, in closed form.
        measured: mean over the repetitions.
        standard_error: of that mean.
        inside: repetitions whose interval held the planted value.
        of: repetitions.
        low: lower end of the binomial interval of inside / of.
        high: upper end of it.
        ok: whether a coverage of 95 % or more is within reach of that interval and, where the estimate is unbiased,
            the mean within 3.3 standard errors of the planted value.
    """

    group: str
    what: str
    planted: float
    measured: float
    standard_error: float
    inside: int
    of: int
    low: float
    high: float
    ok: bool


def estimate(errors: GradientErrors, column: str) -> Estimate:
    """Return one of the numbers of `errors` with its interval."""
    stem = column.removesuffix("_ratio")
    return Estimate(getattr(errors, column), getattr(errors, f"{stem}_low"), getattr(errors, f"{stem}_high"))


def binomial_interval(inside: int, of: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson for a share, which covers at least `level`.

    >>> tuple(round(end, 3) for end in binomial_interval(95, 100, level=0.95))
    (0.887, 0.984)
    """
    tail = (1 - level) / 2
    low = float(betaincinv(inside, of - inside + 1, tail)) if inside else 0.0
    high = float(betaincinv(inside + 1, of - inside, 1 - tail)) if inside < of else 1.0
    return low, high


def count(group: str, what: str, planted: float, estimates: Iterable[Estimate], unbiased: bool = False) -> Count:
    """Count how often the estimates' intervals hold `planted`.

    Args:
        group: what is calibrated together.
        what: the number, and under which circumstances.
        planted: the true value.
        estimates: one a repetition, independent of each other; at least two.
        unbiased: whether the mean of the estimates must be the true value.
    """
    measured = list(estimates)
    inside = sum(one.low <= planted <= one.high for one in measured)
    values = np.array([one.value for one in measured])
    mean, error = float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))
    low, high = binomial_interval(inside, len(measured))
    near = not unbiased or abs(mean - planted) <= 3.3 * error
    return Count(group, what, planted, mean, error, inside, len(measured), low, high, high >= NOMINAL and near)


def exact(group: str, what: str, planted: float, measured: float) -> Count:
    """Return the line of a number without chance, which must be `planted` itself."""
    same = measured == planted
    low, high = binomial_interval(int(same), 1)
    return Count(group, what, planted, measured, 0.0, int(same), 1, low, high, same)
