"""Which change of a verdict is a regression, held against a table written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gradbench.compare.gates import Group, verdict

Interval = tuple[float, float]


def group(*seeds: tuple[str, Interval, str, Interval]) -> Group:
    """One strategy at one setting with one weight tensor; for each seed verdict and interval, before and after."""
    rows, weights = [], []
    for seed, (before, old, after, new) in enumerate(seeds):
        cell = f"cell-{seed}"
        words = {"verdict_base": before, "verdict_new": after, "worst_parameter_base": "w", "worst_parameter_new": "w"}
        rows.append({"cell": cell, "seed": seed, **words})
        numbers = {
            "noise_low_base": old[0],
            "noise_high_base": old[1],
            "noise_ratio_base": np.mean(old),
            "noise_low_new": new[0],
            "noise_high_new": new[1],
            "noise_ratio_new": np.mean(new),
        }
        weights.append({"cell": cell, "parameter": "w", "step": 0, **words, **numbers})
    return Group("approximate:4", {"depth": 3}, rows, pd.DataFrame(weights), {})


EXACT = (0.0, 0.0)
NAN = (np.nan, np.nan)


@pytest.mark.parametrize(
    ("before", "old", "after", "new", "judged"),
    [
        ("exact", EXACT, "exact", EXACT, None),
        ("exact", EXACT, "rounding", (1e-13, 2e-13), False),
        ("exact", EXACT, "below-noise", (1e-4, 2e-4), True),
        ("rounding", (1e-13, 2e-13), "below-noise", (2e-13, 3e-13), False),
        ("rounding", (1e-13, 2e-13), "below-noise", (1e-6, 2e-6), True),
        ("below-noise", (0.05, 0.099), "unresolved", (0.051, 0.101), False),
        ("below-noise", (0.05, 0.099), "unresolved", (0.09, 1.2), False),
        ("below-noise", (0.01, 0.02), "unresolved", (0.09, 1.2), True),
        ("below-noise", (0.08, 0.095), "comparable", (0.105, 0.12), False),
        ("below-noise", (0.02, 0.03), "comparable", (0.2, 0.3), True),
        ("unresolved", (0.05, 0.2), "comparable", (0.11, 0.5), False),
        ("unresolved", (0.05, 0.2), "harmful", (1.1, 3.0), True),
        ("comparable", (0.5, 0.9), "harmful", (1.1, 1.5), False),
        ("comparable", (0.1, 0.2), "harmful", (1.1, 1.5), True),
        ("comparable", (0.1, 0.2), "broken", NAN, True),
        ("undefined", NAN, "harmful", (1.1, 1.5), None),
        ("undefined", NAN, "broken", NAN, True),
        ("harmful", (1.1, 1.5), "comparable", (0.1, 0.2), None),
        ("below-noise", (0.02, 0.03), "undefined", NAN, None),
    ],
)
def test_the_verdicts_of_one_seed(before: str, old: Interval, after: str, new: Interval, judged: bool | None) -> None:
    changes = list(verdict(group((before, old, after, new))))
    assert [change.judged for change in changes] == ([] if judged is None else [judged])


def test_the_worse_weight_is_named() -> None:
    one = group(("below-noise", (0.001, 0.002), "comparable", (0.2, 0.3)))
    second = one.weights.assign(parameter="v", noise_low_new=0.4, noise_high_new=0.9, noise_ratio_new=0.6)
    (change,) = verdict(Group(one.strategy, one.setting, one.rows, pd.concat([one.weights, second]).reset_index(), {}))
    assert change.parameter == "v"
    assert change.why == "noise ratio of v at step 0: 0.0015 -> 0.6"


def test_a_seed_that_breaks_is_enough_unless_another_was_broken_before() -> None:
    fine = ("comparable", (0.1, 0.2), "comparable", (0.1, 0.2))
    breaks = ("comparable", (0.1, 0.2), "broken", NAN)
    broken = ("broken", NAN, "broken", NAN)
    assert [change.certain for change in verdict(group(fine, breaks))] == [True]
    assert [change.certain for change in verdict(group(broken, breaks))] == [False]


def test_a_worse_class_in_most_seeds_is_a_regression_and_in_few_is_told(
    simulate: Callable[..., Any], edited: Callable[..., Any]
) -> None:
    from gradbench.compare.compare import compare

    def worse(seeds: int) -> Any:
        def rows(frame: pd.DataFrame) -> pd.Series:
            return (frame["strategy"] == "approximate:4") & (frame["depth"] == 4) & (frame["seed"] < seeds)

        run = edited(simulate(), "cells", rows, verdict="harmful")
        return edited(run, "gradients", rows, verdict="harmful", noise_low=1.1, noise_high=2.0, noise_ratio=1.5)

    for seeds, kind in ((1, "advisory"), (2, "advisory"), (3, "regression")):
        findings = compare(simulate(), worse(seeds)).findings
        assert [(finding.kind, finding.check, finding.setting) for finding in findings] == [
            (kind, "verdict", {"depth": 4})
        ]
        assert f"harmful, was below-noise, in {seeds} of 4 seeds" in findings[0].says
