"""Lines with a band over seeds: the shape that most figures share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import pandas as pd

from gradbench.report.figure import Control, Scene
from gradbench.report.scales import Scale
from gradbench.report.words import number

__all__ = ["banded", "with_text"]


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
    y_scale: Scale,
    colour: alt.Color,
    shape: alt.Shape,
    lines: Sequence[tuple[float, str]] = (),
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
        lines: horizontal lines to compare with, each with its words.
    """
    field, title, ticks = x
    wide = min(ticks) > 0 and max(ticks) / min(ticks) > 20
    x_scale = alt.Scale(type="log" if wide else "linear", domain=[min(ticks), max(ticks)], padding=12, nice=False)
    across = alt.X(
        f"{field}:Q",
        scale=x_scale,
        axis=alt.Axis(title=title, values=list(ticks), labelExpr="toString(datum.value)", grid=False),
    )
    up = alt.Y("y:Q", scale=y_scale.scale(), axis=y_scale.axis(y_title))
    base = scene.chart(data, controls).encode(x=across, color=colour)
    band = base.mark_area(opacity=0.13, aria=False).encode(
        y=alt.Y("lo:Q", scale=y_scale.scale(), axis=y_scale.axis(y_title)), y2="hi:Q"
    )
    tooltip = [
        alt.Tooltip(colour.shorthand, title=str(colour.title) if isinstance(colour.title, str) else "strategy"),
        alt.Tooltip(f"{field}:Q", title=title),
        alt.Tooltip("t:N", title=y_title.split(" (")[0]),
    ]
    layers: list[alt.Chart] = [band]
    words_above: list[alt.Chart] = []
    for value, words in lines:
        rule = alt.Chart(alt.InlineData(values=[{"v": value, "w": words}])).encode(
            y=alt.Y("v:Q", scale=y_scale.scale(), axis=y_scale.axis(y_title))
        )
        layers.append(rule.mark_rule(aria=False, strokeDash=[4, 3], color="var(--ink-2)"))
        word: dict[str, Any] = {"align": "left", "baseline": "bottom", "dx": 4, "dy": -3}
        halo: dict[str, Any] = {"stroke": "var(--paper)", "strokeWidth": 4, "strokeJoin": "round"}
        for look in (halo, {"color": "var(--ink-2)"}):
            words_above.append(rule.mark_text(**word, **look).encode(x=alt.value(0), text="w:N"))
    layers.append(base.mark_line(strokeWidth=2, aria=False).encode(y=up))
    layers.append(base.mark_point(filled=True, size=48, opacity=1).encode(y=up, shape=shape, tooltip=tooltip))
    return alt.layer(*layers, *words_above)
