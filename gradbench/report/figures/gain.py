"""What undoing a layer costs: its local gain of SNR against a setting of the layer, measured and in theory."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from gradbench.analysis.curves import local_gain
from gradbench.case.schema import Reference
from gradbench.report.figure import Figure, Scene, missing
from gradbench.report.figures.series import EXPECTED, banded, with_text
from gradbench.report.figures.sources import source_keys, source_rows
from gradbench.report.scales import ChosenScale, logarithmic

__all__ = ["OF_LAYERS", "gain_figure"]

#: The axes that a layer's own gain depends on: along others it is that of another network.
OF_LAYERS = ("negative_slope", "norm_spread", "eps_i")


def gain_figure(activations: pd.DataFrame, scene: Scene, references: Sequence[Reference] = ()) -> Figure:
    """How much of the SNR does undoing a layer keep?"""
    name, question = "gain", "How much of the SNR does undoing a layer keep, and what does theory say?"
    frame = local_gain(activations, scene.axes)
    if frame.empty:
        return missing(name, question, "No strategy of this run rebuilds activations, or they were not measured.")
    strategies, steps = scene.strategies(frame), sorted(frame["step"].unique().tolist())
    kinds = frame["kind"].unique().tolist()
    controls = (
        *scene.other_controls(frame),
        *scene.choose("kind", "layers", kinds, "activation" if "activation" in kinds else kinds[0]),
        *scene.choose("step", "after steps", steps, steps[0]),
    )
    colours = {strategy: scene.palette.colour(strategy) for strategy in strategies}
    of_kinds = [
        source_rows(
            [one for one in references if one.value.where.get("kind", kind) == kind],
            {("activations", "alpha"): {}},
            frame[frame["kind"] == kind],
            scene,
            "s",
            colours,
            logarithmic=True,
        ).assign(kind=kind)
        for kind in kinds
    ]
    sources = pd.concat([one for one in of_kinds if len(one)] or of_kinds[:1])
    fit = pd.concat([one for one in (frame, frame.assign(y=frame["theory"]), sources) if len(one)])
    scale = ChosenScale.over(fit.reset_index(drop=True), controls, logarithmic)
    chart = banded(
        scene,
        "gain",
        controls,
        x=("x", scene.along, sorted(frame["x"].unique().tolist())),
        y_title="SNR of the input over SNR of the output",
        y_scale=scale,
        colour=alt.Color("s:N", scale=scene.palette.colours(strategies), legend=None, title="strategy"),
        shape=alt.Shape("s:N", scale=scene.palette.shapes(strategies), legend=None),
        expected="theory",
        sources=sources,
    )
    words = f"Line chart: SNR of a layer's rebuilt input over that of its output, against {scene.along}."
    return Figure(
        name,
        question,
        "Higher is better: 1 keeps all of the SNR of what the input is rebuilt from. Points are medians over layers "
        "and seeds, bands span all seeds. Hollow: what small white noise in the output would leave, in closed form."
        + (" Dashed: what the source has." if len(sources) else ""),
        (scene.finish(chart, controls, words, params=[scale.param()]),),
        scene.groups(frame),
        controls,
        (*scene.strategy_keys(frame), *([EXPECTED] if frame["theory"].notna().any() else []), *source_keys(sources)),
        {"gain": scale.place(with_text(frame), ["y", "lo", "hi", "theory"])},
    )
