"""The worst rebuilt activation against depth, in decibels: an exponential fall is a straight line."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from gradbench.analysis.axes import setting
from gradbench.analysis.curves import lowest_snr
from gradbench.case.schema import Reference
from gradbench.report.figure import Control, Figure, Key, Scene, missing
from gradbench.report.figures.series import banded, with_text
from gradbench.report.figures.sources import source_keys, source_rows
from gradbench.report.palette import SHAPES
from gradbench.report.scales import ChosenScale, decibels
from gradbench.report.words import axis_name, number

__all__ = ["snr_figure"]


#: A source that speaks of the lowest of all layers is drawn beside that of all layers.
_QUANTITIES = {("activations", "snr_db"): {"part": "all"}, ("cells", "min_snr_db"): {"part": "blocks"}}


def snr_figure(activations: pd.DataFrame, scene: Scene, references: Sequence[Reference] = ()) -> Figure:
    """How clean are the rebuilt activations?"""
    grows = "as the network grows" if scene.axes.along == "depth" else f"against {scene.along}{scene.held}"
    name, question = scene.named("snr"), f"How clean are the rebuilt activations {grows}?"
    frame = lowest_snr(activations, scene.axes)
    if frame.empty:
        return missing(name, question, "No strategy of this run rebuilds activations, or they were not measured.")
    strategies, steps = scene.strategies(frame), sorted(frame["step"].unique().tolist())
    coloured = next((place for place in range(len(scene.axes.others)) if frame[f"o{place}"].nunique() > 1), None)
    filters = [control for control in scene.other_controls(frame) if control.name != f"o{coloured}"]
    labels = {"all": "all", "blocks": "without the stem", "stem": "the stem"}
    parts = [part for part in labels if part in set(frame["part"])]
    controls: tuple[Control, ...] = (
        *filters,
        *scene.choose("s", "strategy", strategies, strategies[0]),
        *scene.choose("step", "after steps", steps, steps[0]),
    )
    if len(parts) > 1:
        controls += (Control("part", "layers", tuple((labels[part], part) for part in parts), parts[0]),)
    series, title = ("s", "strategy") if coloured is None else (f"o{coloured}", axis_name(scene.axes.others[coloured]))
    values = strategies if coloured is None else sorted(frame[series].unique().tolist())
    colours = [f"var(--q{round(4 * place / max(1, len(values) - 1))})" for place in range(len(values))]
    shapes = [list(SHAPES)[place % len(SHAPES)] for place in range(len(values))]
    known = dict(zip(values, colours, strict=True))
    sources = source_rows(references, _QUANTITIES, frame, scene, series, known, besides=[0.0])
    scale = ChosenScale.over(pd.concat([frame, sources]) if len(sources) else frame, controls, decibels)
    data = scale.place(with_text(frame, lambda value: f"{number(value)} dB"))
    chart = banded(
        scene,
        name,
        controls,
        x=("x", scene.along, sorted(frame["x"].unique().tolist())),
        y_title="lowest SNR over layers (dB)",
        y_scale=scale,
        colour=alt.Color(f"{series}:N", scale=alt.Scale(domain=values, range=colours), legend=None, title=title),
        shape=alt.Shape(f"{series}:N", scale=alt.Scale(domain=values, range=shapes), legend=None),
        lines=((0.0, "0 dB", "bottom"),),
        sources=sources,
    )
    words = f"Line chart: lowest SNR of a rebuilt activation in decibels against {scene.along}."
    keys = [
        Key(
            str(value) if coloured is None else setting({scene.axes.others[coloured]: value}),
            colour,
            SHAPES[shape],
            value,
        )
        for value, colour, shape in zip(values, colours, shapes, strict=True)
    ]
    return Figure(
        name,
        question,
        "Higher is better. The signal-to-noise ratio of the worst rebuilt activation: a straight fall in decibels is "
        "an exponential loss, and at 0 dB the error is as large as the signal. Lines are medians, bands span all "
        "seeds." + (" Dashed: what the source measured." if len(sources) else ""),
        (scene.finish(chart, controls, words, params=[scale.param()]),),
        scene.groups(frame),
        controls,
        (*keys, *source_keys(sources)),
        {name: data},
    )
