"""Medians, intervals and slopes against numpy and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import bootstrap

from gradbench.analysis.statistics import interval, median, slope


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng()


def test_slope_is_the_one_of_a_polynomial_fit(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=9), rng.normal(size=9)
    assert slope(x, y) == pytest.approx(np.polyfit(x, y, 1)[0])


@pytest.mark.parametrize("point", [math.inf, -math.inf, math.nan])
def test_a_point_that_is_not_finite_leaves_no_slope(point: float) -> None:
    assert slope([10, 20], [80.0, 79.9]) == pytest.approx(-0.01)
    assert math.isnan(slope([10, 20, 28], [80.0, 79.9, point]))
    assert math.isnan(slope([10, 20, point], [80.0, 79.9, 79.8]))


def test_one_place_on_the_axis_leaves_no_slope() -> None:
    assert math.isnan(slope([1, 1], [0.0, 5.0]))


def test_interval_is_the_percentile_bootstrap(rng: np.random.Generator) -> None:
    values = rng.normal(size=25)
    theirs = bootstrap((values,), np.median, method="percentile", n_resamples=20_000, rng=rng).confidence_interval
    low, high = interval(values)
    assert low <= median(values) <= high
    scale = values.std()
    assert abs(low - theirs.low) < 0.25 * scale
    assert abs(high - theirs.high) < 0.25 * scale


def test_interval_of_infinite_values_has_infinite_ends_and_no_nan() -> None:
    assert interval([math.inf] * 5) == (math.inf, math.inf)
    low, high = interval([1.0, 2.0, 3.0, math.inf, math.inf])
    assert low < 3
    assert high == math.inf


@pytest.mark.parametrize("seeds", range(2, 13))
def test_interval_of_five_seeds_and_fewer_is_their_range_and_then_narrower(
    seeds: int, rng: np.random.Generator
) -> None:
    values = rng.normal(size=seeds)
    assert (interval(values) == (values.min(), values.max())) == (seeds <= 5)


def test_one_seed_has_no_interval() -> None:
    assert all(math.isnan(end) for end in interval([4.0]))
    assert math.isnan(median([]))
