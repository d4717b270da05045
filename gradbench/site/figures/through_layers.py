"""Two runs through the layers of a network: where a change sits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from gradbench.analysis.curves import layer_map
from gradbench.report.figure import Control, Figure, Key, Scene, missing
from gradbench.report.figures.series import Line, marked
from gradbench.report.palette import SHAPES
from gradbench.report.scales import ChosenScale, logarithmic
from gradbench.report.words import number

__all__ = ["QUESTION", "layer_figure", "layers_of_both", "most_changed"]

#: The figure's heading.
QUESTION = "In which layers did the error change?"
_KEYS = ["g", "x", "s", "step", "r", "name"]
_NOISE: tuple[Line, ...] = ((1.0, "SGD noise", "bottom"), (0.1, "a tenth of it", "top"))
_BASE, _NEW = ("var(--c0)", "circle"), ("var(--c1)", "diamond")


def layers_of_both(base: pd.DataFrame, new: pd.DataFrame, scene: Scene) -> pd.DataFrame:
    """The noise ratio of each weight tensor in two runs: g, x, s, step, r, name, base, new, change.

    `base` and `new` are tables of gradients. Only tensors of both runs have a row; `change` is |log(new / base)|, and
    infinite where only one of the two is zero or finite.
    """
    keys = [key for key in _KEYS if key != "x" or scene.axes.along]
    maps = [layer_map(gradients, scene.axes) for gradients in (base, new)]
    for one in maps:
        one.loc[one["broken"] >= 0.5, "y"] = math.inf
    both = maps[0][[*keys, "y"]].merge(maps[1][[*keys, "y"]], on=keys, suffixes=("_base", "_new"))
    both = both.rename(columns={"y_base": "base", "y_new": "new"}).dropna(subset=["base", "new"])
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.abs(np.log(both["new"].to_numpy(np.float64)) - np.log(both["base"].to_numpy(np.float64)))
    return both.assign(change=np.where(both["base"] == both["new"], 0.0, change))


def most_changed(both: pd.DataFrame, count: int) -> pd.DataFrame:
    """The weight tensors that changed most, at most `count` of them; those that did not change are left out."""
    return both[both["change"] > 0].sort_values("change", ascending=False, kind="stable").head(count)


def layer_figure(both: pd.DataFrame, scene: Scene) -> Figure:
    """The noise ratio of every weight tensor, base and new, along the network."""
    if both.empty:
        return missing("layers", QUESTION, "No weight tensor was measured in both runs.")
    if not (both["change"] > 0).any():
        return missing("layers", QUESTION, "In none: every weight tensor has the same noise ratio in both runs.")
    frame = pd.concat(
        [both.assign(which=which, y=both[which]).drop(columns=["base", "new", "change"]) for which in ("base", "new")]
    )
    largest = most_changed(both, 1).to_dict("records")[0]
    controls = (
        *(
            scene.choose("x", scene.along, sorted(frame["x"].unique().tolist()), largest["x"])
            if scene.axes.along
            else ()
        ),
        *scene.choose("s", "strategy", scene.strategies(frame), largest["s"]),
        *scene.choose("step", "after steps", sorted(frame["step"].unique().tolist()), largest["step"]),
    )
    scale = ChosenScale.over(frame, controls, lambda rows: logarithmic(rows, ["y"], show=[0.1, 1.0]))
    frame = scale.place(frame.assign(t=frame["y"].map(number)), ["y"])
    colour = alt.Color("which:N", scale=alt.Scale(domain=["base", "new"], range=[_BASE[0], _NEW[0]]), legend=None)
    shape = alt.Shape("which:N", scale=alt.Scale(domain=["base", "new"], range=[_BASE[1], _NEW[1]]), legend=None)
    title = "noise ratio (error² / SGD variance)"
    drawn = scene.chart("layers", controls).encode(
        x=alt.X(
            "r:Q",
            scale=alt.Scale(domain=[0, alt.ExprRef("last_tensor")], nice=False, padding=12),
            axis=alt.Axis(title="weight tensor, counted from the image", grid=False, tickMinStep=1, format="d"),
        ),
        y=alt.Y("y:Q", scale=scale.scale(), axis=scale.axis(title)),
        color=colour,
    )
    tooltip = [alt.Tooltip("which:N", title="run"), alt.Tooltip("name:N", title="weight tensor")]
    points = drawn.mark_point(filled=True, size=40, opacity=1).encode(
        shape=shape, tooltip=[*tooltip, alt.Tooltip("t:N", title="noise ratio")]
    )
    chart = alt.layer(
        drawn.mark_line(strokeWidth=1.5, aria=False), points, *marked(_NOISE, scale.scale(), scale.axis(title))
    )
    words = "Line chart: noise ratio of every weight tensor from the image on, one line for each of the two runs."
    return Figure(
        "layers",
        QUESTION,
        "The noise ratio of every weight tensor, median over seeds, in both runs; lower is better. The choices begin "
        "where the change is largest.",
        (scene.finish(chart, controls, words, params=[scale.param(), _last_tensor(frame, controls)]),),
        scene.groups(frame),
        controls,
        tuple(Key(name, colour, SHAPES[shape]) for name, (colour, shape) in (("base", _BASE), ("new", _NEW))),
        {"layers": frame},
    )


def _last_tensor(frame: pd.DataFrame, controls: Sequence[Control]) -> dict[str, str]:
    """The parameter with the last place of the networks that are chosen: a panel may have no row of its own there."""
    if "x" not in {control.name for control in controls}:
        return {"name": "last_tensor", "expr": str(int(frame["r"].max()))}
    last = frame.groupby("x")["r"].max().to_dict()
    return {"name": "last_tensor", "expr": f"{list(last.values())}[indexof({list(last)}, choice_x)]"}
