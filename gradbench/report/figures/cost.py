"""What a strategy costs: memory against time, and memory as the network grows."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from gradbench.analysis.curves import against_axis, cost
from gradbench.analysis.held_against import the_reference
from gradbench.case.schema import Reference
from gradbench.report.figure import Control, Figure, Scene, missing
from gradbench.report.figures.series import banded, with_text
from gradbench.report.figures.sources import Quantities, source_keys, source_rows
from gradbench.report.scales import logarithmic

__all__ = ["cost_figure", "memory_figure"]

_NO_COST = "Time and memory were not measured in this run."
_BYTES = "peak bytes per input pixel"
_WORKSPACE = "On a GPU the peak includes the workspace of cuDNN's convolutions."


def cost_figure(cells: pd.DataFrame, scene: Scene) -> Figure:
    """What does the saved memory cost in time?"""
    name, question = "cost", "What does the saved memory cost in time?"
    frame = cost(cells, scene.axes)
    if frame.empty:
        return missing(name, question, _NO_COST)
    strategies, reference = scene.strategies(frame), the_reference(cells)
    scale, least, most = logarithmic(frame, ["bytes"]), float(frame["ratio"].min()), float(frame["ratio"].max())
    size = alt.Size("x:Q", scale=alt.Scale(range=[30, 220]), legend=None) if scene.axes.along else alt.SizeValue(100)
    places = [] if not scene.axes.along else [scene.place]
    chart = (
        scene.chart("cost", ())
        .mark_point(filled=True, opacity=0.75, stroke="var(--paper)", strokeWidth=0.75)
        .encode(
            size=size,
            x=alt.X(
                "ratio:Q",
                scale=alt.Scale(domain=[least, most], zero=False, padding=14),
                axis=alt.Axis(title=f"time of a step, {reference} = 1", format=".3~g", tickCount=6),
            ),
            y=alt.Y("bytes:Q", scale=scale.scale(), axis=scale.axis(_BYTES)),
            color=alt.Color("s:N", scale=scene.palette.colours(strategies), legend=None),
            shape=alt.Shape("s:N", scale=scene.palette.shapes(strategies), legend=None),
            tooltip=[
                alt.Tooltip("s:N", title="strategy"),
                *places,
                alt.Tooltip("bytes:Q", title="bytes per pixel", format=",.4~r"),
                alt.Tooltip("ratio:Q", title="time ratio", format=".3~g"),
            ],
        )
    )
    words = f"Scatter chart: peak bytes per input pixel against the time of a step relative to {reference}."
    sizes = f" Larger points are a larger {scene.along}." if scene.axes.along else ""
    return Figure(
        name,
        question,
        f"Down and to the left is better. One point a setting, median over seeds.{sizes} Times depend on the load of "
        f"the machine and are never judged. {_WORKSPACE}",
        (scene.finish(chart, (), words),),
        scene.groups(frame),
        (),
        scene.strategy_keys(frame),
        {"cost": frame},
    )


def memory_figure(cells: pd.DataFrame, scene: Scene, references: Sequence[Reference] = ()) -> Figure:
    """Does the memory grow with the network?"""
    name, question = "memory", "Does the memory grow with the network?"
    pixels = cells["peak_bytes"] / cells["bytes_per_pixel"]
    columns = {"peak": cells["bytes_per_pixel"], "saved": cells["saved_bytes"] / pixels}
    frames = {key: against_axis(cells.assign(bytes=column), scene.axes, "bytes") for key, column in columns.items()}
    shown = {key: frame for key, frame in frames.items() if len(frame)}
    if not shown:
        return missing(name, question, _NO_COST)
    first = next(iter(shown))
    controls = scene.other_controls(shown[first])
    labels = {"peak": "peak of a step", "saved": "kept between the passes"}
    variant = Control("variant", "memory", tuple((labels[key], key) for key in shown), first)
    titles = {"peak": _BYTES, "saved": "bytes kept between the passes, per input pixel"}
    data, charts, known = {}, [], []
    for key, frame in shown.items():
        strategies = scene.strategies(frame)
        colours = {strategy: scene.palette.colour(strategy) for strategy in strategies}
        quantities: Quantities = {("cells", "bytes_per_pixel"): {}} if key == "peak" else {}
        sources = source_rows(references, quantities, frame, scene, "s", colours, logarithmic=True)
        known.append(sources)
        scale = logarithmic(frame, show=sources["y"])
        data[f"memory-{key}"] = scale.place(with_text(frame))
        chart = banded(
            scene,
            f"memory-{key}",
            controls,
            x=("x", scene.along, sorted(frame["x"].unique().tolist())),
            y_title=titles[key],
            y_scale=scale,
            colour=alt.Color("s:N", scale=scene.palette.colours(strategies), legend=None, title="strategy"),
            shape=alt.Shape("s:N", scale=scene.palette.shapes(strategies), legend=None),
            sources=sources,
        )
        words = f"Line chart: {titles[key]}, against {scene.along}, one line for each strategy."
        charts.append(scene.finish(chart, controls, words, key))
    return Figure(
        name,
        question,
        "Lower is better, flat is best: the most memory alive in a step, or what is alive between the forward and the "
        "backward pass, above weights, optimiser state and batch, divided by the pixels of the input. " + _WORKSPACE,
        tuple(charts),
        scene.groups(shown[first]),
        (variant, *controls),
        (*scene.strategy_keys(shown[first]), *source_keys(*known)),
        data,
    )
