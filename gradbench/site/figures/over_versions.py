"""The error of each strategy under each version of PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from gradbench.analysis.axes import read_axes
from gradbench.analysis.curves import place
from gradbench.report.figure import Figure, Scene, missing
from gradbench.report.palette import Palette
from gradbench.report.scales import ChosenScale, logarithmic
from gradbench.report.words import number

__all__ = ["version_figure"]


def version_figure(name: str, question: str, settings: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """Lines over the versions, the oldest first.

    Args:
        name: the figure's id, one for each figure of a page.
        question: its heading.
        settings: `by_setting`'s rows of every version with the column `torch`.
        axes: of the case's matrix.
    """
    settings = settings.assign(seed=0)
    roles = read_axes(settings, axes)
    scene = Scene(roles, Palette.of(dict.fromkeys(settings["strategy"])))
    frame = place(settings[settings["strategy"] != "stored"], roles).dropna(subset=["rel_error"])
    if frame.empty:
        return missing(name, question, "No error was measured.")
    keys = ["g", *(["x"] if roles.along else []), *(f"o{index}" for index in range(len(roles.others)))]
    frame = frame.assign(y=frame["rel_error"], t=frame["rel_error"].map(number))[[*keys, "s", "torch", "y", "t"]]
    depths = sorted(frame["x"].unique().tolist()) if roles.along else []
    controls = (
        *(scene.choose("x", scene.along, depths, depths[-1]) if depths else ()),
        *scene.other_controls(frame),
    )
    scale = ChosenScale.over(frame, controls, lambda rows: logarithmic(rows, ["y"]))
    frame = scale.place(frame, ["y"])
    versions, strategies = list(dict.fromkeys(settings["torch"])), scene.strategies(frame)
    title = "relative error |h \N{MINUS SIGN} g| / |g|"
    drawn = scene.chart(name, controls).encode(
        x=alt.X(
            "torch:N",
            scale=alt.Scale(type="point", domain=versions, padding=0.3),
            axis=alt.Axis(title="PyTorch", labelAngle=0, grid=False),
        ),
        y=alt.Y("y:Q", scale=scale.scale(), axis=scale.axis(title)),
        color=alt.Color("s:N", scale=scene.palette.colours(strategies), legend=None),
    )
    points = drawn.mark_point(filled=True, size=60, opacity=1).encode(
        shape=alt.Shape("s:N", scale=scene.palette.shapes(strategies), legend=None),
        tooltip=[
            alt.Tooltip("s:N", title="strategy"),
            alt.Tooltip("torch:N", title="PyTorch"),
            alt.Tooltip("t:N", title="relative error"),
        ],
    )
    chart = alt.layer(drawn.mark_line(strokeWidth=1.75, aria=False), points)
    words = "Line chart: relative error of the median weight tensor by version of PyTorch, one line for each strategy."
    return Figure(
        name,
        question,
        "Lower is better; flat means that the version does not matter. Medians over weight tensors, steps and seeds.",
        (scene.finish(chart, controls, words, params=[scale.param()], height=240),),
        scene.groups(frame),
        controls,
        scene.strategy_keys(frame),
        {name: frame},
    )
