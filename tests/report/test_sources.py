"""A source's values stand in the chart of their quantity and in a table, beside ours."""

from __future__ import annotations

import json
import math
import re
import shutil
import statistics
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import vl_convert

from gradbench.analysis.axes import Axes
from gradbench.analysis.tables import read_run
from gradbench.case.schema import Reference
from gradbench.report.figure import Figure, Scene
from gradbench.report.figures.sources import source_rows
from gradbench.report.pack import by_row
from gradbench.report.palette import Palette
from gradbench.report.references import reference_table


def svg_of(figure: Figure, group: str, place: int = 0, **choices: object) -> str:
    chart = figure.charts[place]
    values = {"choice_group": group, **{f"choice_{name}": value for name, value in choices.items()}}
    params = [
        {**param, "value": values[param["name"]]} if param["name"] in values else param
        for param in chart.spec["params"]
    ]
    datasets = {**chart.spec.get("datasets", {}), chart.data: by_row(figure.data[chart.data])}
    return str(vl_convert.vegalite_to_svg({**chart.spec, "params": params, "width": 500, "datasets": datasets}))


def theirs(svg: str, label: str, along: str = "x") -> list[tuple[float, float]]:
    """Place and value of each point that names the source."""
    labels = [
        text.replace("\N{MINUS SIGN}", "-")
        for text in re.findall(r'aria-label="([^"]*)"', svg)
        if f"source: {label}" in text
    ]
    return [
        (float(re.findall(f"{along}: ([^;]+)", text)[0]), float(re.findall("y: ([^;]+)", text)[0])) for text in labels
    ]


def test_a_curve_stands_where_its_conditions_hold(shown: dict[str, Figure]) -> None:
    figure = shown["snr"]
    drawn = svg_of(figure, "layerwise", step=0, part="all")
    assert theirs(drawn, "Figure 11") == [(3, 80), (5, 60), (30, -5)]
    assert "stroke-dasharray" in drawn
    assert theirs(svg_of(figure, "hybrid", step=0, part="all"), "Figure 11") == []
    assert theirs(svg_of(figure, "layerwise", step=200, part="all"), "Figure 11") == []
    assert theirs(svg_of(figure, "layerwise", step=0, part="blocks"), "Figure 11") == []


def test_a_curve_has_the_colour_of_its_series_and_an_entry_in_the_key(shown: dict[str, Figure]) -> None:
    figure = shown["snr"]
    (key,) = [key for key in figure.keys if "Figure 11" in key.name]
    assert key.name.startswith("dashed: ")
    assert not key.selects
    (series,) = [key for key in figure.keys if key.means == 0.2]
    lines = re.findall(r'<path [^>]*stroke-dasharray="5,4"[^>]*>', svg_of(figure, "layerwise", step=0, part="all"))
    assert [re.findall('stroke="([^"]*)"', line)[0] for line in lines] == [series.colour]


def test_the_axis_reaches_the_last_value_of_a_source(shown: dict[str, Figure]) -> None:
    drawn = svg_of(shown["snr"], "layerwise", step=0, part="all")
    last = re.findall(r'aria-label="x: 30;[^"]*"[^>]*translate\(([\d.]+),', drawn)
    assert [float(place) for place in last] == [500 - 12]  # within the padding


def test_words_stand_on_the_side_where_there_is_room(shown: dict[str, Figure]) -> None:
    curve = svg_of(shown["snr"], "layerwise", step=0, part="all")  # ends at the right edge of the chart
    words = re.findall(r"<text ([^>]*)>Figure 11", curve)
    assert [re.findall('text-anchor="([^"]*)"', text) for text in words] == [["end"], ["end"]]
    assert ["stroke=" in text for text in words] == [True, False]  # the words above their edge
    assert curve.rindex('aria-label="x: ') < curve.index(">Figure 11")  # and both above every point


def test_words_stand_below_the_end_of_a_curve_that_falls_and_above_one_that_rises(shown: dict[str, Figure]) -> None:
    def places(drawn: str, found: str) -> list[float]:
        return [float(y) for y in re.findall(found + r"[^>]*translate\([^,]*,([\d.]+)\)", drawn)]

    falls = svg_of(shown["snr"], "layerwise", step=0, part="all")
    (end,), words = (
        places(falls, 'aria-label="x: 30;'),
        places(falls, '<text [^>]*text-anchor="end"(?=[^>]*>Figure)'),
    )
    assert min(words) > end + 9
    rises = svg_of(shown["profile"], "layerwise", x=5, o0=0.2, step=0)
    (end,), words = places(rises, 'aria-label="[^"]*position: 99;'), places(rises, "<text (?=[^>]*>Figure 10)")
    assert max(words) < end


