"""The worst rebuilt activation against depth, in decibels: an exponential fall is a straight line."""

from __future__ import annotations

import altair as alt
import pandas as pd

from gradbench.analysis.curves import lowest_snr
from gradbench.report.figure import Control, Figure, Key, Scene, missing
from gradbench.report.figures.series import banded, with_text
from gradbench.report.palette import SHAPES
from gradbench.report.scales import ChosenScale, decibels
from gradbench.report.words import axis_name, number

__all__ = ["snr_figure"]


def snr_figure(activations: pd.DataFrame, scene: Scene) -> Figure:
    """How clean are the rebuilt activations?"""
    name, question = "snr", "How clean are the rebuilt activations as the network grows?"
    if not scene.axes.along:
        return missing(name, question, "The case's matrix has no numeric axis to draw the SNR against.")
    frame = lowest_snr(activations, scene.axes)
    if frame.empty:
        return missing(name, question, "No strategy of this run rebuilds activations, or they were not measured.")
    strategies, steps = scene.strategies(frame), sorted(frame["step"].unique().tolist())
    coloured = next((place for place in range(len(scene.axes.others)) if frame[f"o{place}"].nunique() > 1), None)
    filters = [control for control in scene.other_controls(frame) if control.name != f"o{coloured}"]
    parts = [part for part in ("blocks", "stem") if part in set(frame["part"])]
    labels = {"blocks": "without the stem", "stem": "the stem"}
    controls: tuple[Control, ...] = (
        *filters,
        *scene.choose("s", "strategy", strategies, strategies[0]),
        *scene.choose("step", "after steps", steps, steps[0]),
    )
    if len(parts) > 1:
        controls += (Control("part", "layers", tuple((labels[part], part) for part in parts), parts[0]),)
    scale = ChosenScale.over(frame, controls, decibels)
    series, title = ("s", "strategy") if coloured is None else (f"o{coloured}", axis_name(scene.axes.others[coloured]))
    values = strategies if coloured is None else sorted(frame[series].unique().tolist())
    colours = [f"var(--q{round(4 * place / max(1, len(values) - 1))})" for place in range(len(values))]
    shapes = [list(SHAPES)[place % len(SHAPES)] for place in range(len(values))]
    data = scale.place(with_text(frame, lambda value: f"{number(value)} dB"))
    chart = banded(
        scene,
        "snr",
        controls,
        x=("x", scene.along, sorted(frame["x"].unique().tolist())),
        y_title="lowest SNR over layers (dB)",
        y_scale=scale,
        colour=alt.Color(f"{series}:N", scale=alt.Scale(domain=values, range=colours), legend=None, title=title),
        shape=alt.Shape(f"{series}:N", scale=alt.Scale(domain=values, range=shapes), legend=None),
        lines=((0.0, "0 dB", "bottom"),),
    )
    words = f"Line chart: lowest SNR of a rebuilt activation in decibels against {scene.along}."
    keys = [
        Key(f"{title} {value:g}" if coloured is not None else str(value), colour, SHAPES[shape])
        for value, colour, shape in zip(values, colours, shapes, strict=True)
    ]
    return Figure(
        name,
        question,
        "Higher is better. The signal-to-noise ratio of the worst rebuilt activation: a straight fall in decibels is "
        "an exponential loss, and at 0 dB the error is as large as the signal. Lines are medians, bands span all "
        "seeds.",
        (scene.finish(chart, controls, words, params=[scale.param()]),),
        scene.groups(frame),
        controls,
        tuple(keys),
        {"snr": data},
    )
