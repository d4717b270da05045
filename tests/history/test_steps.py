"""Steps planted in random series: found at their night, and not where there is none."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from gradbench.history.changes import changes
from gradbench.history.nights import with_missed
from gradbench.history.steps import steps
from gradbench.history.table import ADVISORY, FIRM


def _nights(count: int) -> list[str]:
    return [(date(2026, 1, 28) + timedelta(days=day)).isoformat() for day in range(count)]


def _series(values: np.ndarray | list[float]) -> pd.Series:
    return pd.Series(np.asarray(values, dtype=float), index=_nights(len(values)))


def test_no_step_is_found_more_often_than_the_stated_rate() -> None:
    rng = np.random.default_rng()
    draws = (rng.normal, rng.standard_cauchy, rng.exponential)  # symmetric, outliers everywhere, skewed
    alarms = sum(
        bool(steps(_series(10 + draws[trial % 3](size=rng.integers(8, 40))), size=1e-6)) for trial in range(300)
    )
    assert alarms <= 29  # binomial(300, 0.05) exceeds 29 once in 1,600


@pytest.mark.parametrize("size", [-0.3, 0.3, 1.0])
def test_a_planted_step_is_found_at_its_night_despite_gaps_and_an_outlier(size: float) -> None:
    rng = np.random.default_rng()
    exact = 0
    for _ in range(40):
        place = int(rng.integers(8, 23))
        values = np.exp(0.02 * rng.normal(size=30))
        values[place:] *= 1 + size
        far = [night for night in range(30) if abs(night - place) > 2]
        values[rng.choice(far)] *= 20  # an outlier is no step
        series = _series(values)
        missed = rng.choice(far, 4, replace=False)
        series.iloc[missed[:2]] = np.nan  # a night without this number
        series = series.drop(series.index[missed[2:]])  # and one without any
        found = steps(series)
        exact += [step.night for step in found] == [_nights(30)[place]]
    assert exact >= 36


def test_an_exact_step_is_found_as_soon_as_it_lasts() -> None:
    for before, after in ((4, 4), (5, 3), (12, 3)):
        found = steps(_series([2.0] * before + [3.0] * after))
        assert [(step.night, step.before, step.after) for step in found] == [(_nights(before + 1)[before], 2.0, 3.0)]
        assert steps(_series([2.0] * before + [3.0] * (after - 1) + [2.0])) == []


def test_two_steps_are_told_apart() -> None:
    found = steps(_series([1.0] * 10 + [2.0] * 10 + [1.5] * 10))
    assert [(step.night, step.before, step.after) for step in found] == [
        (_nights(30)[10], 1.0, 2.0),
        (_nights(30)[20], 2.0, 1.5),
    ]


def test_a_small_step_does_not_count() -> None:
    values = _series([1.0] * 10 + [1.08] * 10)
    assert steps(values, size=0.1) == []
    assert len(steps(values, size=0.05)) == 1
    decibels = _series([40.0] * 10 + [39.5] * 10)  # 6 % of the amplitude
    assert steps(decibels, size=0.1, decibels=True) == []
    assert len(steps(decibels, size=0.05, decibels=True)) == 1


def test_infinity_and_zero_are_levels() -> None:
    for before, after in ((np.inf, 80.0), (80.0, np.inf), (0.0, 1e-7), (-np.inf, np.inf)):
        found = steps(_series([before] * 8 + [after] * 8))
        assert [(step.before, step.after) for step in found] == [(before, after)]
    assert steps(_series([np.inf] * 16)) == []
    assert steps(_series([np.nan] * 16)) == []


def test_the_same_nights_give_the_same_answer() -> None:
    values = _series(np.random.default_rng().normal(size=40).cumsum())
    assert steps(values) == steps(values)


@pytest.mark.parametrize(
    ("nights", "missed"),
    [
        (["2026-02-27", "2026-03-02"], []),
        (["2026-02-26", "2026-02-27", "2026-03-02", "2026-03-03"], ["2026-02-28", "2026-03-01"]),
        (["2026-01-05", "2026-01-12", "2026-01-26", "2026-02-02", "2026-02-10"], ["2026-01-19"]),
        (["2026-01-01"], []),
        ([], []),
    ],
)
def test_missed_nights_are_put_in(nights: list[str], missed: list[str]) -> None:
    assert with_missed(reversed(nights)) == sorted(nights + missed)


def _history(nights: int, settings: int) -> pd.DataFrame:
    """Firm numbers that do not change, of some settings."""
    rows = [
        {"night": night, "profile": "quick", "sets": "", "environment": "e", "run": night, "torch": "2", "device": "d"}
        | {"depth": depth, "strategy": "reconstruct", "verdict": "exact", "seeds": 2, "failed": 0}
        | dict.fromkeys((*FIRM, *ADVISORY), 0.25 * depth)
        for night in _nights(nights)
        for depth in range(1, settings + 1)
    ]
    return pd.DataFrame(rows)


def test_one_number_that_changes_among_many_is_named() -> None:
    history = _history(nights=20, settings=4)
    assert changes(history) == []
    later = (history["night"] >= _nights(20)[15]) & (history["depth"] == 3)
    history.loc[later, "rel_error"] *= 1.5
    found = changes(history)
    assert [(change.setting, change.strategy, change.column) for change in found] == [
        ({"depth": 3}, "reconstruct", "rel_error")
    ]
    assert (found[0].step.night, found[0].step.before, found[0].step.after) == (_nights(20)[15], 0.75, 1.125)


def test_noise_in_many_numbers_raises_few_alarms() -> None:
    rng = np.random.default_rng()
    alarms = 0
    for _ in range(20):
        history = _history(nights=12, settings=2)
        for column in FIRM[:6]:
            history[column] *= np.exp(rng.normal(size=len(history)))
        alarms += bool(changes(history))
    assert alarms <= 6  # binomial(20, 0.05) exceeds 6 once in 30,000


def test_two_series_at_once_are_refused() -> None:
    history = _history(nights=4, settings=1)
    history.loc[0, "environment"] = "another"
    with pytest.raises(ValueError, match="one series at a time"):
        changes(history)
