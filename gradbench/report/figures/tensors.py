"""Tensor by tensor: the error of each weight gradient, between the floor of float64 and the noise of SGD."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd

from gradbench.analysis.curves import by_tensor
from gradbench.report.figure import Control, Figure, Key, Scene, missing
from gradbench.report.figures.series import with_text
from gradbench.report.scales import logarithmic
from gradbench.report.words import number

__all__ = ["tensor_figure"]

_TITLE = "relative error |h \N{MINUS SIGN} g| / |g|"
#: What errors are compared with: the column, its words, its dashes, and which edge of the words stands on the line.
_LIMITS: tuple[tuple[str, str, list[int], Literal["bottom", "top"]], ...] = (
    ("noise", "SGD noise", [5, 3], "bottom"),
    ("tenth", "a tenth of it", [5, 3], "top"),
    ("floor", "float64 floor", [1, 3], "top"),
)
_DASHED, _DOTTED = "M0 5h3v2h-3zM4.5 5h3v2h-3zM9 5h3v2h-3z", "M0 5h2v2h-2zM3.3 5h2v2h-2zM6.6 5h2v2h-2zM10 5h2v2h-2z"


def tensor_figure(gradients: pd.DataFrame, scene: Scene) -> Figure:
    """Which gradients are wrong, and by how much? The chart of a run without an axis of numbers."""
    name, question = "layers", "Which weight gradients are wrong, and by how much?"
    frame = by_tensor(gradients, scene.axes)
    compared = frame[(frame["s"] != "stored") & frame["y"].notna()]
    if compared.empty:
        return missing(name, question, "The run compared no gradients with those of stored training.")
    of_stored = frame[frame["s"] == "stored"]
    # The noise is in the rows of every strategy; how far float64 is from plain autograd, in those of `stored` alone.
    any_other = compared.drop_duplicates(["g", "step", "r"]).assign(floor=np.nan)
    limits = (any_other if of_stored.empty else of_stored).assign(tenth=lambda rows: rows["noise"] / np.sqrt(10))
    strategies, steps = scene.strategies(compared), sorted(compared["step"].unique().tolist())
    controls = scene.choose("step", "after steps", steps, steps[-1])
    shown = [limit for limit in _LIMITS if limits[limit[0]].gt(0).any()]
    known = limits[[column for column, *_ in shown]].to_numpy(np.float64).ravel()
    scale = logarithmic(compared, show=known[np.isfinite(known) & (known > 0)].tolist())
    data = scale.place(with_text(compared)).assign(q=compared["q"].map(number)).drop(columns=["noise", "floor"])
    across = alt.X(
        "r:Q",
        scale=alt.Scale(nice=False, padding=12),
        axis=alt.Axis(title="weight tensor, counted from the image", grid=False, tickMinStep=1, format="d"),
    )
    up = alt.Y("y:Q", scale=scale.scale(), axis=scale.axis(_TITLE))
    base = scene.chart("layers", controls).encode(
        x=across, y=up, color=alt.Color("s:N", scale=scene.palette.colours(strategies), legend=None)
    )
    points = base.mark_point(filled=True, size=44, opacity=1).encode(
        shape=alt.Shape("s:N", scale=scene.palette.shapes(strategies), legend=None),
        tooltip=[
            alt.Tooltip("name:N", title="weight tensor"),
            alt.Tooltip("s:N", title="strategy"),
            alt.Tooltip("t:N", title="relative error"),
            alt.Tooltip("q:N", title="noise ratio"),
            alt.Tooltip("v:N", title="verdict"),
        ],
    )
    lines = [layer for limit in shown for layer in _limit(limits, limit, scene, controls, across, up.copy(), scale.low)]
    words = (
        "Line chart: relative error of the gradient of every weight tensor, one line for each strategy, logarithmic."
    )
    return Figure(
        name,
        question,
        "Lower is better. Above the upper dashed line an error is larger than the noise of SGD in that gradient; below "
        "the lower one, a tenth of the noise in power, it cannot be told from the draw of the minibatch. Dotted: how "
        "far plain autograd itself is from float64. A point at 0 is exact, one at ∞ is no number at all.",
        (scene.finish(alt.layer(base.mark_line(strokeWidth=1.5, aria=False), *lines, points), controls, words),),
        scene.groups(compared),
        controls,
        (*scene.strategy_keys(compared), *_limit_keys([column for column, *_ in shown])),
        {"layers": data},
    )


def _limit(
    limits: pd.DataFrame,
    limit: tuple[str, str, list[int], Literal["bottom", "top"]],
    scene: Scene,
    controls: Sequence[Control],
    across: alt.X,
    up: alt.Y,
    low: float,
) -> list[alt.Chart]:
    """A line through the tensors, and its words to the right of the panel."""
    column, words, dashes, edge = limit
    rows = limits[limits[column].gt(0)].assign(y=limits[column].clip(low))
    last = rows.groupby(["g", "step"])["r"].transform("max")
    values = rows.assign(last=rows["r"] == last)[["g", "step", "r", "y", "last"]]
    found: list[dict[str, Any]] = [{str(key): value for key, value in row.items()} for row in values.to_dict("records")]
    base = scene.filtered(alt.Chart(alt.InlineData(values=found)), controls).encode(x=across, y=up)
    text = base.transform_filter("datum.last").mark_text(
        align="left", baseline=edge, dx=5, fontSize=11, color="var(--ink-2)", text=words
    )
    return [
        base.mark_line(strokeDash=dashes, strokeWidth=1.25, color="var(--ink-2)", aria=False),
        text.encode(x=alt.value("width")),
    ]


def _limit_keys(columns: Sequence[str]) -> Iterator[Key]:
    if "noise" in columns:
        yield Key("dashed: SGD noise, and a tenth of it in power", "var(--ink-2)", _DASHED, selects=False)
    if "floor" in columns:
        yield Key("dotted: float64 floor", "var(--ink-2)", _DOTTED, selects=False)
