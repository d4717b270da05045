"""The yardstick: errors of a gradient against the variance of the gradient itself over minibatches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["noise_ratio_interval"]

RESAMPLES = 1000


def noise_ratio_interval(
    squared_errors: NDArray[np.float64],
    squared_deviations: NDArray[np.float64],
    level: float = 0.95,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the percentile bootstrap interval of mean_b |e_b|^2 / s2 over minibatches.

    Minibatches are drawn with replacement, error and deviation of one minibatch together; s2 is
    sum_b |g_b - mean g|^2 / (M - 1) over the drawn ones, around the mean of all.

    Args:
        squared_errors: |e_b|^2, (M, parameters).
        squared_deviations: |g_b - mean g|^2, (M, parameters).
        level: coverage of the interval.

    Returns:
        Lower and upper ends, (parameters,) each; NaN where s2 is zero.
    """
    count = len(squared_errors)
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)
    with np.errstate(all="ignore"):
        ratios = (draws @ squared_errors / count) / (draws @ squared_deviations / (count - 1))
        low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
