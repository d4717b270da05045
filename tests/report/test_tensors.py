"""A run without an axis of numbers, such as an audit, shows the error of each weight tensor beside noise and floor."""

from __future__ import annotations

import math
import re
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import pytest
import vl_convert

from gradbench.analysis.axes import Axes
from gradbench.analysis.tables import read_run
from gradbench.report.figure import Figure, Scene
from gradbench.report.figures import figures
from gradbench.report.figures.tensors import tensor_figure
from gradbench.report.interaction import interactive, with_legend
from gradbench.report.pack import by_row
from gradbench.report.palette import Palette

SCENE = Scene(Axes("", (), (), {}), Palette.of(("stored", "checkpoint", "approximate:4")))
TENSORS = 5


@pytest.fixture
def gradients() -> pd.DataFrame:
    rng = np.random.default_rng()
    rows = []
    for strategy in ("stored", "checkpoint", "approximate:4"):
        for layer in range(TENSORS):
            error = 0.0 if strategy != "approximate:4" else rng.uniform(0.01, 0.02)
            lead = {"cell": "c", "seed": 0, "strategy": strategy, "step": 0, "parameter": f"{layer}.weight"}
            numbers = {"rel_error": error, "noise_ratio": error**2 / 0.25, "sgd_variance": 1.0, "grad_norm": 2.0}
            verdict = "exact" if error == 0 else "below-noise"
            rows.append(
                {**lead, "layer": layer, "kind": "weight", "verdict": verdict, "rel_error_truth": 3e-7} | numbers
            )
    rows[-1] |= {"verdict": "broken", "rel_error": math.nan}
    return pd.DataFrame(rows)


def drawn(figure: Figure) -> str:
    (chart,) = figure.charts
    params = [{**param, "value": figure.groups[0]} for param in chart.spec["params"]]
    datasets = {**chart.spec["datasets"], chart.data: by_row(figure.data[chart.data])}
    return str(vl_convert.vegalite_to_svg({**chart.spec, "params": params, "width": 500, "datasets": datasets}))


def test_every_tensor_of_every_strategy_has_a_point(gradients: pd.DataFrame) -> None:
    figure = tensor_figure(gradients, SCENE)
    svg = drawn(figure)
    points = [text for text in re.findall(r'aria-label="([^"]*)"', svg) if "strategy: " in text]
    assert len(points) == 2 * TENSORS
    errors = {(row["strategy"], row["parameter"]): row["rel_error"] for row in gradients.to_dict("records")}
    for point in points:
        said = dict(part.split(": ", 1) for part in point.split("; "))
        error = errors[said["strategy"], said["weight tensor"]]
        if math.isnan(error):
            assert (said["relative error"], said["verdict"]) == ("∞ (1 seed)", "broken")
        else:
            assert float(said["relative error"].removesuffix(" (1 seed)")) == pytest.approx(error, rel=0.006)
    assert [key.name for key in figure.keys if key.selects] == ["checkpoint", "approximate:4"]


def test_noise_and_floor_are_lines_where_they_lie(gradients: pd.DataFrame) -> None:
    figure = tensor_figure(gradients, SCENE)
    (chart,) = figure.charts
    lines = {rows[0]["y"] for name, rows in chart.spec["datasets"].items() if name != chart.data}
    assert sorted(lines) == pytest.approx([3e-7, 0.5 / math.sqrt(10), 0.5])
    svg = drawn(figure)
    for words in ("SGD noise", "a tenth of it", "float64 floor"):
        assert svg.count(f">{words}</text>") == 1


def test_without_float64_there_is_no_floor(gradients: pd.DataFrame) -> None:
    figure = tensor_figure(gradients.assign(rel_error_truth=math.nan), SCENE)
    assert "float64" not in drawn(figure)
    assert not any("float64" in key.name for key in figure.keys)


def test_nothing_compared_is_said(gradients: pd.DataFrame) -> None:
    assert "compared no gradients" in tensor_figure(gradients[gradients["strategy"] == "stored"], SCENE).missing


def test_the_chart_is_valid_for_a_page_and_for_a_paper(gradients: pd.DataFrame) -> None:
    figure = tensor_figure(gradients, SCENE)
    spec = with_legend(interactive(figure.charts[0].spec), figure.keys, [])
    alt.Chart.from_dict({"$schema": alt.Chart("x").mark_point().to_dict()["$schema"], **spec})


def test_it_stands_in_the_place_of_the_charts_against_an_axis(folder: Path) -> None:
    run = read_run(folder)
    scene = Scene(Axes("", ("model",), (), {}), Palette.of(run.tables["cells"]["strategy"].unique()))
    names = [figure.id for figure in figures(run, scene)]
    assert names == ["layers", "profile", "training", "cost"]
