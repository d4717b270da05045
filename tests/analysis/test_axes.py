"""Values of axes as people write them: numbers short, sizes of memory in their units."""

from __future__ import annotations

import doctest

import numpy as np
import pandas as pd
import pytest

from gradbench.analysis import axes
from gradbench.analysis.axes import Axes, axis_value, setting
from gradbench.analysis.verdict import other_lines


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(axes) == doctest.TestResults(0, 1)


@pytest.mark.parametrize(
    ("axis", "value", "written"),
    [
        ("negative_slope", 0.05, "0.05"),
        ("depth", np.int64(12), "12"),
        ("flip", np.bool_(True), "true"),
        ("batch_size", 512, "512"),
        ("memory_limit", np.float64(1e9), "1 GB"),
        ("train.memory_limit", 1_400_000, "1.4 MB"),
        ("memory_limit", 2**30, "1.074 GB"),
        ("memory_limit", "none", "none"),
    ],
)
def test_a_value_is_written_as_its_axis_asks(axis: str, value: object, written: str) -> None:
    assert axis_value(axis, value) == written


def test_a_setting_is_written_for_a_sentence() -> None:
    point = {"model": "hybrid", "depth": 5, "negative_slope": 0.2, "flip": np.bool_(False), "memory_limit": 6e8}
    assert setting(point) == "hybrid, depth 5, negative slope 0.2, flip false, memory limit 600 MB"


def test_a_verdict_names_sizes_and_what_was_measured_nowhere() -> None:
    limits, verdicts = [6e8, 1e9, 2e9], {"a": ["", "exact", "exact"], "b": ["", "", ""]}
    rows = [
        {"memory_limit": limit, "strategy": strategy, "verdict": verdict, "judged": True}
        for strategy, mine in verdicts.items()
        for limit, verdict in zip(limits, mine, strict=True)
    ]
    assert other_lines(pd.DataFrame(rows), Axes("memory_limit", (), (), {}), None) == (
        "a: not measured up to memory limit 600 MB and exact from memory limit 1 GB on",
        "b: not measured at any memory limit up to 2 GB",
    )
