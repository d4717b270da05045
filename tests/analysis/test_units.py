"""A claim's number is written in the unit of what it is of, and its test in the same."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gradbench.analysis import units
from gradbench.analysis.answer import answer
from gradbench.analysis.tables import Run
from gradbench.analysis.units import claims_of, unit_of
from gradbench.case.schema import Claim
from gradbench.cli import show
from gradbench.compare import judge as compared
from gradbench.compare.match import BASE, NEW
from gradbench.nightly import judge
from gradbench.report.rows import claim_rows
from gradbench.report.words import ABSENT, MINUS
from gradbench.runner import case_run

ACCURACY = {"table": "cells", "column": "accuracy"}
SNR = {"table": "activations", "column": "snr_db"}
PEAK = {"table": "cells", "column": "peak_bytes"}


def claim(**parts: Any) -> dict[str, Any]:
    """A claim as a manifest has it."""
    return Claim.model_validate({"name": "c", "says": "s", "test": ">= 0.8", **parts}).model_dump()


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(units) == doctest.TestResults(0, 3)


@pytest.mark.parametrize(
    ("parts", "written", "test"),
    [
        ({"value": ACCURACY}, "12.50 %", ">= 80"),
        ({"value": ACCURACY, "minus": ACCURACY}, "12.5 points", ">= 80"),
        ({"value": ACCURACY, "divided_by": ACCURACY}, "0.125", ">= 0.8"),
        ({"value": ACCURACY, "minus": ACCURACY, "divided_by": ACCURACY}, "0.125", ">= 0.8"),
        ({"value": ACCURACY | {"slope_over": "depth"}}, "0.125", ">= 0.8"),
        ({"value": SNR}, "0.125 dB", ">= 0.8"),
        ({"value": SNR, "minus": SNR}, "0.125 dB", ">= 0.8"),
        ({"value": SNR | {"slope_over": "negative_slope"}}, "0.125 dB per negative slope", ">= 0.8"),
        ({"value": SNR, "minus": ACCURACY}, "0.125", ">= 0.8"),
        ({"value": PEAK}, "0.125 bytes", ">= 0.8"),
        ({"value": {"table": "cells", "column": "bytes_per_pixel"}}, "0.125 bytes per pixel", ">= 0.8"),
        ({"value": {"table": "cells", "column": "status", "within": "share", "equals": "ok"}}, "0.125", ">= 0.8"),
        ({"value": {"table": "gradients", "column": "noise_ratio"}}, "0.125", ">= 0.8"),
    ],
)
def test_a_number_has_the_unit_of_what_it_is_of(parts: dict[str, Any], written: str, test: str) -> None:
    unit = unit_of(claim(**parts))
    assert unit.amount(0.125) == written
    assert unit.test(">= 0.8") == test


@pytest.mark.parametrize("bound", ["0.008", "-0.0125", "1", "0", "-0", "8e-3", "-1.25e-2", "0.93885"])
def test_no_digit_of_a_test_is_lost(bound: str) -> None:
    comparison, written = unit_of(claim(value=ACCURACY)).test(f"<= {bound}").split(" ")
    assert comparison == "<="
    assert float(written) == pytest.approx(100 * float(bound), rel=1e-15)
    assert len(written.lstrip("-")) <= len(f"{100 * abs(float(bound)):.10g}")


def test_every_reader_writes_it_alike() -> None:
    nan = float("nan")
    rows = [
        ("cost", "held", 0.0033, -0.001, 0.007, "<= 0.008", 3),
        ("reach", "not held", 0.913, 0.9, 0.92345, ">= 0.928", 2),
        ("unknown", "held", 0.5, nan, nan, "> 0", 1),  # of a manifest without it
        ("open", "not measured", nan, nan, nan, "> 0", 0),
    ]
    names = ["claim", "status", "value", "low", "high", "test", "seeds"]
    table = pd.DataFrame(rows, columns=names).assign(says="s", source="gradbench", reason="")
    known = [("cost", {"minus": ACCURACY}), ("reach", {}), ("open", {})]
    claims = [claim(value=ACCURACY, **more) | {"name": name} for name, more in known]
    run = Run(Path(), {"settings": {"claim": claims, "answer": ["cost", "reach"]}}, (), {"claims": table})
    assert answer(run).startswith("Held: s (0.33 points <= 0.8). Not held: s (91.30 %, asked for >= 92.8).")
    cost, _, _, open_ = claims_of(run)
    assert "(0.33 points <= 0.8, 95 % interval -0.1 to 0.7, 3 seeds)" in case_run._claim(cost)
    assert case_run._claim(open_) == "not measured: s"
    assert show._claim(cost)[1:4] == ["0.33 points", "<= 0.8", "-0.1 to 0.7"]
    assert show._claim(open_)[1:4] == ["-", "> 0", ""]
    assert judge._not_held(run, None) == ["s (91.30 %, test >= 92.8)"]
    written = {row.name: (row.value, row.interval, row.test) for row in claim_rows(claims_of(run))}
    assert written == {
        "cost": ("0.33 points", f"{MINUS}0.1 to 0.7", "≤ 0.8"),
        "reach": ("91.30 %", "90.00 to 92.34", "≥ 92.8"),
        "unknown": ("0.5", "", "> 0"),
        "open": (ABSENT, "", "> 0"),
    }


def test_a_comparison_of_runs_writes_it_too() -> None:
    row = {"claim": "cost", f"value{BASE}": 0.0033, f"value{NEW}": 0.0123, f"test{BASE}": "<= 0.008"}
    row |= {f"status{BASE}": "held", f"status{NEW}": "not held", f"seeds{NEW}": 3}
    said = compared._claim(row, "regression", unit_of(claim(value=ACCURACY, minus=ACCURACY))).says
    assert said == "claim cost is not held, was held: 1.23 points, was 0.33 points, test <= 0.8"
