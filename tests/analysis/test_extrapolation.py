"""What is extrapolated to another batch size, against the law it is for; and the steps at which verdicts change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gradbench.analysis.extrapolation import batch_size_checks, batch_size_of_change, changes, extrapolated
from gradbench.analysis.tables import Run

MINIBATCHES, BATCH = 8, 64
COLUMNS = ["noise_ratio", "noise_low", "noise_high", "bias_ratio", "bias_low", "bias_high"]
CHECKS = ["check_noise_ratio", "check_noise_low", "check_noise_high"]


def rows(*numbers: tuple[float, ...], **others: object) -> pd.DataFrame:
    frame = pd.DataFrame(numbers, columns=[*COLUMNS, *CHECKS][: len(numbers[0])], dtype="float64")
    return frame.assign(
        **{"kind": "weight", "strategy": "s", "cell": "c", "parameter": "w", "step": 0, "verdict": "below-noise"}
        | others
    )


def a_run(gradients: pd.DataFrame, check: int | None = None) -> Run:
    settings = {"data": {"batch_size": BATCH}, "measure": {"sgd_batches": MINIBATCHES, "check_batch_size": check}}
    for name in CHECKS:
        if name not in gradients:
            gradients[name] = np.nan
    return Run(Path(), {"settings": settings}, (), {"gradients": gradients})


def test_a_bias_stays_and_a_variance_shrinks_as_the_noise_of_sgd_does() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        bias, variance, noise, factor = *rng.uniform(0.1, 1, 3), rng.choice([0.25, 2, 16])
        ratio, bias_ratio = (bias + variance) / noise, MINIBATCHES * bias / noise
        found = extrapolated(rows((ratio, ratio, ratio, bias_ratio, bias_ratio, bias_ratio)), MINIBATCHES, factor)
        expected = (bias + variance / factor) / (noise / factor)
        assert found.iloc[0].tolist() == pytest.approx([expected] * 3)
        limit = ratio * 3
        size = batch_size_of_change(ratio, bias / noise, BATCH, limit)
        grown = size / BATCH
        assert (bias + variance / grown) / (noise / grown) == pytest.approx(limit)


def test_the_ends_are_those_of_ratio_and_bias_together() -> None:
    numbers = (0.1, 0.05, 0.2, 0.4, -0.8, 0.8)
    larger = extrapolated(rows(numbers), MINIBATCHES, 4).iloc[0]
    assert larger.tolist() == pytest.approx([0.1 + 3 * 0.05, 0.05, 0.2 + 3 * 0.1])
    smaller = extrapolated(rows(numbers), MINIBATCHES, 0.5).iloc[0]
    assert smaller.tolist() == pytest.approx([0.1 - 0.5 * 0.05, 0.05 - 0.5 * 0.1, 0.2])


def test_a_check_counts_the_intervals_that_meet() -> None:
    exact = (0.1, 0.09, 0.11, 0.0, 0.0, 0.0)
    gradients = rows((*exact, 0.1, 0.08, 0.12), (*exact, 0.4, 0.3, 0.5), (*exact, 0.2, 0.1, 0.3))
    (check,) = batch_size_checks(a_run(gradients, 256))
    assert (check.batch_size, check.tensors, check.agree) == (256, 3, 2)
    assert (check.worst, check.quotient) == ("w at step 0", 2.0)
    assert check.extrapolated == pytest.approx((0.1, 0.09, 0.11))
    assert check.measured == (0.4, 0.3, 0.5)
    assert changes(a_run(gradients, 256)) == (
        "s: measured at batch size 256, the noise ratio is 2 times what was extrapolated in the median, and 2 of 3 "
        "intervals meet.",
    )


def test_the_first_batch_size_is_that_of_the_tensor_that_leaves_first() -> None:
    # b = bias_ratio / 8 is 0.01 and 0.05: 0.1 is reached at 64 (1 + 0.08 / 0.01) and 64 (1 + 0.05 / 0.05).
    biased = rows((0.02, 0.02, 0.02, 0.08, 0, 1), (0.05, 0.05, 0.05, 0.4, 0, 1))
    assert changes(a_run(biased)) == (
        "s: extrapolated with a bias that stays, the first verdict leaves below-noise at 1.3e+02 and comparable at "
        "1.3e+03 images a batch.",
    )
    assert changes(a_run(rows((1e-12, 0, 1e-11, 8e-12, 0, 1e-11)))) == (
        "s: extrapolated with a bias that stays, no verdict leaves below-noise below 1,000,000 images a batch.",
    )


def test_the_step_at_which_verdicts_change_is_named() -> None:
    number = (0.1,) * 6
    verdicts = {0: ("exact", "below-noise"), 5: ("rounding", "below-noise"), 9: ("below-noise", "harmful")}
    gradients = pd.concat(
        rows(number, bias_ratio=0.0, cell=cell, step=step, verdict=word)
        for step, words in verdicts.items()
        for cell, word in zip("ab", words, strict=True)
    ).reset_index(drop=True)
    (sentence,) = changes(a_run(gradients))
    assert sentence == "s: in 1 of 2 cells the verdict changes between the steps 0, 5 and 9, first at 9."
    (sentence,) = changes(a_run(gradients[gradients["step"] < 9]))
    assert sentence == "s: no cell's verdict turns from right to wrong or back between the steps 0 and 5."
    twice = pd.concat([gradients, gradients.assign(strategy="t")], ignore_index=True)
    (sentence,) = changes(a_run(twice))
    assert sentence.startswith("s, t: in 1 of 2 cells ")
