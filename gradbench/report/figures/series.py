"""Lines with a band over seeds: the shape that most figures share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import altair as alt
import pandas as pd

from gradbench.report.figure import Control, Key, Scene
from gradbench.report.figures.sources import source_layers
from gradbench.report.scales import ChosenScale, Scale
from gradbench.report.words import number

__all__ = ["CROSSED", "EXPECTED", "Line", "banded", "expectations", "marked", "with_text"]

#: On an axis with more places than these, those of the sources are not named, and of a wide one only powers of ten are.
_MOST_TICKS = 12
_RING = "M6 1a5 5 0 1 0 0 10a5 5 0 1 0 0-10zM6 2.3a3.7 3.7 0 1 1 0 7.4a3.7 3.7 0 1 1 0-7.4z"
#: What hollow marks mean, for the keys.
EXPECTED = Key("hollow: white noise, in theory", "var(--ink-2)", _RING, selects=False)
#: What crosses mean, for the keys.
_CROSS = "M1.6 3L3 1.6 6 4.6 9 1.6 10.4 3 7.4 6 10.4 9 9 10.4 6 7.4 3 10.4 1.6 9 4.6 6z"
CROSSED = Key("cross: diverged", "var(--ink-2)", _CROSS, selects=False)
#: The same as a mark, in a box from -1 to 1.
_CROSS_MARK = "M-.73 -.5L-.5 -.73 0 -.23 .5 -.73 .73 -.5 .23 0 .73 .5 .5 .73 0 .23 -.5 .73 -.73 .5 -.23 0z"
#: A horizontal line to compare with: its value, its words, and which edge of the words stands on it.
Line = tuple[float, str, Literal["bottom", "top"]]


def with_text(frame: pd.DataFrame, write: Callable[[float], str] = number) -> pd.DataFrame:
    """`frame` with a column `t` for tooltips: the median and, over several seeds, from the lowest to the highest."""

    def text(y: float, low: float, high: float, seeds: int) -> str:
        spread = f" ({write(low)} to {write(high)}, {seeds} seeds)" if seeds > 1 else " (1 seed)"
        return f"{write(y)}{spread}"

    rows = zip(frame["y"], frame["lo"], frame["hi"], frame["n"], strict=True)
    return frame.assign(t=[text(*row) for row in rows]).drop(columns="n")


def banded(
    scene: Scene,
    data: str,
    controls: Sequence[Control],
    *,
    x: tuple[str, str, Sequence[float]],
    y_title: str,
    y_scale: Scale | ChosenScale,
    colour: alt.Color,
    shape: alt.Shape,
    lines: Sequence[Line] = (),
    expected: str = "",
    sources: pd.DataFrame | None = None,
    crosses: pd.DataFrame | None = None,
) -> alt.LayerChart | alt.FacetChart:
    """Median lines with points over bands from the lowest to the highest seed, on one panel.

    Args:
        scene: what the page's figures share.
        data: the dataset; columns g, y, lo, hi, t and those of `x`, `colour`, `shape`.
        controls: the choices that filter the rows.
        x: the field, its title and the values to tick.
        y_title: the title of the y axis.
        y_scale: its scale.
        colour: encoding of the series.
        shape: the same in symbols.
        lines: horizontal lines to compare with, see `marked`.
        expected: the field of what theory has in the place of `y`, if there is one.
        sources: the sources' values, see `source_rows`.
        crosses: what has no number, with the dataset's columns: `y` is where its cross stands.
    """
    field, title, ticks = x
    places = sorted({*ticks, *([] if sources is None else sources["x"].astype(float))})
    named = places if len(places) <= _MOST_TICKS else list(ticks)
    low, high = float(places[0]), float(places[-1])
    wide = low > 0 and high / low > 20
    if wide and len(named) > _MOST_TICKS:
        named = [place for place in named if math.log10(place).is_integer()] or named
    x_scale = alt.Scale(type="log" if wide else "linear", domain=[low, high], padding=12, nice=False)
    across = alt.X(
        f"{field}:Q",
        scale=x_scale,
        axis=alt.Axis(
            title=title,
            values=named,
            labelExpr=scene.label if field == "x" else "toString(datum.value)",
            labelOverlap="greedy",
            labelSeparation=6,
            grid=False,
        ),
    )
    up = alt.Y("y:Q", scale=y_scale.scale(), axis=y_scale.axis(y_title))
    base = scene.chart(data, controls).encode(x=across, color=colour)
    band = base.mark_area(opacity=0.13, aria=False).encode(
        y=alt.Y("lo:Q", scale=y_scale.scale(), axis=y_scale.axis(y_title)), y2="hi:Q"
    )
    # A band at a single place has no width: a bar shows it.
    series = colour.shorthand.partition(":")[0]
    bar = (
        base.transform_joinaggregate(places=f"distinct({field})", groupby=[series])
        .transform_filter("datum.places === 1")
        .mark_rule(strokeWidth=7, opacity=0.25, aria=False)
        .encode(y=alt.Y("lo:Q", scale=y_scale.scale(), axis=y_scale.axis(y_title)), y2="hi:Q")
    )
    tooltip = [
        alt.Tooltip(colour.shorthand, title=str(colour.title) if isinstance(colour.title, str) else "strategy"),
        scene.place if field == "x" else alt.Tooltip(f"{field}:Q", title=title),
        alt.Tooltip("t:N", title=y_title.split(" (")[0]),
    ]
    rules = marked(lines, y_scale.scale(), y_scale.axis(y_title))
    median = base.mark_line(strokeWidth=2, aria=False).encode(y=up)
    points = base.mark_point(filled=True, size=48, opacity=1).encode(y=up, shape=shape, tooltip=tooltip)
    theirs, words = ([], []) if sources is None else source_layers(sources, scene, controls, up, across, (low, high))
    rings = [expectations(base, expected, y_scale.scale(), y_scale.axis(y_title))] if expected else []
    lost = []
    if crosses is not None and not crosses.empty:
        lost = [_crosses(crosses, scene, controls).encode(x=across, y=up, color=colour, tooltip=tooltip)]
    return alt.layer(band, bar, *rules, *theirs, median, points, *rings, *lost, *words)


def _crosses(rows: pd.DataFrame, scene: Scene, controls: Sequence[Control]) -> alt.Chart:
    """A cross for each of `rows`."""
    values = [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]
    chart = scene.filtered(alt.Chart(alt.InlineData(values=values)), controls)
    crosses: alt.Chart = chart.mark_point(filled=True, shape=_CROSS_MARK, size=260, opacity=1)
    return crosses


def expectations(base: alt.Chart, field: str, scale: alt.Scale, axis: alt.Axis) -> alt.Chart:
    """Hollow marks at what theory says: around the point where it is right."""
    there = base.transform_filter(f"isValid(datum.{field})").encode(
        y=alt.Y(f"{field}:Q", scale=scale, axis=axis), color=alt.value("var(--ink-2)")
    )
    rings: alt.Chart = there.mark_point(filled=False, size=120, strokeWidth=1.25, opacity=1, aria=False)
    return rings


def marked(lines: Sequence[Line], scale: alt.Scale, axis: alt.Axis) -> list[alt.Chart]:
    """Horizontal lines whose words stand to the right of the panel, where no data can be."""
    layers = []
    for value, words, edge in lines:
        rule = alt.Chart(alt.InlineData(values=[{"v": value, "w": words}])).encode(
            y=alt.Y("v:Q", scale=scale, axis=axis)
        )
        layers.append(rule.mark_rule(aria=False, strokeDash=[4, 3], color="var(--ink-2)"))
        text = rule.mark_text(align="left", baseline=edge, dx=5, fontSize=11, color="var(--ink-2)")
        layers.append(text.encode(x=alt.value("width"), text="w:N"))
    return layers
