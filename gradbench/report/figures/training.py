"""Does training under a strategy still work: accuracy over the steps, and what it reaches at each depth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import altair as alt
import pandas as pd

from gradbench.analysis.axes import setting
from gradbench.analysis.curves import against_axis, diverged, over_steps
from gradbench.case.schema import Reference
from gradbench.report.figure import Chart, Control, Figure, Scene, missing
from gradbench.report.figures.series import CROSSED, banded, with_text
from gradbench.report.figures.sources import source_keys, source_rows
from gradbench.report.scales import shares_around
from gradbench.report.words import accuracy

__all__ = ["final_figure", "training_figure"]

_NO_TRAINING = "This run trained no network with a strategy, so there is no accuracy to show."
_TITLE = "test accuracy (share of images)"


def training_figure(training: pd.DataFrame, scene: Scene) -> Figure:
    """Does the network learn?"""
    name, question = "training", "Does the network still learn?"
    frame = over_steps(training, scene.axes)
    if frame.empty:
        return missing(name, question, _NO_TRAINING)
    along: tuple[Control, ...] = ()
    if scene.axes.along:
        values = sorted(frame["x"].unique().tolist())
        along = scene.choose("x", scene.along, values, values[-1])
        if along and frame.groupby("g")["x"].nunique().max() == 1:
            # Each panel has one place on the axis, and not all the same: a choice would leave some of them empty.
            places = frame["x"].map(lambda value: setting({scene.axes.along: value}))
            named = [" · ".join(filter(None, names)) for names in zip(frame["g"], places, strict=True)]
            frame, along = frame.assign(g=named), ()
    controls = (*along, *scene.other_controls(frame))
    return Figure(
        name,
        question,
        "Higher is better. Every strategy starts from the same weights and sees the same images in the same order; "
        "lines are medians, bands span all seeds.",
        (_chart("training", frame, scene, controls, "step", "optimiser steps"),),
        scene.groups(frame),
        controls,
        scene.strategy_keys(frame),
        {"training": with_text(frame, accuracy)},
    )


def final_figure(cells: pd.DataFrame, scene: Scene, references: Sequence[Reference] = ()) -> Figure:
    """What accuracy does each strategy reach?"""
    name, question = scene.named("accuracy"), f"What accuracy does each strategy reach{scene.against}?"
    frame, lost = against_axis(cells, scene.axes, "accuracy"), diverged(cells, scene.axes)
    if frame.empty:
        return missing(name, question, _NO_TRAINING if lost.empty else "Every training diverged.")
    controls = scene.other_controls(frame)
    colours = {strategy: scene.palette.colour(strategy) for strategy in scene.strategies(frame)}
    sources = source_rows(
        references, {("cells", "accuracy"): {}}, frame, scene, "s", colours, besides=[0.0] * len(lost)
    )
    words = [f"diverged in {n} of {of} seed{'s' * (of > 1)}" for n, of in zip(lost["n"], lost["of"], strict=True)]
    crosses = lost.assign(y=0.0, t=words).drop(columns=["n", "of"])
    chart = partial(_chart, sources=sources.assign(t=sources["y"].map(accuracy)), crosses=crosses)
    return Figure(
        name,
        question,
        "Higher is better. Test accuracy right after training; lines are medians, bands span all seeds"
        f"{'.' if crosses.empty else ', and seeds whose training diverged have none: a cross at the bottom.'}",
        (chart(name, frame, scene, controls, "x", scene.along),),
        scene.groups(frame),
        controls,
        (*scene.strategy_keys(frame), *([] if crosses.empty else [CROSSED]), *source_keys(sources)),
        {name: with_text(frame, accuracy)},
    )


def _chart(
    data: str,
    frame: pd.DataFrame,
    scene: Scene,
    controls: tuple[Control, ...],
    x: str,
    title: str,
    sources: pd.DataFrame | None = None,
    crosses: pd.DataFrame | None = None,
) -> Chart:
    strategies = scene.strategies(frame)
    filled = [one for one in (frame, sources, crosses) if one is not None and len(one)]
    scale = shares_around(pd.concat(filled), ("y", "lo", "hi"))
    values = sorted({*frame[x], *([] if crosses is None else crosses[x])})
    chart = banded(
        scene,
        data,
        controls,
        x=(x, title, values),
        y_title=_TITLE,
        y_scale=scale,
        colour=alt.Color("s:N", scale=scene.palette.colours(strategies), legend=None, title="strategy"),
        shape=alt.Shape("s:N", scale=scene.palette.shapes(strategies), legend=None),
        sources=sources,
        crosses=crosses,
    )
    words = f"Line chart: test accuracy against {title}, one line for each strategy."
    return scene.finish(chart, controls, words)
