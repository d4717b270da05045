"""Every chart is valid Vega-Lite and draws what its dataset holds."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest
import vl_convert

from gradbench.analysis.axes import Axes, read_axes
from gradbench.analysis.summary import summarise_run
from gradbench.analysis.tables import read_run
from gradbench.report.figure import Control, Figure, Scene
from gradbench.report.figures import with_crossings
from gradbench.report.figures.cost import cost_figure
from gradbench.report.figures.layers import layer_figure
from gradbench.report.figures.profile import profile_figure
from gradbench.report.figures.snr import snr_figure
from gradbench.report.figures.training import final_figure, training_figure
from gradbench.report.interaction import interactive, with_legend
from gradbench.report.palette import Palette
from gradbench.report.scales import ChosenScale, decibels
from gradbench.report.words import MINUS


def draw(figure: Figure, place: int = 0, **choices: Any) -> str:
    chart = figure.charts[place]
    rows = figure.data[chart.data].to_dict("records")
    set_to = {"choice_group": figure.groups[0], **{f"choice_{name}": value for name, value in choices.items()}}
    params = [
        {**param, "value": set_to.get(param["name"], param.get("value"))} if "expr" not in param else param
        for param in chart.spec["params"]
    ]
    spec = {**chart.spec, "params": params, "width": 500}
    clean = [{key: None if pd.isna(value) else value for key, value in row.items()} for row in rows]
    return str(vl_convert.vegalite_to_svg({**spec, "datasets": {**spec.get("datasets", {}), chart.data: clean}}))


@pytest.mark.parametrize("name", ["errors", "layers", "snr", "profile", "training", "accuracy", "cost", "memory"])
def test_charts_follow_the_schema_of_vega_lite_and_say_what_they_show(shown: dict[str, Figure], name: str) -> None:
    assert shown[name].groups == ("layerwise", "hybrid")
    for chart in shown[name].charts:
        spec = with_legend(interactive(chart.spec), shown[name].keys, [])
        alt.Chart.from_dict({"$schema": alt.Chart("x").mark_point().to_dict()["$schema"], **spec})
        assert len(chart.spec["description"]) > 20


def points(svg: str) -> list[str]:
    """What a screen reader is told of every point."""
    drawn = [mark for mark in re.findall(r"<path [^>]*>", svg) if 'aria-roledescription="point"' in mark]
    return [re.findall(r'aria-label="([^"]*)"', mark)[0] for mark in drawn]


def test_each_strategy_has_a_point_at_each_depth(shown: dict[str, Figure]) -> None:
    found = points(draw(shown["errors"]))
    for strategy in ("reconstruct", "checkpoint", "approximate:4", "naive-quantize:4"):
        mine = [point for point in found if f"strategy: {strategy};" in f"{point};"]
        assert [point.split(";")[0] for point in mine] == ["x: 3", "x: 5", "x: 28"]


def test_a_choice_changes_what_is_drawn(shown: dict[str, Figure]) -> None:
    assert not any("checkpoint" in point for point in points(draw(shown["errors"], o0=0.1)))
    assert 0 < len(points(draw(shown["profile"], x=3))) < len(points(draw(shown["profile"], x=28)))


def heights(svg: str) -> list[float]:
    drawn = [mark for mark in re.findall(r"<path [^>]*>", svg) if 'aria-roledescription="point"' in mark]
    return [float(re.findall(r"translate\([^,]*,([^)]*)\)", mark)[0]) for mark in drawn]


@pytest.mark.parametrize("make", [snr_figure, profile_figure])
def test_what_is_not_chosen_squeezes_nothing(folder: Path, make: Callable[[pd.DataFrame, Scene], Figure]) -> None:
    run = read_run(folder)
    scene = Scene(summarise_run(run).axes, Palette.of(run.tables["cells"]["strategy"].unique()))
    activations = run.tables["activations"]
    activations.loc[activations["step"] == 200, "snr_db"] -= 3000
    figure = make(activations, scene)
    before, after = draw(figure, step=0), draw(figure, step=200)
    assert max(heights(before)) - min(heights(before)) > 100
    assert f">{MINUS}3000<" in after
    assert f">{MINUS}3000<" not in before
    for svg in (before, after):
        assert ">0 dB<" in svg  # the line that is marked


def test_each_choice_has_the_scale_of_its_own_rows() -> None:
    rng = np.random.default_rng()
    frame = pd.DataFrame({"a": [1, 1, 1, 2, 2, 2], "b": ["x", "y", "y", "x", "x", "x"], "y": rng.normal(size=6) * 300})
    frame.loc[5, "y"] = math.inf
    controls = tuple(
        Control(name, name, tuple((str(value), value) for value in frame[name].unique()), frame[name][0])
        for name in ("a", "b")
    )
    fit = partial(decibels, columns=["y"])
    scale = ChosenScale.over(frame, controls, fit)
    rows = [[0], [1, 2], [3, 4, 5], list(range(6))]  # nothing was measured for the last, so it has the scale of all
    assert list(scale.scales) == [fit(frame.loc[index]) for index in rows]
    placed = scale.place(frame, ["y"])["y"]
    assert placed[5] == scale.scales[2].high
    assert placed[:5].tolist() == frame["y"][:5].tolist()


def test_memory_is_drawn_at_its_peak_and_as_it_is_kept(shown: dict[str, Figure]) -> None:
    figure = shown["memory"]
    assert [chart.variant for chart in figure.charts] == ["peak", "saved"]
    keys = ["g", "x", "o0", "s"]
    peak, saved = (figure.data[f"memory-{name}"].set_index(keys)["y"] for name in ("peak", "saved"))
    np.testing.assert_allclose(saved, 0.6 * peak.loc[saved.index])
    assert "cuDNN" in figure.reading
    assert "cuDNN" in shown["cost"].reading


@pytest.mark.parametrize(
    ("references", "named"),
    [
        (["stored", "", math.nan], "stored"),
        (["checkpoint"] * 3, "checkpoint"),
        (["stored", "checkpoint", ""], "reference"),
    ],
)
def test_the_axis_of_time_names_what_it_is_relative_to_and_tells_its_ticks_apart(
    references: list[Any], named: str
) -> None:
    cells = pd.DataFrame({"strategy": ["a", "b", "c"], "seed": 0, "step_seconds": 1.0, "reference": references})
    cells = cells.assign(time_ratio=[0.93, 1.05, 1.3], bytes_per_pixel=[100.0, 200.0, 400.0])
    svg = draw(cost_figure(cells, Scene(Axes("", (), (), {}), Palette.of(["a", "b", "c"]))))
    assert f">time of a step, {named} = 1<" in svg
    ticks = re.findall(r">([01]\.?[0-9]*)</text>", svg)
    assert len(ticks) == len(set(ticks)) > 4


def test_the_limits_of_noise_are_drawn_on_the_noise_charts_alone(shown: dict[str, Figure]) -> None:
    assert ">a tenth of it<" in draw(shown["errors"])
    relative = next(place for place, chart in enumerate(shown["errors"].charts) if chart.variant == "rel_error")
    assert ">a tenth of it<" not in draw(shown["errors"], relative)


def test_a_strategy_keeps_its_colour_across_charts(shown: dict[str, Figure]) -> None:
    colours = {
        (key.name, key.colour)
        for name in ("errors", "training", "accuracy", "cost", "memory")
        for key in shown[name].keys
        if key.selects
    }
    assert len(colours) == len({name for name, _ in colours}) == len({colour for _, colour in colours}) == 5


def star() -> pd.DataFrame:
    """Cells over depth at slope 0.2, and over slopes at depth 3, with random numbers."""
    rng = np.random.default_rng()
    points = [(3, 0.2), (5, 0.2), (8, 0.2), (3, 0.05), (3, 0.1)]
    return pd.DataFrame(
        {
            "depth": depth,
            "negative_slope": slope,
            "seed": 0,
            "strategy": strategy,
            "status": "ok",
            "accuracy": rng.uniform(0.2, 0.9),
            "train_seconds": 1.0,
        }
        for depth, slope in points
        for strategy in ("stored", "reconstruct")
    )


def test_an_axis_that_crosses_the_pages_has_a_figure_of_its_own(folder: Path) -> None:
    run, cells = read_run(folder), star()
    scene = Scene(read_axes(cells, ("depth", "negative_slope")), Palette.of(["stored", "reconstruct"]))
    tables = run.tables | {"cells": cells}
    main, crossing = with_crossings(final_figure, cells, replace(run, tables=tables), scene)
    assert (main.id, crossing.id) == ("accuracy", "accuracy-negative_slope")
    assert crossing.question == "What accuracy does each strategy reach, against negative slope (depth 3)?"
    assert main.controls == crossing.controls == ()
    for figure, field, at in ((main, "depth", ("negative_slope", 0.2)), (crossing, "negative_slope", ("depth", 3))):
        there = cells[cells[at[0]] == at[1]]
        found = sorted(figure.data[figure.id][["x", "s", "y"]].itertuples(index=False, name=None))
        assert found == sorted(there[[field, "strategy", "accuracy"]].itertuples(index=False, name=None))
        assert len(points(draw(figure))) == len(there)


def test_where_each_panel_has_one_place_its_name_says_so() -> None:
    rows = [
        {"model": model, "depth": depth, "seed": 0, "strategy": "stored", "step": step, "accuracy": 0.5}
        for model, depth in (("resnet", 8), ("revnet", 6))
        for step in (0, 10)
    ]
    training = pd.DataFrame(rows)
    scene = Scene(Axes("depth", ("model",), (), {}), Palette.of(["stored"]))
    figure = training_figure(training, scene)
    assert (figure.groups, figure.controls) == (("resnet · depth 8", "revnet · depth 6"), ())
    assert len(points(draw(figure))) == 2
    more = training_figure(pd.concat([training, training[:1].assign(depth=6)]), scene)
    assert (more.groups, [control.name for control in more.controls]) == (("resnet", "revnet"), ["x"])


def test_the_heat_map_begins_with_the_step_at_which_most_was_measured() -> None:
    rows = [
        {
            **{
                "cell": f"{depth}",
                "depth": depth,
                "seed": 0,
                "strategy": "reconstruct",
                "step": step,
                "kind": "weight",
            },
            **{"layer": 0, "parameter": "0.weight", "verdict": "rounding", "noise_ratio": 0.01},
        }
        for depth, steps in ((6, (0, 100, 200)), (12, (0, 100)), (24, (0, 100)))
        for step in steps
    ]
    figure = layer_figure(pd.DataFrame(rows), Scene(Axes("depth", (), (), {}), Palette.of(["reconstruct"])))
    assert [(control.name, control.value) for control in figure.controls] == [("step", 100)]
    others = [row | {"strategy": "checkpoint", "depth": depth, "step": 200} for row in rows for depth in (6, 12, 24)]
    scene = Scene(Axes("depth", (), (), {}), Palette.of(["reconstruct", "checkpoint"]))
    figure = layer_figure(pd.DataFrame([*rows, *others]), scene)  # of the strategy that it begins with, that is
    assert [(control.name, control.value) for control in figure.controls] == [("s", "reconstruct"), ("step", 100)]


def test_more_strategies_than_colours_can_be_told_apart() -> None:
    palette = Palette.of(["stored", "reconstruct", *(f"approximate:{bits}" for bits in range(9)), "mine"])
    assert [palette.places[name] for name in ("stored", "reconstruct", "approximate:0")] == [0, 1, 3]
    assert palette.places["approximate:1"] == 2
    looks = {(palette.colour(name), palette.shape(name)) for name in palette.places}
    assert len(looks) == len(palette.places) == 12
    assert len({colour for colour, _ in looks}) == 8


def trainings(lost: set[tuple[int, int]], strategy: str = "reconstruct") -> Figure:
    """The figure of accuracies at depths 3 and 8 in two seeds; `lost` has those that diverged under `strategy`."""
    rows = []
    for depth, seed, name in itertools.product((3, 8), (0, 1), ("stored", "reconstruct", "checkpoint")):
        row = {"depth": depth, "seed": seed, "strategy": name, "status": "ok"}
        accuracy, seconds = (math.nan, math.nan) if name == "checkpoint" else (0.5, 1.0)
        if (depth, seed) in lost and name in (strategy, "checkpoint"):
            accuracy, row["status"] = math.nan, "diverged"
        rows.append(row | {"accuracy": accuracy, "train_seconds": seconds})
    cells = pd.DataFrame(rows)
    return final_figure(cells, Scene(Axes("depth", (), (), {}), Palette.of(["stored", "reconstruct", "checkpoint"])))


def test_what_diverged_has_a_cross_that_says_in_how_many_seeds() -> None:
    figure = trainings({(8, 0), (3, 0), (3, 1)})
    crosses = [label for label in points(draw(figure)) if "diverged" in label]
    assert crosses == [
        "x: 3; y: 0; strategy: reconstruct; depth: 3; test accuracy: diverged in 2 of 2 seeds",
        "x: 8; y: 0; strategy: reconstruct; depth: 8; test accuracy: diverged in 1 of 2 seeds",
    ]
    assert "cross: diverged" in [key.name for key in figure.keys]


def test_no_cross_where_nothing_that_was_trained_diverged() -> None:
    for figure in (trainings(set()), trainings({(8, 0)}, strategy="checkpoint")):
        assert not [label for label in points(draw(figure)) if "diverged" in label]
        assert "cross: diverged" not in [key.name for key in figure.keys]


def test_a_gap_of_half_a_point_is_seen() -> None:
    """Half a point of accuracy is a tenth of the panel or more where all accuracies are within two points."""
    rng = np.random.default_rng()
    cells = pd.DataFrame(
        {"depth": depth, "strategy": name, "accuracy": rng.uniform(0.9, 0.92)}
        for depth, name in itertools.product((3, 5, 8), ("stored", "reconstruct"))
    ).assign(seed=0, status="ok", train_seconds=1.0)
    scene = Scene(Axes("depth", (), (), {}), Palette.of(["stored", "reconstruct"]))
    (chart,) = final_figure(cells, scene).charts
    domain = next(re.finditer(r'"domain": \[(0\.[0-9]+), (0\.[0-9]+)\]', json.dumps(chart.spec)))
    low, high = map(float, domain.groups())
    assert low <= cells["accuracy"].min() < cells["accuracy"].max() <= high <= low + 0.05
    lost = cells["depth"].eq(8) & cells["strategy"].eq("reconstruct")
    cells.loc[lost, ["status", "accuracy"]] = ["diverged", math.nan]
    (chart,) = final_figure(cells, scene).charts
    assert re.search(r'"domain": \[0(\.0)?, ', json.dumps(chart.spec))  # where its cross stands


def test_seeds_at_a_single_place_span_a_bar() -> None:
    cells = pd.DataFrame(
        {"depth": depth, "seed": seed, "strategy": "stored", "accuracy": 0.9 + 0.01 * seed}
        for depth, seed in itertools.product((3, 5), (0, 1, 2))
    ).assign(status="ok", train_seconds=1.0)
    scene = Scene(Axes("depth", (), (), {}), Palette.of(["stored"]))
    one, two = (draw(final_figure(rows, scene)) for rows in (cells[cells["depth"] == 3], cells))
    (bar,) = re.findall(r'<line [^>]*y2="(-?[\d.]+)"[^>]*stroke-width="7"', one)
    ticks = re.findall(r"translate\(-?[\d.]+,([\d.]+)\)[^>]*>9[0-9] %<", one)
    assert abs(float(bar)) == pytest.approx(float(ticks[0]) - float(ticks[-1]), abs=1)  # from 90 to 92 %
    assert 'stroke-width="7"' not in two
