"""The charts' series against plain loops over the rows."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pandas as pd
import pytest

from gradbench.analysis import curves
from gradbench.analysis.axes import Axes, read_axes

NAMES = ("model", "depth", "slope")


def table(**columns: object) -> pd.DataFrame:
    """A row for every cell, with fresh random `y` and the columns given."""
    rng = np.random.default_rng()
    rows = [
        {
            "cell": f"{point}",
            **dict(zip((*NAMES, "seed"), point, strict=True)),
            "strategy": "r",
            "y": rng.normal(),
            **columns,
        }
        for point in itertools.product(("a", "b"), (2, 4), (0.1, 0.2), range(4))
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def axes() -> Axes:
    return read_axes(table(), NAMES)


def test_roles_of_the_axes(axes: Axes) -> None:
    assert (axes.along, axes.groups, axes.others) == ("depth", ("model",), ("slope",))
    frame = table()
    more = frame[frame["slope"] == 0.2].assign(strategy="q")
    assert read_axes(pd.concat([frame, more]), NAMES).reference == {"slope": 0.2}


def cross(*points: tuple[int, float]) -> pd.DataFrame:
    rows = [{"depth": depth, "slope": slope, "strategy": "r"} for depth, slope in points]
    return pd.DataFrame(rows)


def test_an_axis_that_was_swept_at_one_depth_crosses_it() -> None:
    over_depth = [(depth, 0.2) for depth in (2, 4, 8, 16)]
    cells = cross(*over_depth, (4, 0.05), (4, 0.1))
    found = read_axes(cells, ("depth", "slope"))
    (crossing,) = found.crossings(cells)
    assert (crossing.along, crossing.others, crossing.reference) == ("slope", ("depth",), {"depth": 4})
    assert set(crossing.at_reference(cells)["slope"]) == {0.05, 0.1, 0.2}
    for other in (
        cross(*over_depth),
        cross(*over_depth, (4, 0.05)),
        cross(*over_depth, (4, 0.05), (4, 0.1), (8, 0.05)),
        cross(*itertools.product((2, 4), (0.05, 0.1, 0.2))),
        cross((4, 0.05), (4, 0.1), (4, 0.2)),
    ):
        assert read_axes(other, ("depth", "slope")).crossings(other) == []


def test_axes_cross_only_where_no_cell_is_on_neither_curve() -> None:
    over_depth = [(depth, 0.2) for depth in (2, 4, 8, 16)]
    crossed = cross(*over_depth, (4, 0.05), (4, 0.1))
    both = pd.concat([crossed.assign(eps=eps) for eps in (0.1, 0.2)], ignore_index=True)
    assert read_axes(both, ("depth", "slope", "eps")).crossings(both) == []
    more = [*over_depth, (4, 0.05), (4, 0.1), (32, 0.4)]
    assert read_axes(cross(*more), ("depth", "slope")).crossings(cross(*more)) == []
    elsewhere = cross((7, 0.4), (9, 0.4)).assign(model="b")
    models = pd.concat([crossed.assign(model="a"), elsewhere], ignore_index=True)
    assert read_axes(models, ("model", "depth", "slope")).crossings(models) == []
    at = pd.DataFrame([{"depth": 4, "slope": 0.05, "strategy": "extra"}])
    centred = pd.concat([crossed, at], ignore_index=True)  # most was measured at another slope than the depths have
    assert read_axes(centred, ("depth", "slope")).crossings(centred) == []
    three = pd.concat([crossed.assign(eps=0.1), cross((4, 0.2), (4, 0.2)).assign(eps=[0.2, 0.3])], ignore_index=True)
    found = read_axes(three, ("depth", "slope", "eps")).crossings(three)
    assert [(axes.along, axes.reference) for axes in found] == [
        ("slope", {"depth": 4, "eps": 0.1}),
        ("eps", {"depth": 4, "slope": 0.2}),
    ]


def test_a_band_is_the_median_and_the_extremes_of_the_seeds(axes: Axes) -> None:
    frame = table()
    frame.loc[0, "y"] = math.nan
    frame.loc[4, "y"] = math.inf
    band = curves.against_axis(frame, axes, "y").set_index(["g", "x", "o0", "s"])
    for point, group in frame.groupby(list(NAMES)):
        values = [value for value in group["y"] if not math.isnan(value)]
        row = band.loc[(*point, "r")]
        assert row["y"] == pytest.approx(statistics.median(values))
        assert (row["lo"], row["hi"], row["n"]) == (min(values), max(values), len(values))


def test_the_lowest_snr_keeps_the_stem_apart(axes: Axes) -> None:
    layers = pd.concat(
        [table(step=0, block=block).rename(columns={"y": "snr_db"}) for block in (-1, 0, 1, 2)], ignore_index=True
    )
    lowest = curves.lowest_snr(layers, axes).set_index(["part", "g", "x", "o0"])["y"]
    for part, blocks in (("stem", {-1}), ("blocks", {0, 1, 2}), ("all", {-1, 0, 1, 2})):
        for point, group in layers[layers["block"].isin(blocks)].groupby(list(NAMES)):
            expected = statistics.median(group.groupby("seed")["snr_db"].min())
            assert lowest[(part, *point)] == pytest.approx(expected)


def test_an_snr_that_is_nan_does_not_hide_behind_another(axes: Axes) -> None:
    layers = pd.concat(
        [table(step=0, block=block).rename(columns={"y": "snr_db"}) for block in (0, 1)], ignore_index=True
    )
    first = layers.index[(layers["model"] == "a") & (layers["depth"] == 2) & (layers["slope"] == 0.1)]
    layers.loc[first[0], "snr_db"] = math.nan
    lowest = curves.lowest_snr(layers, axes).set_index(["g", "x", "o0"])
    others = layers.loc[first]
    others = others[others["seed"] != layers.loc[first[0], "seed"]]
    row = lowest.loc[("a", 2, 0.1)]
    assert (row["n"], row["lo"]) == (3, others["snr_db"].min())


def test_the_layer_map_counts_weight_tensors_from_the_image(axes: Axes) -> None:
    tensors = [("b.weight", 7, "weight"), ("a.weight", 3, "weight"), ("a.bias", 3, "bias")]
    frame = pd.concat(
        [
            table(step=0, parameter=name, layer=layer, kind=kind, verdict="exact").rename(columns={"y": "noise_ratio"})
            for name, layer, kind in tensors
        ]
    )
    found = curves.layer_map(frame, axes)
    assert set(zip(found["name"], found["r"], strict=True)) == {("a.weight", 0), ("b.weight", 1)}
    assert set(found["o0"]) == {axes.reference["slope"]}


def test_the_error_of_each_tensor_stands_beside_its_noise_and_its_floor() -> None:
    rng = np.random.default_rng()
    rows = []
    for seed, strategy, (layer, kind) in itertools.product(
        range(3), ("stored", "r"), enumerate(("weight", "norm", "weight"))
    ):
        numbers = dict(
            zip(
                ("rel_error", "noise_ratio", "sgd_variance", "grad_norm", "rel_error_truth"), rng.random(5), strict=True
            )
        )
        lead = {"cell": f"{seed}", "seed": seed, "strategy": strategy, "step": 0, "layer": layer}
        rows.append({**lead, "parameter": f"p{layer}", "kind": kind, "verdict": "exact", **numbers})
    rows[-1].update(verdict="broken", rel_error=math.nan)  # the last seed of p2
    found = curves.by_tensor(pd.DataFrame(rows), Axes("", (), (), {})).set_index(["s", "name"])
    assert list(found["r"]) == [0, 1, 0, 1]
    for (strategy, name), one in found.iterrows():
        mine = [row for row in rows if (row["strategy"], row["parameter"]) == (strategy, name)]
        errors = [math.inf if math.isnan(row["rel_error"]) else row["rel_error"] for row in mine]
        assert (one["y"], one["hi"], one["n"]) == (statistics.median(errors), max(errors), 3)
        noise = [math.sqrt(row["sgd_variance"]) / row["grad_norm"] for row in mine]
        assert one["noise"] == pytest.approx(statistics.median(noise))
        assert one["floor"] == statistics.median(row["rel_error_truth"] for row in mine)
        assert one["v"] == "exact"


def test_a_network_without_weight_tensors_shows_its_norms() -> None:
    row = {"cell": "c", "seed": 0, "strategy": "r", "step": 0, "layer": 4, "parameter": "norm.bias", "kind": "norm"}
    numbers = dict.fromkeys(("rel_error", "noise_ratio", "sgd_variance", "grad_norm", "rel_error_truth"), 0.5)
    (found,) = curves.by_tensor(pd.DataFrame([{**row, **numbers, "verdict": "exact"}]), Axes("", (), (), {})).to_dict(
        "records"
    )
    assert (found["name"], found["r"]) == ("norm.bias", 0)