def test_words_of_curves_that_end_side_by_side_stand_in_lines_of_their_own() -> None:
    def curve(name: str, before: float, end: float) -> Reference:
        lead = {"name": name, "label": name, "source": "s", "along": "depth", "points": [(3, before), (5, end)]}
        return Reference.model_validate(lead | {"value": {"table": "cells", "column": "accuracy"}})

    frame = pd.DataFrame([{"g": "", "x": x, "y": 0.5, "lo": 0.2, "hi": 0.9} for x in (3, 5)])
    scene = Scene(Axes("depth", (), (), {}), Palette.of(["stored"]))
    fall = [curve("a", 1.0, 0.9), curve("b", 1.0, 0.89), curve("c", 1.0, 0.5)]
    references = [*fall, curve("d", 0.2, 0.4), curve("e", 0.2, 0.41)]
    rows = source_rows(references, {("cells", "accuracy"): {}}, frame, scene)
    lines = rows.groupby("name")["line"].unique().map(list).to_dict()
    assert lines == {"a": [1], "b": [2], "c": [1], "d": [-1], "e": [-2]}
    # What is close is decided by the panel: around 0 no share of the numbers, and on a logarithmic scale their ratio.
    around = [curve("a", 100.0, 0.5), curve("b", 100.0, -0.5)]
    for logarithmic, ends in ((False, around), (True, [curve("a", 1e-3, 1.1e-6), curve("b", 1e-3, 1e-6)])):
        rows = source_rows(ends, {("cells", "accuracy"): {}}, frame, scene, logarithmic=logarithmic)
        assert rows.groupby("name")["line"].first().to_dict() == {"a": 1, "b": 2}
    apart = [curve("a", 1e-3, 1e-4), curve("b", 1e-3, 1e-6)]
    rows = source_rows(apart, {("cells", "accuracy"): {}}, frame, scene, logarithmic=True)
    assert rows["line"].unique().tolist() == [1]
    nearly = [curve("a", 0.93, 0.91), curve("b", 0.93, 0.9)]
    narrow = frame.assign(lo=0.9, hi=0.92)
    for besides, lines in (((), [1]), ([0.0], [1, 2])):  # a cross of what diverged stands at 0: all are close then
        rows = source_rows(nearly, {("cells", "accuracy"): {}}, narrow, scene, besides=besides)
        assert sorted(rows["line"].unique()) == lines


def test_a_curve_along_the_layers_stands_in_their_chart(shown: dict[str, Figure]) -> None:
    figure = shown["profile"]
    assert [chart.variant for chart in figure.charts] == ["snr", "gates", "alpha"]
    here: dict[str, Any] = {"x": 5, "o0": 0.2, "step": 0}
    points = [(0, 20), (2, 35.125), (99, 90)]
    assert theirs(svg_of(figure, "layerwise", **here), "Figure 10", "position") == points
    assert theirs(svg_of(figure, "layerwise", 1, **here), "Figure 10", "position") == []
    for other in ({"x": 3}, {"o0": 0.1}, {"step": 200}):
        assert theirs(svg_of(figure, "layerwise", **(here | other)), "Figure 10", "position") == []
    assert theirs(svg_of(figure, "hybrid", **here), "Figure 10", "position") == []
    assert not any("Figure 10" in key.name for key in shown["snr"].keys)


def test_a_level_spans_the_axis_in_its_panel_alone(shown: dict[str, Figure]) -> None:
    figure = shown["memory"]
    assert theirs(svg_of(figure, "hybrid"), "Table 1") == [(3, 352), (28, 352)]
    assert theirs(svg_of(figure, "layerwise"), "Table 1") == []
    kept = next(place for place, chart in enumerate(figure.charts) if chart.variant == "saved")
    assert theirs(svg_of(figure, "hybrid", kept), "Table 1") == []


def test_the_table_holds_theirs_beside_ours(folder: Path) -> None:
    layers = pd.read_csv(folder / "activations.csv")
    table = reference_table(read_run(folder))
    assert table.without == 2  # depth 30, position 99
    assert [row.place for row in table.rows] == [
        "layerwise, negative slope 0.2, step 0, depth 3",
        "layerwise, negative slope 0.2, step 0, depth 5",
        "layerwise, depth 5, negative slope 0.2, step 0, position 0",
        "layerwise, depth 5, negative slope 0.2, step 0, position 2",
        "hybrid, reconstruct",
    ]
    for row, depth, value in zip(table.rows, (3, 5), (80.0, 60.0), strict=False):
        lowest: dict[str, float] = {}
        for one in layers.to_dict("records"):
            if (one["model"], one["depth"], one["negative_slope"], one["step"]) == ("layerwise", depth, 0.2, 0):
                lowest[one["cell"]] = min(lowest.get(one["cell"], math.inf), one["snr_db"])
        ours = statistics.median(lowest.values())
        assert row.quantity == "SNR (dB)"
        assert [float(key) for key in row.keys] == [value, round(ours, 4), float(f"{ours - value:.6g}")]
        assert row.seeds == 3


def test_accuracies_stand_in_percent_and_their_difference_in_points(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "run"))
    manifest = json.loads((copy / "manifest.json").read_text())
    where = {"strategy": "stored", "model": "hybrid", "depth": 3}
    value = {"table": "cells", "column": "accuracy", "where": where}
    manifest["settings"]["reference"] = [
        {"name": "one", "label": "one", "source": "one", "value": value, "level": 0.947}
    ]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    (row,) = reference_table(read_run(copy)).rows
    cells = pd.read_csv(copy / "cells.csv").query("strategy == 'stored' and model == 'hybrid' and depth == 3")
    ours = cells["accuracy"].median()
    assert (row.quantity, row.theirs, row.ours) == ("accuracy (%)", "94.7", f"{100 * ours:.2f}")
    assert float(row.difference.replace("\N{MINUS SIGN}", "-")) == pytest.approx(100 * ours - 94.7, rel=0.01)
