"""The exact tests against loops over every flip, their intervals against the tests, and both against what is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from gradbench.analysis.statistics import adjusted, fewest_pairs, paired_interval, sign_flip, sign_flips, smallest_p

RNG = np.random.default_rng()


@pytest.mark.parametrize("pairs", [1, 2, 5, 8])
def test_sign_flip_counts_every_flip(pairs: int) -> None:
    values = RNG.normal(0.5, 1, pairs)
    sums = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True)))
        for signs in itertools.product((-1, 1), repeat=pairs)
    ]
    assert sign_flip(values) == pytest.approx(np.mean([each >= abs(values.sum()) - 1e-12 for each in sums]))


@pytest.mark.parametrize("pairs", [6, 12, 30])
def test_sign_flip_is_the_permutation_test_of_scipy(pairs: int) -> None:
    values = RNG.normal(0.3, 1, pairs)
    theirs = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=20_000, rng=0)
    assert sign_flip(values) == pytest.approx(theirs.pvalue, abs=0.02 if pairs > 12 else 1e-12)


def test_what_does_not_differ_says_nothing() -> None:
    assert sign_flip([]) == sign_flip([0.0, 0.0]) == 1.0
    assert sign_flip([0.1, 0.2, 0.3, 0, 0, 0]) == sign_flip([0.1, 0.2, 0.3]) == 0.25
    assert sign_flip([0.1] * 10) == smallest_p(10) == 2 / 2**10
    assert sign_flip(np.full(100, 0.1)) == smallest_p(100) == 1e-4


@pytest.mark.parametrize("pairs", [2, 5, 8])
def test_p_among_several_sums_counts_the_flips_in_which_any_is_as_unlikely(pairs: int) -> None:
    values = RNG.normal(0.5, 1, (pairs, 3))
    values[: pairs // 2, 1] = 0
    flipped = [np.array(signs)[:, None] * values for signs in itertools.product((-1, 1), repeat=pairs)]
    alone = np.array([[sign_flip(column) for column in one.T] for one in flipped])
    seen = [sign_flip(column) for column in values.T]
    expected = [np.mean(alone.min(axis=1) <= p + 1e-12) for p in seen]
    found = sign_flips(values)
    assert found[0] == pytest.approx(seen)
    assert found[1] == pytest.approx(expected)


@pytest.mark.parametrize("pairs", [8, 20])
def test_sums_that_move_together_cost_nothing_and_others_do(pairs: int) -> None:
    values = RNG.uniform(0.5, 1, pairs)
    together = np.stack([values, values**2, 3 * values], axis=1)
    assert (sign_flips(together)[1] == smallest_p(pairs)).all()
    halves = np.kron(np.eye(2), np.ones((pairs, 1))) * RNG.uniform(0.5, 1, (2 * pairs, 1))
    assert sign_flips(halves)[1] == pytest.approx(2 * smallest_p(pairs), rel=0.05, abs=3e-4)


def test_p_among_several_sums_is_no_smaller_than_it_may_be() -> None:
    lowest = np.array(
        [sign_flips(RNG.normal(size=(8, 1)) + 0.5 * RNG.normal(size=(8, 4)))[1].min() for _ in range(500)]
    )
    for level in (0.05, 0.2, 0.5):
        assert stats.binomtest(int((lowest <= level).sum()), 500, level, alternative="greater").pvalue > 1e-4


def test_p_is_uniform_where_nothing_changed() -> None:
    p = np.array([sign_flip(RNG.standard_t(3, 9)) for repetition in range(2000)])
    for level in (0.05, 0.2, 0.5):
        assert stats.binomtest(int((p <= level).sum()), p.size, level, alternative="greater").pvalue > 1e-4


@pytest.mark.parametrize("rate", [0.05, 0.01, 0.05 / 7, 0.5, 2 / 2**9])
def test_the_fewest_pairs_are_enough_and_one_less_is_not(rate: float) -> None:
    pairs = fewest_pairs(rate)
    assert smallest_p(pairs) <= rate * (1 + 1e-12)
    assert smallest_p(pairs - 1) > rate


@pytest.mark.parametrize("pairs", [6, 9])
def test_the_interval_holds_what_the_test_does_not_reject(pairs: int) -> None:
    values = RNG.normal(1, 1, pairs)
    low, high = paired_interval(values)
    width = high - low
    for inside in (low + 1e-6 * width, values.mean(), high - 1e-6 * width):
        assert sign_flip(values - inside) > 0.05
    for outside in (low - 1e-6 * width, high + 1e-6 * width):
        assert sign_flip(values - outside) <= 0.05


@pytest.mark.parametrize("pairs", [8, 25])
def test_the_interval_covers_the_centre_as_often_as_it_says(pairs: int) -> None:
    covered = 0
    for _ in range(400):
        low, high = paired_interval(3 + RNG.laplace(size=pairs))
        covered += low <= 3 <= high
    assert stats.binomtest(covered, 400, 0.95, alternative="less").pvalue > 1e-4


def test_too_few_pairs_have_no_interval() -> None:
    assert all(math.isnan(end) for end in paired_interval([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert paired_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == (1.0, 6.0)


def test_adjusted_p_is_that_of_benjamini_and_hochberg() -> None:
    p = np.sort(RNG.uniform(size=9))
    by_hand = [min(9 * p[j] / (j + 1) for j in range(i, 9)) for i in range(9)]
    assert adjusted(p) == pytest.approx(np.minimum(by_hand, 1))
    assert adjusted([]).size == 0
