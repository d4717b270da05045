"""The figures of cases and comparisons hold the numbers that they should, against plain loops over random input."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gradbench.analysis.axes import read_axes
from gradbench.analysis.tables import read_run
from gradbench.compare.compare import compare
from gradbench.history.table import read_history
from gradbench.report.figure import Figure, Scene
from gradbench.report.palette import Palette
from gradbench.site.figures.over_nights import night_figures
from gradbench.site.figures.over_versions import version_figure
from gradbench.site.figures.ratios import ratio_figure
from gradbench.site.figures.through_layers import layer_figure, layers_of_both, most_changed
from gradbench.site.links import link
from gradbench.site.spark import HEIGHT, sparkline
from gradbench.site.versions import version_key


def data_of(figure: Figure) -> pd.DataFrame:
    """The one dataset of a figure that has charts."""
    assert figure.charts, figure.missing
    return next(iter(figure.data.values()))


@pytest.fixture(scope="module")
def scene(reports: Path) -> Scene:
    cells = read_run(reports / "worse" / "run-1").tables["cells"]
    return Scene(read_axes(cells, ("model", "depth", "negative_slope")), Palette.of(cells["strategy"].unique()))


def test_ratios_are_of_what_moved(reports: Path, scene: Scene) -> None:
    base, new = (read_run(reports / "worse" / name) for name in ("run-1", "run-2"))
    row = data_of(ratio_figure(compare(base, new), scene)).to_dict("records")
    assert [one["q"] for one in row] == ["rel error, reconstruct"]
    assert row[0]["y"] == pytest.approx(1.5)
    assert row[0]["n"] == base.tables["cells"].query("strategy == 'reconstruct'")["cell"].nunique()
    assert row[0]["k"] == "regression"


def test_nothing_moved_in_the_same_run(reports: Path, scene: Scene) -> None:
    run = read_run(reports / "worse" / "run-1")
    assert "every number is the same" in ratio_figure(compare(run, run), scene).missing
    both = layers_of_both(run.tables["gradients"], run.tables["gradients"], scene)
    assert "In none" in layer_figure(both, scene).missing
    assert most_changed(both, 5).empty


def test_layers_of_two_runs_are_medians_over_seeds(reports: Path, scene: Scene) -> None:
    rng = np.random.default_rng()
    base = read_run(reports / "worse" / "run-1").tables["gradients"]
    new = base.assign(noise_ratio=base["noise_ratio"] * rng.lognormal(size=len(base)))
    both = layers_of_both(base, new, scene)
    for row in both.sample(20, random_state=int(rng.integers(1 << 31))).to_dict("records"):
        for table, value in ((base, row["base"]), (new, row["new"])):
            same = (table["model"] == row["g"]) & (table["depth"] == row["x"]) & (table["strategy"] == row["s"])
            chosen = table[same & (table["parameter"] == row["name"]) & (table["step"] == row["step"])]
            assert value == pytest.approx(float(np.median(chosen["noise_ratio"])))
        factor = max(row["new"], row["base"]) / min(row["new"], row["base"]) if row["new"] != row["base"] else 1.0
        assert row["change"] == pytest.approx(math.log(factor))
    most = most_changed(both, 7)["change"].tolist()
    assert most == sorted(both["change"], reverse=True)[:7]


def test_a_layer_that_stops_being_finite_changed_most(reports: Path, scene: Scene) -> None:
    base = read_run(reports / "worse" / "run-1").tables["gradients"]
    victim = base.query("strategy == 'reconstruct' and kind == 'weight'")["parameter"].iloc[0]
    broken = base.assign(verdict=base["verdict"].where(base["parameter"] != victim, "broken"))
    both = layers_of_both(base, broken, scene)
    assert set(most_changed(both, 1000)["name"]) == {victim}
    assert np.isposinf(most_changed(both, 1)["new"]).all()


def test_a_panel_without_rows_has_an_axis_too(reports: Path, scene: Scene) -> None:
    base = read_run(reports / "worse" / "run-1").tables["gradients"]
    few = base[(base["model"] == "hybrid") | (base["depth"] == 3)]
    figure = layer_figure(layers_of_both(few, few.assign(noise_ratio=2 * few["noise_ratio"]), scene), scene)
    last = data_of(figure).groupby("x")["r"].max()
    expression = next(param["expr"] for param in figure.charts[0].spec["params"] if param["name"] == "last_tensor")
    assert expression == f"[{last[3]}, {last[5]}][indexof([3, 5], choice_x)]"
    domains = [layer["encoding"]["x"]["scale"]["domain"] for layer in figure.charts[0].spec["layer"][:2]]
    assert domains == [[0, {"expr": "last_tensor"}]] * 2


def test_lines_break_at_missed_nights_and_a_ring_marks_the_step(reports: Path) -> None:
    history = read_history(reports / "worse")
    errors = data_of(night_figures(history, {})[0])
    line = errors.query("g == 'hybrid' and x == 5 and s == 'reconstruct'").set_index("night")
    assert line.index.tolist() == [f"2026-10-{day:02}" for day in range(1, 25)]
    assert line.index[line["y"].isna()].tolist() == ["2026-10-08", "2026-10-09"]
    assert line["d"].tolist() == list(range(24))
    assert line.index[line["step"] != ""].tolist() == ["2026-10-13"]
    before, after = (float(text) for text in re.findall(r"[\d.]+(?=·)", line["step"].max()))
    assert after / before == pytest.approx(2.25, rel=0.05)
    assert not errors.query("s == 'checkpoint' and step != ''").size


def test_steady_nights_get_no_ring_and_a_baseline_gets_a_line(reports: Path) -> None:
    history = read_history(reports / "worse")
    key = tuple(history[name].iloc[0] for name in ("profile", "sets", "environment"))
    figure = night_figures(history, {key: ["2026-10-05", "2027-01-01"]})[2]
    assert set(data_of(figure)["step"]) == {""}
    marks = [values for values in figure.charts[0].spec["datasets"].values() if values and "d" in values[0]]
    assert marks == [[{"v": 0, "d": 4}]]  # what was accepted after the last night is not in the chart


def test_one_night_makes_no_line(reports: Path) -> None:
    history = read_history(reports / "worse")
    for figure in night_figures(history[history["night"] == history["night"].min()], {}):
        assert "Fewer than two nights" in figure.missing


def test_series_of_nights_can_be_chosen(reports: Path) -> None:
    history = read_history(reports / "worse")
    other = history.assign(environment="0123456789ab", torch="2.9.1")
    both = pd.concat([other[other["night"] < "2026-10-20"], history], ignore_index=True)
    figure = night_figures(both, {})[0]
    assert figure.controls[0].options == (
        ("profile quick, AMD EPYC, torch 2.13.0", 0),  # the one with the newest night stands first
        ("profile quick, AMD EPYC, torch 2.9.1", 1),
    )
    assert data_of(figure).query("v == 1 and y == y")["night"].max() == "2026-10-19"


def test_errors_by_version_are_those_of_the_settings() -> None:
    rng = np.random.default_rng()
    rows = [
        {"depth": depth, "strategy": strategy, "torch": version, "rel_error": float(rng.lognormal())}
        for version in ("2.9.1", "2.13.0")
        for depth in (2, 4)
        for strategy in ("stored", "reconstruct", "checkpoint")
    ]
    frame = data_of(version_figure("v", "?", pd.DataFrame(rows), ("depth",)))
    found = {(row["x"], row["s"], row["torch"]): row["y"] for row in frame.to_dict("records")}
    assert found == {
        (row["depth"], row["strategy"], row["torch"]): row["rel_error"] for row in rows if row["strategy"] != "stored"
    }


def test_versions_sort_by_number() -> None:
    versions = ["2.9.1", "2.10.0", "2.11.0+cu126", "2.11.0+cu130", "2.13.0"]
    shuffled = np.random.default_rng().permutation(versions).tolist()
    assert sorted(shuffled, key=version_key) == versions


def test_a_sparkline_is_higher_where_the_number_is_larger() -> None:
    values = np.random.default_rng().lognormal(0, 3, size=12)
    values[[3, 7]] = math.nan
    spark = sparkline(values.tolist())
    assert spark is not None
    points = [tuple(map(float, point)) for point in re.findall(r"[ML]([\d.]+) ([\d.]+)", spark.path)]
    known = values[~np.isnan(values)]
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    order = np.argsort(known)
    heights = [points[place][1] for place in order]
    assert heights == sorted(heights, reverse=True)  # down is larger in an SVG
    assert max(heights) - min(heights) == HEIGHT - 8
    assert spark.path.count("M") == 3
    assert (spark.x, spark.y) == points[-1]


@pytest.mark.parametrize("values", [[], [1.0], [math.nan, 2.0], [math.inf, math.inf]])
def test_too_few_numbers_make_no_sparkline(values: list[float]) -> None:
    assert sparkline(values) is None


def test_equal_numbers_make_a_flat_sparkline() -> None:
    spark = sparkline([0.0, 0.0, 0.0])
    assert spark is not None
    assert spark.y == HEIGHT / 2


def test_links_find_their_way_back() -> None:
    assert link("runs/a b/1.html", "index.html") == "../../index.html"
    assert link("index.html", "cases/ä#?%.html") == "cases/%C3%A4%23%3F%25.html"
