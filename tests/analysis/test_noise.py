"""Sentences about floors and noise, against numbers that were put into the tables by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from gradbench.analysis.floors import floors
from gradbench.analysis.noise import (
    batch_size_at,
    below_noise,
    minibatches_needed,
    too_few_minibatches,
    whole_model,
)
from gradbench.analysis.tables import Run

COLUMNS = ["cell", "strategy", "step", "parameter", "kind", "verdict", "noise_ratio", "noise_low", "noise_high"]
COLUMNS += ["sgd_variance", "rel_error_truth"]


def a_run(rows: list[tuple], repeats: tuple[float, ...] = (0.0,), axes: tuple[str, ...] = ()) -> Run:
    gradients = pd.DataFrame([dict(zip(COLUMNS, row, strict=True)) for row in rows])
    cells = pd.DataFrame({"strategy": "stored", "repeat_error": list(repeats)})
    if axes:
        gradients["precision"], cells["precision"] = "bfloat16", "bfloat16"
    settings = {"data": {"batch_size": 64}, "measure": {"sgd_batches": 8}}
    return Run(Path(), {"settings": settings}, axes, {"cells": cells, "gradients": gradients})


NAN = float("nan")
ROWS = [
    ("c", "stored", 0, "a", "weight", "exact", 0.0, 0.0, 0.0, 4.0, 1e-6),
    ("c", "stored", 0, "b", "weight", "exact", 0.0, 0.0, 0.0, 1.0, 3e-6),
    ("c", "stored", 0, "n", "norm", "exact", 0.0, 0.0, 0.0, 9.0, 7.0),
    ("c", "approximate:4", 0, "a", "weight", "below-noise", 0.001, 0.0005, 0.002, 4.0, NAN),
    ("c", "approximate:4", 0, "b", "weight", "unresolved", 0.05, 0.01, 0.2, 1.0, NAN),
    ("c", "approximate:4", 0, "n", "norm", "harmful", 50.0, 40.0, 60.0, 9.0, NAN),
]


def test_the_whole_model_is_the_sum_of_its_weights_errors_over_the_sum_of_their_noise() -> None:
    whole = whole_model(a_run(ROWS).tables["gradients"])
    assert whole["c", "approximate:4", 0] == pytest.approx((0.001 * 4 + 0.05 * 1) / 5)
    assert whole["c", "stored", 0] == 0


def test_floors_are_said_with_both_numbers_and_per_precision() -> None:
    assert floors(a_run(ROWS)) == (
        "Stored training repeats itself bit for bit and is 2e-06 of a weight gradient away from float64 in the median, "
        "3e-06 at worst.",
    )
    (sentence,) = floors(a_run(ROWS, repeats=(0.0, 3e-7), axes=("precision",)))
    assert sentence.startswith("Stored training in bfloat16 differs from itself, computed twice, by up to 3e-07")
    without = a_run([row for row in ROWS if row[1] != "stored"], repeats=(NAN,))
    assert floors(without) == ()


def test_what_is_below_the_noise_is_said_with_an_extrapolation_that_calls_itself_one() -> None:
    (sentence,) = below_noise(a_run(ROWS))
    assert sentence == (
        "approximate:4: in power, the error of the whole gradient is 92.6 times below the noise of SGD in the median, "
        "that of the worst layer (b at step 0) 20 times below it; extrapolated from batch size 64, it would no longer "
        "be an order of magnitude below at 128."
    )
    assert batch_size_at(0.05, 64) == 128
    assert below_noise(a_run([ROWS[0], ("c", "checkpoint", *ROWS[0][2:])])) == ()


def test_unresolved_verdicts_warn_with_the_number_of_minibatches() -> None:
    (warning,) = too_few_minibatches(a_run(ROWS))
    wanted = minibatches_needed(0.05, 0.01, 0.2, 8)
    assert warning == (
        "1 of 2 verdicts are unresolved with 8 minibatches (1 of approximate:4); "
        f"measure.sgd_batches = {wanted:.0f} would resolve about half of them."
    )
    # With that many the reach, which shrinks as one over their root, ends at the limit.
    reach = (0.2**0.25 - 0.05**0.25) * (8 / wanted) ** 0.5
    assert (0.05**0.25 + reach) ** 4 == pytest.approx(0.1, rel=0.05)
    assert (0.05**0.25 + reach) ** 4 <= 0.1
    assert minibatches_needed(0.05, 0.0, float("inf"), 2) == float("inf")
    assert too_few_minibatches(a_run(ROWS[:4])) == ()


def test_one_sentence_warns_of_all_strategies() -> None:
    wider = ("c", "quantize:4", 0, "b", "weight", "unresolved", 0.5, 0.01, 2.0, 1.0, NAN)
    (warning,) = too_few_minibatches(a_run([*ROWS, wider, ("d", *wider[1:])]))
    wanted = minibatches_needed(0.5, 0.01, 2.0, 8)  # the median of three, of which two are this one
    assert warning == (
        "3 of 4 verdicts are unresolved with 8 minibatches (1 of approximate:4, 2 of quantize:4); "
        f"measure.sgd_batches = {wanted:.0f} would resolve about half of them."
    )


@pytest.mark.parametrize("override", ['"measure.sgd_batches" = 2', "measure = { sgd_batches = 2 }"])
def test_a_number_of_minibatches_that_an_override_changes_is_not_told(override: str) -> None:
    run = a_run(ROWS)
    run.manifest["case_text"] = f"[[override]]\nwhen = {{ depth = 3 }}\nset = {{ {override} }}"
    assert too_few_minibatches(run) == ()
    run.manifest["case_text"] = run.manifest["case_text"].replace("sgd_batches", "at")
    assert too_few_minibatches(run) != ()


def test_verdicts_of_one_minibatch_are_no_matter_of_more_of_them() -> None:
    alone = [(*row[:6], NAN, NAN, NAN, NAN, row[10]) for row in ROWS]
    assert too_few_minibatches(a_run(alone)) == ()
    assert below_noise(a_run(alone)) == ()
