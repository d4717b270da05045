"""Jackknife intervals against brute force: every minibatch really left out, and coverage counted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from gradbench.measure.intervals import (
    interval,
    left_out_bias,
    left_out_mean,
    left_out_variance,
    positive_interval,
)
from gradbench.measure.sketch import Sketch

RNG = np.random.default_rng(0)


def test_leaving_a_minibatch_out_equals_leaving_it_out() -> None:
    g = RNG.normal(1, 2, size=(7, 5))
    deviations = ((g - g.mean(0)) ** 2).sum(1, keepdims=True)
    for b in range(7):
        others = np.delete(g, b, axis=0)
        assert left_out_mean(g)[b] == pytest.approx(others.mean(0))
        s2 = ((others - others.mean(0)) ** 2).sum() / 5
        assert left_out_variance(deviations)[b, 0] == pytest.approx(s2)
        pairs = [others[a] @ others[c] for a in range(6) for c in range(6) if a != c]
        assert left_out_bias(g)[b] == pytest.approx(np.mean(pairs))


def test_the_interval_of_a_mean_is_students() -> None:
    x = RNG.normal(3, 2, size=(9, 1))
    low, high = interval(x.mean(0), left_out_mean(x))
    reach = student.ppf(0.975, 8) * x.std(ddof=1) / 3
    assert low[0] == pytest.approx(x.mean() - reach)
    assert high[0] == pytest.approx(x.mean() + reach)


@pytest.mark.parametrize("count", [4, 8, 32])
def test_ratios_of_sums_of_squares_are_covered(count: int) -> None:
    true, repetitions, entries = 0.5, 2000, 20
    g = RNG.normal(size=(count, repetitions, entries))
    e = RNG.normal(size=(count, repetitions, entries)) * math.sqrt(true)
    e2, deviations = (e**2).sum(2), ((g - g.mean(0)) ** 2).sum(2)
    estimate = e2.mean(0) / (deviations.sum(0) / (count - 1))
    low, high = positive_interval(estimate, left_out_mean(e2) / left_out_variance(deviations))
    covered = ((low <= true) & (true <= high)).mean()
    # Four standard deviations of a share of 2000 are 0.02. A percentile bootstrap of 8 minibatches covers 0.87.
    assert 0.93 <= covered <= 0.98


def test_too_few_minibatches_give_an_interval_without_end() -> None:
    deviations = np.array([[1.0], [1.0]])
    e2 = np.array([[1.0], [2.0]])
    low, high = positive_interval(np.array([0.75]), left_out_mean(e2) / left_out_variance(deviations))
    assert (low[0], high[0]) == (0, math.inf)


def test_an_error_of_one_minibatch_alone_has_a_finite_interval_and_no_error_has_none() -> None:
    e2 = np.array([[1e-3], [1e-12], [1e-12], [0.0]])
    low, high = positive_interval(e2.mean(0), left_out_mean(e2))
    assert low[0] == 0
    assert 1e-3 < high[0] < 1
    zero = np.zeros((4, 1))
    assert positive_interval(zero.mean(0), left_out_mean(zero)) == (0, 0)


def test_inner_products_of_sketches_are_those_of_the_vectors() -> None:
    generator = torch.Generator().manual_seed(1)
    sketch = Sketch([10, 100_000], torch.device("cpu"))
    assert sketch.kept == [10, 256]
    a, b = (torch.randn(100_010, dtype=torch.float64, generator=generator) for _ in range(2))
    b = b + 0.5 * a
    small_a, large_a = sketch(a).split(sketch.kept)
    small_b, large_b = sketch(b).split(sketch.kept)
    assert torch.equal(small_a, a[:10])
    assert torch.equal(small_b, b[:10])
    scale = float(a[10:].norm() * b[10:].norm())
    spread = math.sqrt(2 / 256)
    assert abs(float(large_a @ large_b - a[10:] @ b[10:])) < 4 * spread * scale
    # One entry alone and a constant vector, for which sums without signs would be far off, are kept as well.
    constant = torch.ones_like(a)
    assert float(sketch(constant)[10:].square().sum()) == pytest.approx(100_000, rel=4 * spread)
