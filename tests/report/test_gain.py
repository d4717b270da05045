"""The local gain of SNR against a layer's own setting: measured points, what theory says around them, the source's."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest
import vl_convert

from gradbench.analysis.axes import Axes
from gradbench.analysis.curves import local_gain, profile
from gradbench.case.schema import Reference
from gradbench.report.figure import Figure, Scene
from gradbench.report.figures.gain import gain_figure
from gradbench.report.figures.profile import profile_figure
from gradbench.report.pack import by_row
from gradbench.report.palette import Palette

STRATEGIES = ("noisy-reconstruct:0.1", "noisy-reconstruct:1e-5")
SCENE = Scene(Axes("negative_slope", ("precision",), (), {}), Palette.of(STRATEGIES))
SLOPES = (0.001, 0.1, 1.0, 1000.0)


def theory(slope: float) -> float:
    return 4 * slope**2 / (1 + slope**2) ** 2


def activations(kinds: tuple[str, ...] = ("activation",)) -> pd.DataFrame:
    rng = np.random.default_rng()
    rows = []
    for precision in ("float32", "float64"):
        for slope in SLOPES:
            for seed in range(3):
                lead = {"cell": f"{precision}{slope}{seed}", "precision": precision, "negative_slope": slope}
                for strategy in STRATEGIES:
                    for position, kind in enumerate(kinds):
                        alpha = theory(slope) * rng.uniform(0.98, 1.02) * (1 + position)
                        rows.append(
                            {**lead, "seed": seed, "strategy": strategy, "step": 0, "position": position, "kind": kind}
                            | {"alpha": alpha, "alpha_theory": theory(slope), "snr_db": 20.0, "flipped_gates": 0.0}
                        )
    return pd.DataFrame(rows)


def drawn(figure: Figure, place: int = 0, group: int = 0) -> str:
    chart = figure.charts[place]
    params = [
        {**param, "value": figure.groups[group]} if param["name"] == "choice_group" else param
        for param in chart.spec["params"]
    ]
    datasets = {**chart.spec.get("datasets", {}), chart.data: by_row(figure.data[chart.data])}
    return str(vl_convert.vegalite_to_svg({**chart.spec, "params": params, "width": 500, "datasets": datasets}))


def marks(svg: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return where the filled points lie, and where the hollow ones that nobody can hover."""
    paths = re.findall(r"<path [^>]*>", svg)
    places = {path: re.findall(r"translate\(([^,]*),([^)]*)\)", path) for path in paths}
    points = [path for path in paths if 'aria-roledescription="point"' in path]
    rings = [path for path in paths if 'stroke="var(--ink-2)" stroke-width="1.25"' in path and path not in points]
    return [places[path][0] for path in points], [places[path][0] for path in rings]


def test_theory_stands_around_the_points_of_every_strategy() -> None:
    figure = gain_figure(activations(), SCENE)
    assert figure.groups == ("float32", "float64")
    assert [key.name for key in figure.keys] == [*STRATEGIES, "hollow: white noise, in theory"]
    points, rings = marks(drawn(figure))
    assert len(points) == len(rings) == len(SLOPES) * len(STRATEGIES)
    for x, y in points:
        assert min(math.hypot(float(x) - float(u), float(y) - float(v)) for u, v in rings) < 3


def test_of_many_places_powers_of_ten_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.SLOPES", tuple(float(f"{10 ** (k / 4 - 2):.3g}") for k in range(17)))
    axes = [layer["encoding"]["x"]["axis"] for layer in gain_figure(activations(), SCENE).charts[0].spec["layer"]]
    assert axes[0]["values"] == [0.01, 0.1, 1, 10, 100]


def test_medians_are_over_the_layers_of_a_kind_and_seeds() -> None:
    table = activations(("activation", "norm", "activation"))
    frame = local_gain(table, SCENE.axes)
    assert set(frame["kind"]) == {"activation", "norm"}
    for row in frame.to_dict("records"):
        mine = table[
            (table["kind"] == row["kind"])
            & (table["precision"] == row["g"])
            & (table["negative_slope"] == row["x"])
            & (table["strategy"] == row["s"])
        ]
        by_seed = mine.groupby("seed")["alpha"].median()
        assert row["y"] == pytest.approx(by_seed.median())
        assert (row["lo"], row["hi"], row["n"]) == (by_seed.min(), by_seed.max(), 3)
        assert row["theory"] == pytest.approx(theory(row["x"]))
    figure = gain_figure(table, SCENE)
    assert [control.name for control in figure.controls] == ["kind"]
    assert figure.controls[0].value == "activation"


def test_without_a_closed_form_there_is_no_ring_and_no_entry_of_the_key() -> None:
    table = activations().assign(alpha_theory=math.nan)
    figure = gain_figure(table, SCENE)
    assert not any(key.name.startswith("hollow") for key in figure.keys)
    points, rings = marks(drawn(figure))
    assert (len(points), rings) == (len(SLOPES) * len(STRATEGIES), [])
    assert gain_figure(table[:0], SCENE).missing


def test_a_source_is_dashed_at_the_kind_that_it_speaks_of() -> None:
    where = {"strategy": "noisy-reconstruct:1e-5", "precision": "float32", "kind": "activation"}
    value = {"table": "activations", "column": "alpha", "where": where}
    points = [(slope, theory(slope)) for slope in SLOPES]
    source = Reference(name="a", label="Figure 6", source="read", value=value, along="negative_slope", points=points)
    figure = gain_figure(activations(("norm", "activation")), SCENE, [source])
    assert figure.keys[-1].name == "dashed: Figure 6"
    (data,) = figure.charts[0].spec["datasets"].values()
    assert {(row["kind"], row["g"], row["s"]) for row in data} == {("activation", "float32", where["strategy"])}


def test_the_profile_has_theory_around_the_local_gain_alone() -> None:
    table = activations(("norm", "activation"))
    frame = profile(table, SCENE.axes)
    assert frame["theory"].tolist() == pytest.approx([theory(slope) for slope in frame["x"]])
    figure = profile_figure(table, SCENE)
    assert [chart.variant for chart in figure.charts] == ["snr", "gates", "alpha"]
    assert [len(marks(drawn(figure, place))[1]) for place in range(3)] == [0, 0, 2]


def test_of_one_layer_there_is_no_profile() -> None:
    assert profile_figure(activations(), SCENE).missing == "One layer alone is rebuilt."
