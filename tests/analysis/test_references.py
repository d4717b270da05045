"""A source's values and ours beside them, against plain loops over the rows."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pandas as pd
import pytest

from gradbench.analysis.references import pairs
from gradbench.case.schema import Reference

POINTS = [[2, 1.5], [4, 2.5], [6, 3.5]]


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    """Three layers of each of two slopes, three depths (2, 4, 8) and four seeds."""
    rng = np.random.default_rng()
    rows = []
    for depth, slope, seed, layer in itertools.product((2, 4, 8), (0.2, 0.4), range(4), range(3)):
        lead = {"cell": f"{depth}-{slope}-{seed}", "depth": depth, "slope": slope, "seed": seed, "strategy": "r"}
        rows.append(lead | {"step": 0, "layer": f"{layer}", "position": layer, "snr_db": rng.normal()})
    return {"activations": pd.DataFrame(rows)}


def reference(**changes: object) -> Reference:
    value = {"table": "activations", "column": "snr_db", "within": "min", "where": {"slope": 0.2}}
    given = {"name": "r", "label": "A", "source": "b", "value": value, "along": "depth", "points": POINTS}
    return Reference.model_validate(given | changes)


def expected(rows: pd.DataFrame, where: dict[str, float]) -> float:
    """The lowest layer of each cell, the median of the cells of a seed, the median over seeds."""
    seeds = []
    for seed in range(4):
        cells: dict[str, list[float]] = {}
        for row in rows.to_dict("records"):
            if row["seed"] == seed and all(row[key] == value for key, value in where.items()):
                cells.setdefault(row["cell"], []).append(row["snr_db"])
        seeds.append(statistics.median(min(values) for values in cells.values()))
    return statistics.median(seeds)


def test_each_point_of_a_curve_has_ours_at_the_same_place(tables: dict[str, pd.DataFrame]) -> None:
    found = pairs(tables, reference())
    assert [(one.x, one.theirs) for one in found] == [(2, 1.5), (4, 2.5), (6, 3.5)]
    for one in found[:2]:
        assert one.ours == pytest.approx(expected(tables["activations"], {"slope": 0.2, "depth": one.x or 0}))
        assert one.seeds == 4
    assert math.isnan(found[2].ours)
    assert found[2].seeds == 0


def test_a_curve_along_the_layers_has_ours_at_each_position(tables: dict[str, pd.DataFrame]) -> None:
    found = pairs(tables, reference(along="position", points=[[0, 1.5], [2, 2.5], [3, 3.5]]))
    assert [one.seeds for one in found] == [4, 4, 0]
    for one in found[:2]:
        assert one.ours == pytest.approx(expected(tables["activations"], {"slope": 0.2, "position": one.x or 0}))


def test_a_level_stands_beside_all_that_matches(tables: dict[str, pd.DataFrame]) -> None:
    (one,) = pairs(tables, reference(along=None, points=None, level=7.0))
    assert (one.x, one.theirs, one.seeds) == (None, 7.0, 4)
    assert one.ours == pytest.approx(expected(tables["activations"], {"slope": 0.2}))


def test_a_seed_without_a_number_is_left_out(tables: dict[str, pd.DataFrame]) -> None:
    rows = tables["activations"]
    rows.loc[(rows["seed"] == 1) & (rows["position"] == 2), "snr_db"] = math.nan
    assert [one.seeds for one in pairs(tables, reference())] == [3, 3, 0]


def test_nothing_measured_is_no_error(tables: dict[str, pd.DataFrame]) -> None:
    tables["activations"] = tables["activations"].iloc[:0]
    assert [one.seeds for one in pairs(tables, reference())] == [0, 0, 0]
