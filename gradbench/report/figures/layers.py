"""Layer by depth: where in the network the gradients go wrong."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from gradbench.analysis.axes import setting
from gradbench.analysis.curves import layer_map
from gradbench.report.figure import Figure, Key, Scene, missing
from gradbench.report.palette import SHAPES
from gradbench.report.words import number

__all__ = ["layer_figure"]

#: Upper end of each class of noise ratio, its name and colour (CSS variables of the page's style).
_CLASSES = (
    (0.0, "0, exact", "var(--h0)"),
    (1e-4, "below 0.0001", "var(--h1)"),
    (1e-2, "below 0.01", "var(--h2)"),
    (0.1, "below 0.1", "var(--h3)"),
    (1.0, "below 1, comparable", "var(--h4)"),
    (10.0, "below 10, harmful", "var(--h5)"),
    (np.inf, "10 or more", "var(--h6)"),
)
#: Beyond so many rows are narrow, so that the chart fits on a screen.
_MANY_ROWS = 20
#: Up to so many each has its tick: by themselves ticks would stand at halves, too.
_FEW_TENSORS = 4
_BROKEN = ("not finite", "var(--h7)")


def layer_figure(gradients: pd.DataFrame, scene: Scene) -> Figure:
    """Which layers lose their gradients first?"""
    name, question = "layers", "Which layers lose their gradients first?"
    frame = layer_map(gradients, scene.axes)
    frame = frame[frame["y"].notna() | (frame["broken"] > 0)]
    if frame.empty:
        return missing(name, question, "The run measured no gradient of a single weight tensor.")
    values = frame["y"].to_numpy(np.float64)
    broken = (frame["broken"] >= 0.5).to_numpy()
    classes = np.searchsorted([limit for limit, _, _ in _CLASSES], np.where(broken, 0, values))
    frame = frame.assign(
        c=np.where(broken, len(_CLASSES), classes),
        t=["not finite" if bad else number(value) for value, bad in zip(values, broken, strict=True)],
    )
    frame = frame[["g", "x", "s", "step", "r", "name", "c", "t"]]
    strategies, steps = scene.strategies(frame), sorted(frame["step"].unique().tolist())
    wrong = frame.loc[frame["c"] > 0, "s"].unique()
    first = "reconstruct" if "reconstruct" in strategies else next((s for s in strategies if s in wrong), strategies[0])
    controls = (
        *scene.choose("s", "strategy", strategies, first),
        *scene.choose("step", "after steps", steps, scene.fullest(frame[frame["s"] == first], "step")),
    )
    colours = [colour for _, _, colour in _CLASSES] + [_BROKEN[1]]
    rows = sorted(frame["x"].unique().tolist())
    count = round(frame["r"].max()) + 1
    places = alt.Axis(title="weight tensor, counted from the image", grid=False, tickMinStep=1, format="d")
    if count <= _FEW_TENSORS:
        places.values = list(range(count + 1))
    chart = (
        scene.chart("layers", controls)
        .transform_calculate(end="datum.r + 1")
        .mark_rect(stroke="var(--paper)", strokeWidth=0.5)
        .encode(
            x=alt.X(
                "r:Q",
                scale=alt.Scale(nice=False, zero=True),
                axis=places,
            ),
            x2="end:Q",
            y=alt.Y(
                "x:O",
                scale=alt.Scale(domain=rows),
                axis=alt.Axis(title=scene.along, labelExpr=scene.label, grid=False, labelAngle=0),
            ),
            color=alt.Color("c:O", scale=alt.Scale(domain=list(range(len(colours))), range=colours), legend=None),
            tooltip=[
                alt.Tooltip("name:N", title="weight tensor"),
                scene.place,
                alt.Tooltip("t:N", title="noise ratio"),
            ],
        )
    )
    words = f"Heat map: noise ratio of every weight tensor for each {scene.along}."
    at = setting(scene.axes.reference)
    return Figure(
        name,
        question,
        "The noise ratio of every weight tensor, median over seeds"
        + (f", at {at}" if at else "")
        + ". Lower is better: blue is right, yellow as large as SGD noise, red above it.",
        (scene.finish(chart, controls, words, height=30 + (26 if len(rows) <= _MANY_ROWS else 14) * len(rows)),),
        scene.groups(frame),
        controls,
        tuple(
            Key(label, colour, SHAPES["square"], place)
            for place, (label, colour) in enumerate([*(row[1:] for row in _CLASSES), _BROKEN])
        ),
        {"layers": frame},
    )
