"""What a reader does with a chart: bring an entry of the key to the fore, zoom, save it with its key."""

from __future__ import annotations

import re
from typing import Any

import pytest
import vl_convert

from gradbench.report.figure import Figure
from gradbench.report.interaction import focus_field, interactive, with_legend, zooms
from gradbench.report.pack import by_row

NAMES = ("errors", "layers", "snr", "profile", "training", "accuracy", "cost", "memory")


def draw(figure: Figure, spec: dict[str, Any], **values: Any) -> str:
    chart = figure.charts[0]
    values = {"choice_group": figure.groups[0], **values}
    params = [
        {**param, "value": values[param["name"]]} if param["name"] in values else param for param in spec["params"]
    ]
    datasets = {**spec.get("datasets", {}), chart.data: by_row(figure.data[chart.data])}
    whole = {**spec, "params": params, "width": 500, "datasets": datasets}
    return str(vl_convert.vegalite_to_svg(whole))


def points(svg: str) -> list[dict[str, str]]:
    """Label, place and opacity of every point."""
    marks = [mark for mark in re.findall(r"<path [^>]*>", svg) if 'aria-roledescription="point"' in mark]
    return [dict(re.findall(r'([\w-]+)="([^"]*)"', mark)) for mark in marks]


def test_nothing_of_the_chart_itself_changes(shown: dict[str, Figure]) -> None:
    for figure in shown.values():
        for chart in figure.charts:
            before = str(chart.spec)
            with_legend(interactive(chart.spec), figure.keys, [])
            assert str(chart.spec) == before


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_of_a_key_means_a_value_of_the_field_that_is_coloured(shown: dict[str, Figure], name: str) -> None:
    figure = shown[name]
    for chart in figure.charts:
        values = set(figure.data[chart.data][focus_field(chart.spec)])
        selecting = {key.means for key in figure.keys if key.selects}
        assert selecting >= values


def test_what_is_not_in_the_fore_is_dim(shown: dict[str, Figure]) -> None:
    figure = shown["errors"]
    spec = interactive(figure.charts[0].spec)
    for focus in ([], ["reconstruct"], ["reconstruct", "checkpoint"]):
        for point in points(draw(figure, spec, focus=focus)):
            strategy = re.findall("strategy: ([^;]+)", point["aria-label"])[0]
            assert float(point["opacity"]) == (1 if not focus or strategy in focus else 0.12)


def test_zooming_moves_the_points_and_clips_them(shown: dict[str, Figure]) -> None:
    figure = shown["errors"]
    spec = interactive(figure.charts[0].spec)
    whole = draw(figure, spec)
    zoom = {"x": [4, 29], "y": [1e-5, 1e5], "ticks": [1e-3, 1e3], "texts": ["little", "much"]}
    near = draw(figure, spec, zoom=zoom)
    assert "clip-path" not in whole
    assert "clip-path" in near

    def places(svg: str) -> list[float]:
        found = [point for point in points(svg) if "naive-quantize:4" in point["aria-label"]]
        return [float(re.findall(r"translate\(([^,]*),", point["transform"])[0]) for point in found]

    assert places(whole) == sorted(places(whole))
    width = 500 - 2 * 12  # of the axis, without its padding
    for zoomed, depth in zip(places(near), (3, 5, 28), strict=True):
        assert zoomed == pytest.approx((depth - 4) / (29 - 4) * (width + 24), abs=15)
    assert ">little<" in near
    assert ">1<" not in near


def test_words_beside_a_line_leave_with_it(shown: dict[str, Figure]) -> None:
    figure = shown["errors"]
    spec = interactive(figure.charts[0].spec)

    def opacity(svg: str, words: str) -> str:
        return re.findall(rf'<text [^>]*opacity="([^"]*)"[^>]*>{words}<', svg)[0]

    assert opacity(draw(figure, spec), "a tenth of it") == "1"
    near = draw(figure, spec, zoom={"x": [3, 28], "y": [0.5, 10], "ticks": [1], "texts": ["1"]})
    assert opacity(near, "a tenth of it") == "0"
    assert opacity(near, "SGD noise") == "1"


def test_axes_of_names_are_not_zoomed(shown: dict[str, Figure]) -> None:
    assert zooms(shown["layers"].charts[0].spec) == ["x"]
    assert zooms(shown["cost"].charts[0].spec) == ["x", "y"]


@pytest.mark.parametrize("name", NAMES)
def test_a_legend_names_what_the_key_names(shown: dict[str, Figure], name: str) -> None:
    figure = shown[name]
    svg = draw(figure, with_legend(figure.charts[0].spec, figure.keys, []))
    for key in figure.keys:
        assert (f">{key.name}<" in svg) == key.selects
