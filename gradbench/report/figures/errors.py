"""The error of the gradients against depth, on the scale of SGD's own noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd

from gradbench.analysis.curves import against_axis
from gradbench.case.schema import Reference
from gradbench.report.figure import Control, Figure, Scene, missing
from gradbench.report.figures.series import Line, banded, with_text
from gradbench.report.figures.sources import Quantities, source_keys, source_rows
from gradbench.report.scales import logarithmic

__all__ = ["error_figure"]

_METRICS = (
    ("worst_noise_ratio", "noise ratio, worst weight tensor", "noise ratio (error² / SGD variance)"),
    ("noise_ratio", "noise ratio, median weight tensor", "noise ratio (error² / SGD variance)"),
    ("rel_error", "relative error, median weight tensor", "relative error |h \N{MINUS SIGN} g| / |g|"),
)
_NOISE_LINES: tuple[Line, ...] = ((1.0, "SGD noise", "bottom"), (0.1, "a tenth of it", "top"))


def error_figure(cells: pd.DataFrame, scene: Scene, references: Sequence[Reference] = ()) -> Figure:
    """Is the error of the gradients larger than the noise of the minibatch?"""
    name = scene.named("errors")
    question = f"Is the error of the gradients larger than the noise of SGD{scene.against}?"
    measured = cells[cells["strategy"] != "stored"].copy()
    metrics = [metric for metric, _, _ in _METRICS]
    broken = measured["verdict"] == "broken"
    measured.loc[broken, metrics] = measured.loc[broken, metrics].fillna(math.inf)
    everything = against_axis(measured, scene.axes, "noise_ratio")
    if everything.empty:
        return missing(name, question, "The run compared no gradients with those of stored training.")
    others = scene.other_controls(everything)
    variant = Control("variant", "measure", tuple((label, metric) for metric, label, _ in _METRICS), _METRICS[0][0])
    data, charts, known = {}, [], []
    for metric, label, title in _METRICS:
        frame = against_axis(measured, scene.axes, metric)
        if frame.empty:
            continue
        lines = _NOISE_LINES if metric != "rel_error" else ()
        strategies = scene.strategies(frame)
        colours = {strategy: scene.palette.colour(strategy) for strategy in strategies}
        quantities: Quantities = {("cells", metric): {}, ("gradients", metric): {}}
        sources = source_rows(references, quantities, frame, scene, "s", colours, logarithmic=True)
        known.append(sources)
        scale = logarithmic(frame, show=[*(value for value, _, _ in lines), *sources["y"]])
        data[f"{name}-{metric}"] = scale.place(with_text(frame))
        chart = banded(
            scene,
            f"{name}-{metric}",
            others,
            x=("x", scene.along, sorted(everything["x"].unique().tolist())),
            y_title=title,
            y_scale=scale,
            colour=alt.Color("s:N", scale=scene.palette.colours(strategies), legend=None, title="strategy"),
            shape=alt.Shape("s:N", scale=scene.palette.shapes(strategies), legend=None),
            lines=lines,
            sources=sources,
        )
        words = f"Line chart: {label} against {scene.along}, one line for each strategy, logarithmic."
        charts.append(scene.finish(chart, others, words, metric))
    return Figure(
        name,
        question,
        "Lower is better. Dashed lines: an error as large as the noise of SGD, and a tenth of it. Below a tenth an "
        "error cannot be told from the draw of the minibatch; above the noise it steers training. Lines are medians, "
        "bands span all seeds; a point at 0 is exact, one at ∞ is off the scale or no number at all.",
        tuple(charts),
        scene.groups(everything),
        (variant, *others),
        (*scene.strategy_keys(everything), *source_keys(*known)),
        data,
    )
