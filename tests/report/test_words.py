"""Scales, packed datasets and written numbers at their edges."""

from __future__ import annotations

import doctest
import json
import math

import numpy as np
import pandas as pd
import pytest

from gradbench.report import words
from gradbench.report.pack import for_script, pack
from gradbench.report.scales import decibels, logarithmic


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(words).failed == 0


def unpack(packed: dict[str, object]) -> pd.DataFrame:
    def expand(values: object) -> list[object]:
        if isinstance(values, list):
            return values
        assert isinstance(values, dict)
        return [v for v, times in zip(values["values"], values["times"], strict=True) for _ in range(times)]

    columns = {}
    for name, column in packed.items():
        words = isinstance(column, dict) and "levels" in column
        columns[name] = [column["levels"][code] for code in expand(column["codes"])] if words else expand(column)
    return pd.DataFrame(columns)


def test_packing_loses_nothing_but_digits() -> None:
    rng = np.random.default_rng()
    frame = pd.DataFrame({
        "word": np.repeat(["b", "a", "</script>"], 20),
        "mixed": rng.choice(["x", "y"], 60),
        "y": rng.normal(size=60) * 10.0 ** rng.integers(-9, 9, 60),
        "n": np.repeat([1, 2], 30),
    })  # fmt: skip
    packed = json.loads(for_script(pack(frame)))
    found = unpack(packed)
    pd.testing.assert_frame_equal(found, frame, check_dtype=False, rtol=5.1e-4)
    assert "<" not in for_script(pack(frame))
    assert isinstance(packed["n"], dict)


def test_numbers_that_json_lacks_are_null() -> None:
    assert pack(pd.DataFrame({"y": [math.inf, 1.0, math.nan]})) == {"y": [None, 1, None]}


def test_zero_and_infinity_stand_on_lines_of_their_own() -> None:
    frame = pd.DataFrame({"y": [0.0, 3e-5, 2.0, math.inf]})
    scale = logarithmic(frame, ["y"])
    placed = scale.place(frame, ["y"])["y"].tolist()
    assert placed[1:3] == [3e-5, 2.0]
    assert scale.labels[placed[0]] == "0"
    assert scale.labels[placed[3]] == "∞"
    assert placed[0] < min(tick for tick, label in scale.labels.items() if label != "0") <= 3e-5


@pytest.mark.parametrize("values", [[1e-7, 3e5], [320.0, 2700.0], [5.0, 5.0], [math.nan], [0.0], [1e-300, 1e300]])
def test_a_logarithmic_scale_holds_every_value_and_few_ticks(values: list[float]) -> None:
    frame = pd.DataFrame({"y": values})
    scale = logarithmic(frame, ["y"])
    placed = scale.place(frame, ["y"])["y"].dropna()
    assert scale.low < scale.high
    assert placed.between(scale.low, scale.high).all()
    assert 2 <= len(scale.labels) <= 11


@pytest.mark.parametrize("values", [[-13.0, 118.0], [95.0, math.inf], [-700.0, 10.0], [math.nan]])
def test_decibels_hold_zero_and_every_value(values: list[float]) -> None:
    frame = pd.DataFrame({"y": values})
    scale = decibels(frame, ["y"])
    assert scale.low <= 0 < scale.high
    assert scale.place(frame, ["y"])["y"].dropna().between(scale.low, scale.high).all()
    assert ("∞" in scale.labels.values()) == (math.inf in values)
