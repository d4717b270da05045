"""Scales, packed datasets and written numbers at their edges."""

from __future__ import annotations

import base64
import doctest
import gzip
import json
import math
from collections.abc import Callable, Iterable
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from gradbench.report import references, words
from gradbench.report.pack import by_column, compressed, for_script
from gradbench.report.scales import Scale, decibels, decibels_around, logarithmic, shares_around


@pytest.mark.parametrize("module", [references, words])
def test_examples_in_the_docstrings(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_packing_loses_nothing_but_digits() -> None:
    rng = np.random.default_rng()
    numbers = rng.normal(size=60) * 10.0 ** rng.integers(-9, 9, 60)
    frame = pd.DataFrame({"word": rng.choice(["b", "a", "</script>"], 60), "y": numbers, "n": rng.integers(9, size=60)})
    packed = json.loads(gzip.decompress(base64.b64decode(compressed(by_column(frame)))))
    assert [packed["word"]["levels"][code] for code in packed["word"]["codes"]] == frame["word"].tolist()
    assert packed["n"] == frame["n"].tolist()
    np.testing.assert_allclose(packed["y"], numbers, rtol=5.1e-4)


def test_packing_keeps_integers_and_what_choices_are_compared_with() -> None:
    rng = np.random.default_rng()
    frame = pd.DataFrame({"step": rng.integers(10**4, 10**8, 60), "o0": rng.random(60), "y": rng.random(60)})
    packed = by_column(frame, exact=["o0"])
    assert packed["step"] == frame["step"].tolist()
    assert packed["o0"] == frame["o0"].tolist()
    assert packed["y"] != frame["y"].tolist()


def test_no_text_can_end_a_script() -> None:
    text = "</script><!--&"
    assert not set("<>&") & set(for_script([text]))
    assert json.loads(for_script([text])) == [text]


def test_numbers_that_json_lacks_are_null() -> None:
    assert by_column(pd.DataFrame({"y": [math.inf, 1.0, math.nan]})) == {"y": [None, 1, None]}


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


@pytest.mark.parametrize(("fit", "factor"), [(decibels_around, 1), (shares_around, 100)])
def test_a_zoomed_axis_holds_its_numbers_tightly(
    fit: Callable[[pd.DataFrame, Iterable[str]], Scale], factor: int
) -> None:
    rng = np.random.default_rng()
    drawn = [(rng.uniform(-50, 150) + rng.lognormal(0, 2) * rng.uniform(size=8)) / factor for _ in range(50)]
    for values in [*drawn, *(np.full(2, value / factor) for value in (0, 92.5, 100, -5))]:
        scale = fit(pd.DataFrame({"y": values}), ["y"])
        assert scale.low <= values.min() + 1e-9
        assert scale.high >= values.max() - 1e-9
        ticks = sorted(scale.labels)
        assert 2 <= len(ticks) <= 8
        assert scale.high - scale.low <= max(3 * (values.max() - values.min()), 2 / factor + 1e-9)
        assert np.allclose(np.diff(ticks), ticks[1] - ticks[0])


def test_no_share_is_above_all_of_it() -> None:
    assert max(shares_around(pd.DataFrame({"y": [1.0, 1.0]}), ["y"]).labels) == 1
    assert max(shares_around(pd.DataFrame({"y": [0.993, 1.0]}), ["y"]).labels) == 1
