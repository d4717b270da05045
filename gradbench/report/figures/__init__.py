"""The figures of a page, one file each, in the order in which a reader meets them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pandas as pd

from gradbench.analysis.answer import answering
from gradbench.analysis.tables import Run
from gradbench.case.schema import Reference
from gradbench.report.figure import Figure, Scene
from gradbench.report.figures.cost import cost_figure, memory_figure
from gradbench.report.figures.errors import error_figure
from gradbench.report.figures.gain import OF_LAYERS, gain_figure
from gradbench.report.figures.layers import layer_figure
from gradbench.report.figures.profile import profile_figure
from gradbench.report.figures.snr import snr_figure
from gradbench.report.figures.tensors import tensor_figure
from gradbench.report.figures.training import final_figure, training_figure
from gradbench.report.references import references_of

__all__ = ["figures", "with_crossings"]

#: The figure that shows a column, where a case asks of it and not of gradients.
_SHOWS = {
    **dict.fromkeys(("alpha", "alpha_ratio"), "gain"),
    **dict.fromkeys(("snr_db", "min_snr_db"), "snr"),
    **dict.fromkeys(("accuracy", "loss"), "accuracy"),
    **dict.fromkeys(("peak_bytes", "saved_bytes", "bytes_per_pixel"), "memory"),
}


def figures(run: Run, scene: Scene) -> list[Figure]:
    """Every figure of the run, with the values of its case's sources; without an axis of numbers, those that need none.

    The chart of the weight tensors stands in the place of those against the axis. Where claims answer the case and not
    its gradients, the figure that shows what the first of them is about comes first.
    """
    claims = answering(run)
    asked = _SHOWS.get(claims[0]["value"]["column"], "") if claims else ""
    return sorted(_in_order(run, scene), key=lambda figure: figure.id.partition("-")[0] != asked)


def _in_order(run: Run, scene: Scene) -> list[Figure]:
    """Gradients first, then activations, training and cost."""
    cells, gradients = run.tables["cells"], run.tables["gradients"]
    activations, training = run.tables["activations"], run.tables["training"]
    references = references_of(run)
    through = [profile_figure(activations, scene, references), training_figure(training, scene)]
    if not scene.axes.along:
        return [tensor_figure(gradients, scene), *through, cost_figure(cells, scene)]
    return [
        *with_crossings(error_figure, cells, run, scene),
        layer_figure(gradients, scene),
        *with_crossings(snr_figure, activations, run, scene),
        *([gain_figure(activations, scene, references)] if scene.axes.along in OF_LAYERS else []),
        *through,
        *with_crossings(final_figure, cells, run, scene),
        cost_figure(cells, scene),
        memory_figure(cells, scene, references),
    ]


def with_crossings(
    draw: Callable[[pd.DataFrame, Scene, Sequence[Reference]], Figure], table: pd.DataFrame, run: Run, scene: Scene
) -> Iterator[Figure]:
    """A figure along the page's axis, with one value of each axis that crosses it, and a figure along each of those."""
    references = references_of(run)
    crossings = scene.axes.crossings(run.tables["cells"])
    yield draw(scene.axes.uncrossed(table, crossings), scene, references)
    for axes in crossings:
        figure = draw(axes.at_reference(table), replace(scene, axes=axes, crossing=True), references)
        if figure.charts:
            yield figure
