"""An unchanged run whose numbers are noisy raises an alarm no more often than the rate; a changed one raises it.

The noise is that of a run: the weight tensors of a cell move together, and each a bit alone; the noise ratio lies
beside a limit, so that verdicts change from run to run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gradbench.analysis.tables import Run
from gradbench.compare.compare import compare
from gradbench.compare.comparison import Rules

REPETITIONS = 200
Simulate = Callable[..., Run]


def noisy(run: Run, rng: np.random.Generator, factor: float = 1.0) -> Run:
    """The run again with new noise; its errors are `factor` times as large."""
    gradients, cells = run.tables["gradients"].copy(), run.tables["cells"].copy()
    of_cell = dict(zip(gradients["cell"].unique(), rng.normal(size=gradients["cell"].nunique()), strict=True))
    moved = np.exp(0.1 * gradients["cell"].map(of_cell) + 0.05 * rng.normal(size=len(gradients)))
    gradients["rel_error"] *= factor * moved
    gradients["noise_ratio"] = 0.1 * (factor * moved) ** 2
    gradients["noise_low"], gradients["noise_high"] = 0.8 * gradients["noise_ratio"], 1.2 * gradients["noise_ratio"]
    gradients["verdict"] = np.select(
        [gradients["noise_high"] < 0.1, gradients["noise_low"] >= 0.1], ["below-noise", "comparable"], "unresolved"
    )
    order = pd.Categorical(gradients["verdict"], ["below-noise", "unresolved", "comparable"], ordered=True)
    worst = gradients.assign(order=order.codes).sort_values("order").groupby("cell")["verdict"].last()
    cells["verdict"] = cells["cell"].map(worst)
    cells["accuracy"] += 0.02 * rng.normal(size=len(cells))
    cells["loss"] += 0.05 * rng.normal(size=len(cells))
    return replace(run, tables={**run.tables, "cells": cells, "gradients": gradients})


@pytest.fixture
def one_strategy(simulate: Simulate) -> Run:
    run = simulate(depths=(2, 4), seeds=5)
    kept = {
        name: frame[frame["strategy"] == "approximate:4"] if "strategy" in frame else frame
        for name, frame in run.tables.items()
    }
    return replace(run, tables=kept)


def test_an_unchanged_noisy_run_raises_no_more_alarms_than_the_rate(one_strategy: Run) -> None:
    rng = np.random.default_rng(5)
    rules = Rules(size=0.0, rate=0.05)  # with a size there are fewer still
    comparisons = [
        compare(noisy(one_strategy, rng), noisy(one_strategy, rng), rules) for repetition in range(REPETITIONS)
    ]
    alarms = sum(comparison.exit_code == 1 for comparison in comparisons)
    assert stats.binomtest(alarms, REPETITIONS, rules.rate, alternative="greater").pvalue > 0.01, alarms
    assert not any(comparison.identical for comparison in comparisons)
    verdicts = [one for comparison in comparisons for one in comparison.findings if one.check == "verdict"]
    assert len(verdicts) > REPETITIONS / 4, "verdicts beside a limit do change"
    assert not [finding.says for finding in verdicts if finding.kind != "advisory"]


def test_a_change_is_found_through_the_same_noise(one_strategy: Run) -> None:
    rng = np.random.default_rng(6)
    codes = [compare(noisy(one_strategy, rng), noisy(one_strategy, rng, 1.3)).exit_code for repetition in range(20)]
    assert codes.count(1) >= 18


def test_rounding_jitter_is_no_alarm(one_strategy: Run) -> None:
    gradients = one_strategy.tables["gradients"].assign(excess=1.0, verdict="rounding", rel_error=3e-7)
    cells = one_strategy.tables["cells"].assign(verdict="rounding")
    base = replace(one_strategy, tables={**one_strategy.tables, "gradients": gradients, "cells": cells})
    rng = np.random.default_rng(7)
    for repetition in range(10):
        jitter = gradients.assign(
            rel_error=3e-7 * rng.uniform(0.5, 2, len(gradients)), excess=rng.uniform(0.9, 2, len(gradients))
        )
        comparison = compare(base, replace(base, tables={**base.tables, "gradients": jitter}), Rules(size=0.0))
        assert comparison.exit_code == 0, repetition
        assert not comparison.findings
        assert not comparison.identical
