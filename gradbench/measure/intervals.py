"""Intervals of numbers that are averaged over minibatches, from what each becomes with one minibatch left out.

The jackknife: with theta the estimate from M minibatches and theta_b the one without minibatch b, its standard error is
sqrt((M - 1) / M sum_b (theta_b - mean theta_b)^2) and its interval theta +- t se, t the quantile of Student's
distribution with M - 1 degrees of freedom (Efron and Tibshirani, An introduction to the bootstrap, equations 11.5 and
12.11). Numbers that are never negative have their interval on the scale of
the fourth root, on which a sum of squares is near to normal (Hawkins and Wixley, A note on the transformation of
chi-squared variables to normality), and which stays finite where one minibatch carries the whole error. A percentile
bootstrap of so few minibatches covers far less than it says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

__all__ = ["Interval", "interval", "left_out_bias", "left_out_mean", "left_out_variance", "positive_interval"]

Array = NDArray[np.float64]
Interval = tuple[Array, Array]

LEVEL = 0.95


def interval(estimate: Array, left_out: Array) -> Interval:
    """Return lower and upper ends, (parameters,) each; infinitely far apart where the spread has no number.

    Args:
        estimate: (parameters,).
        left_out: the estimates without minibatch b, (M, parameters).
    """
    count = len(left_out)
    with np.errstate(all="ignore"):
        spread = ((left_out - left_out.mean(0)) ** 2).sum(0)
        reach = stdtrit(count - 1, (1 + LEVEL) / 2) * np.sqrt((count - 1) / count * spread)
        reach = np.where(np.isnan(reach) & ~np.isnan(estimate), np.inf, reach)
        return np.where(np.isinf(estimate), estimate, estimate - reach), np.where(
            np.isinf(estimate), estimate, estimate + reach
        )


def positive_interval(estimate: Array, left_out: Array) -> Interval:
    """Return the interval of a number that is never negative; (0, 0) where it is 0 without any one minibatch too."""
    with np.errstate(all="ignore"):
        low, high = interval(estimate**0.25, left_out**0.25)
        return np.clip(low, 0, None) ** 4, high**4


def left_out_mean(values: Array) -> Array:
    """Return the means of values (M, parameters) without minibatch b: (M, parameters)."""
    with np.errstate(all="ignore"):
        return (values.sum(0) - values) / (len(values) - 1)


def left_out_variance(squared_deviations: Array) -> Array:
    """Return s2 = sum |g_b - mean g|^2 / (M - 1) without minibatch b, around the mean of the others: (M, parameters).

    Args:
        squared_deviations: |g_b - mean g|^2 around the mean of all, (M, parameters).

    Without b the mean moves by (g_b - mean) / (M - 1), which takes M / (M - 1) |g_b - mean|^2 from the sum.
    """
    count = len(squared_deviations)
    with np.errstate(all="ignore"):
        return (squared_deviations.sum(0) - count / (count - 1) * squared_deviations) / (count - 2)


def left_out_bias(errors: Array) -> Array:
    """Return the unbiased estimates of |E e|^2 without minibatch b: (M,).

    Without b it is the mean inner product of two different errors among the others, (|S - e_b|^2 - sum of the others'
    |e|^2) / ((M - 1) (M - 2)) with S the sum of all.

    Args:
        errors: e_b of one parameter, or their sketches, (M, entries).
    """
    count = len(errors)
    squares = (errors**2).sum(1)
    with np.errstate(all="ignore"):
        others = ((errors.sum(0) - errors) ** 2).sum(1) - (squares.sum() - squares)
        return others / ((count - 1) * (count - 2))
