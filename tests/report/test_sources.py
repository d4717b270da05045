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


def test_words_stand_on_the_side_where_there_is_room_and_above_every_point(shown: dict[str, Figure]) -> None:
    for name, label, here in (
        ("snr", "Figure 11", {"step": 0, "part": "all"}),
        ("profile", "Figure 10", {"x": 5, "o0": 0.2, "step": 0}),
    ):
        drawn = svg_of(shown[name], "layerwise", **here)
        words = re.findall(rf"<text ([^>]*)>{label}", drawn)
        assert ["stroke=" in text for text in words] == [True, False]  # the words above their edge
        for text in words:
            (place,) = re.findall(r"translate\(([\d.]+),", text)
            assert re.findall('text-anchor="([^"]*)"', text) == ["start" if float(place) < 250 else "end"]
        assert drawn.rindex('aria-roledescription="point"') < drawn.index(f">{label}")


def test_words_above_a_curve_are_drawn_above_it(shown: dict[str, Figure]) -> None:
    def places(found: str) -> list[float]:
        return [float(y) for y in re.findall(found + r"[^>]*translate\([^,]*,([\d.]+)\)", rises)]

    rises = svg_of(shown["profile"], "layerwise", x=5, o0=0.2, step=0)
    (end,), words = places('aria-label="[^"]*position: 99;'), places("<text (?=[^>]*>Figure 10)")
    assert max(words) < end


def words_beside(
    curves: dict[str, list[float]], ours: tuple[float, float], **options: Any
) -> dict[str, tuple[int, int]]:
    """At which depth and in which line the label of each curve stands; curves have a height at depths 3, 4, 5, 6."""
    references = [
        Reference.model_validate(
            {
                **{"name": name, "label": f"source {name}", "source": "s", "along": "depth"},
                "points": [(3 + place, height) for place, height in enumerate(heights)],
                "value": {"table": "cells", "column": "accuracy"},
            }
        )
        for name, heights in curves.items()
    ]
    scene = Scene(Axes("depth", (), (), {}), Palette.of(["stored"]))
    frame = pd.DataFrame([{"g": "", "x": x, "y": ours[0], "lo": ours[0], "hi": ours[1]} for x in (3, 4, 5, 6)])
    rows = source_rows(references, {("cells", "accuracy"): {}}, frame, scene, **options)
    words = rows[rows["words"]]
    assert sorted(words["name"]) == sorted(curves)
    return {row["name"]: (row["x"], row["line"]) for row in words.to_dict("records")}


def test_words_stand_away_from_where_the_curve_comes_from() -> None:
    assert words_beside({"a": [1, 0.9, 0.8, 0.7]}, (0, 0.1)) == {"a": (6, 1)}
    assert words_beside({"a": [0.5, 0.6, 0.7, 0.8]}, (0, 1)) == {"a": (6, -1)}


def test_words_leave_an_end_that_other_curves_pass() -> None:
    falls = {"a": [1.0, 1.0, 0.8, 0.6]}
    assert words_beside(falls, (0, 0.1)) == {"a": (6, 1)}
    assert words_beside(falls, (0.57, 0.58)) == {"a": (3, -1)}
    assert words_beside(falls, (0.57, 1.02)) == {"a": (3, 1)}  # ours is above the other end too


def test_words_of_two_curves_do_not_cover_each_other() -> None:
    both = words_beside({"a": [1.0, 0.97, 0.94, 0.9], "b": [1.0, 0.96, 0.93, 0.89]}, (0, 0.1))
    assert set(both.values()) == {(6, 1), (3, -1)}


def test_room_is_that_of_the_chart_and_its_scale() -> None:
    apart, close = [1.0, 0.98, 0.96, 0.94], [0.92, 0.9, 0.88, 0.86]
    assert words_beside({"a": apart, "b": close}, (0.8, 0.81))["a"] == (6, 1)  # a third of the chart lies between
    assert words_beside({"a": apart, "b": close}, (0.8, 0.81), besides=[0.0])["a"] != (6, 1)  # and now a twelfth
    tenths = {"a": [1e-1, 1e-2, 1e-3, 1e-4], "b": [1e-3, 1e-4, 1e-5, 1e-6]}
    assert words_beside(tenths, (1e-8, 1e-8), logarithmic=True) == {"a": (6, 1), "b": (6, 1)}
    assert len(set(words_beside(tenths, (1e-8, 1e-8)).values())) == 2  # both end at 0


def test_no_number_is_no_obstacle() -> None:
    assert words_beside({"a": [1, 0.9, 0.8, 0.7]}, (math.nan, math.inf)) == {"a": (6, 1)}
    assert words_beside({"a": [1, 0.9, 0.8, 0.7]}, (-1, 0), logarithmic=True) == {"a": (6, 1)}
    assert words_beside({"a": [1e-3, 1e-2, 1e-1, 0]}, (1e-3, 1), logarithmic=True) == {"a": (5, -1)}  # 0 is not drawn


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
