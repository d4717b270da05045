"""Through the layers: where the rebuilt activations lose their SNR, and where gates flip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

import altair as alt
import numpy as np
import pandas as pd

from gradbench.analysis.curves import profile
from gradbench.case.schema import Reference
from gradbench.report.figure import Control, Figure, Key, Scene, missing
from gradbench.report.figures.series import EXPECTED, Line, expectations, marked
from gradbench.report.figures.sources import Across, source_keys, source_layers, source_rows
from gradbench.report.palette import SHAPES
from gradbench.report.scales import ChosenScale, decibels, logarithmic

__all__ = ["profile_figure"]

_KINDS = ("norm", "activation", "convolution", "coupling", "pooling", "user")
_MEASURES = (
    ("snr", "SNR", "SNR of the rebuilt input (dB)"),
    ("gates", "flipped gates", "share of gates with the wrong sign"),
    ("alpha", "local gain of SNR", "SNR of the input over SNR of the output"),
)


_POSITION = Across("position", "p", "position")


def profile_figure(activations: pd.DataFrame, scene: Scene, references: Sequence[Reference] = ()) -> Figure:
    """Where in the network does the error arise?"""
    name, question = "profile", "Where in the network does the error arise?"
    frame = profile(activations, scene.axes)
    if frame.empty:
        return missing(name, question, "No strategy of this run rebuilds activations, or they were not measured.")
    if frame["p"].nunique() == 1:
        return missing(name, question, "One layer alone is rebuilt.")
    steps = sorted(frame["step"].unique().tolist())
    frame = frame[frame["step"].isin([steps[0], steps[-1]])]
    strategies = scene.strategies(frame)
    controls = (
        *(
            scene.choose("x", scene.along, depths := sorted(frame["x"].unique().tolist()), depths[len(depths) // 2])
            if scene.axes.along
            else ()
        ),
        *scene.other_controls(frame),
        *scene.choose("s", "strategy", strategies, strategies[0]),
        *scene.choose("step", "after steps", sorted(frame["step"].unique().tolist()), steps[0]),
    )
    kinds = [kind for kind in _KINDS if kind in set(frame["kind"])]
    colours = [f"var(--c{(place + 1) % 8})" for place in range(len(kinds))]
    shapes = [list(SHAPES)[place] for place in range(len(kinds))]
    shown = [measure for measure in _MEASURES if frame[measure[0]].notna().any()]
    ours = frame.assign(lo=frame["snr"], hi=frame["snr"])
    sources = source_rows(references, {("activations", "snr_db"): {}}, ours, scene, across=_POSITION, besides=[0.0])
    across = alt.X(
        "p:Q",
        scale=alt.Scale(domain=[0, alt.ExprRef("reach")], nice=False, padding=12),
        axis=alt.Axis(title="position, 0 next to the image", grid=False, tickMinStep=1, format="d"),
    )
    reach = _reach(pd.concat([frame, sources]) if len(sources) else frame, controls)
    charts = []
    placed = frame
    for column, label, title in shown:
        drawn = [column, "theory"] if column == "alpha" else [column]
        fit = partial(decibels if column == "snr" else logarithmic, columns=drawn)
        theirs = sources.assign(snr=sources["y"]) if column == "snr" else sources.iloc[:0]
        scale = ChosenScale.over(pd.concat([frame, theirs]) if len(theirs) else frame, controls, fit)
        placed = placed.assign(**scale.place(frame, drawn)[drawn].apply(_rounded))
        base = scene.chart("profile", controls).transform_filter(f"isValid(datum.{column})")
        base = base.encode(x=across, y=alt.Y(f"{column}:Q", scale=scale.scale(), axis=scale.axis(title)))
        points = base.mark_point(filled=True, size=40, opacity=1).encode(
            color=alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=colours), legend=None),
            shape=alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=shapes), legend=None),
            tooltip=[
                alt.Tooltip("p:Q", title="position"),
                alt.Tooltip("kind:N", title="layer"),
                *(
                    alt.Tooltip(f"{one}:Q", title=names, format=".3~g")
                    for one, names in zip(drawn, (label, "in theory"), strict=False)
                ),
            ],
        )
        lines: tuple[Line, ...] = ((0.0, "0 dB", "bottom"),) if column == "snr" else ()
        rules = marked(lines, scale.scale(), scale.axis(title))
        up = alt.Y("y:Q", scale=scale.scale(), axis=scale.axis(title))
        dashed, named = source_layers(theirs, scene, controls, up, across, (0, float(frame["p"].max())), _POSITION)
        rings = [expectations(base, "theory", scale.scale(), scale.axis(title))] if column == "alpha" else []
        line = base.mark_line(strokeWidth=1, color="var(--ink-3)")
        chart = alt.layer(line, *dashed, points, *rings, *rules, *named)
        words = f"Chart: {label} of every rebuilt activation by its position in the network."
        charts.append(scene.finish(chart, controls, words, column, params=[scale.param(), reach]))
    variant = Control("variant", "measure", tuple((label, column) for column, label, _ in shown), shown[0][0])
    return Figure(
        name,
        question,
        "One point a layer whose input was rebuilt, median over seeds. The backward pass walks from right to left: "
        "higher is better for SNR and its local gain, lower for flipped gates. At 0 dB "
        "the error is as large as the signal. Hollow, of the local gain: what small white noise in a layer's output "
        "would leave, in closed form." + (" Dashed: what the source measured." if len(sources) else ""),
        tuple(charts),
        scene.groups(frame),
        (variant, *controls),
        (
            *(Key(kind, colour, SHAPES[shape]) for kind, colour, shape in zip(kinds, colours, shapes, strict=True)),
            *([EXPECTED] if frame["theory"].notna().any() else []),
            *source_keys(sources),
        ),
        {"profile": placed},
    )


def _reach(frame: pd.DataFrame, controls: Sequence[Control]) -> dict[str, str]:
    """The parameter that holds the last position of a panel's network, at the chosen depth where there is a choice."""
    chosen = any(control.name == "x" for control in controls)
    last: dict[str, dict[str, float]] = {}
    for keys, position in frame.groupby(["g", "x"] if chosen else ["g"])["p"].max().items():
        group, *place = keys if isinstance(keys, tuple) else (keys,)
        last.setdefault(str(group), {})["".join(f"{one:g}" for one in place)] = float(position)
    at = "choice_x" if chosen else "''"
    known = json.dumps(last, ensure_ascii=False)
    return {"name": "reach", "expr": f"(({known})[choice_group] || {{}})[{at}] || {float(frame['p'].max())}"}


def _rounded(values: pd.Series) -> pd.Series:
    """Three significant digits: the most that a chart of this size can show."""
    return values.map(lambda value: value if not np.isfinite(value) else float(f"{value:.3g}"))
