"""A case over its nights: a line a strategy, broken where nights were missed, ringed where a level changed for good."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import altair as alt
import pandas as pd

from gradbench.analysis.axes import read_axes
from gradbench.analysis.curves import place
from gradbench.analysis.statistics import adjusted
from gradbench.history.nights import with_missed
from gradbench.history.steps import step_p, steps
from gradbench.history.table import SERIES, axes_of
from gradbench.report.figure import Control, Figure, Scene, missing
from gradbench.report.palette import Palette
from gradbench.report.scales import ChosenScale, decibels_around, logarithmic, shares_around
from gradbench.report.words import number
from gradbench.site.figures.nights import Calendar, series_names

__all__ = ["Accepted", "night_figures"]

#: For each series, its values of `gradbench.history.table.SERIES`, the days (YYYY-MM-DD) with an accepted baseline.
Accepted = Mapping[tuple[str, ...], Sequence[str]]
#: What is not drawn on a logarithmic scale, and what is in decibels.
_SCALES = {"min_snr_db": decibels_around, "accuracy": shares_around}
_DECIBELS = ("min_snr_db",)
#: The false-discovery rate of the rings of one figure.
_RATE = 0.05


@dataclass(frozen=True)
class _Measure:
    column: str
    question: str
    better: str
    title: str


_MEASURES = (
    _Measure(
        "noise_ratio",
        "Did the error of the gradients move?",
        "Lower is better: the noise ratio of the median weight tensor.",
        "noise ratio (error² / SGD variance)",
    ),
    _Measure("min_snr_db", "Did the SNR move?", "Higher is better: the smallest of a rebuilt activation.", "SNR (dB)"),
    _Measure(
        "bytes_per_pixel",
        "Did the memory move?",
        "Lower is better: the peak of a step, divided by the pixels of the input.",
        "peak bytes per input pixel",
    ),
    _Measure("accuracy", "Did the accuracy move?", "Higher is better: after training.", "share classified right"),
)


def night_figures(history: pd.DataFrame, accepted: Accepted) -> list[Figure]:
    """A figure for each of error, SNR, memory and accuracy; `history` is what `read_history` returns."""
    if history["night"].nunique() < 2:
        why = "Fewer than two nights were recorded; `gradbench nightly` adds one."
        return [missing(f"nights-{one.column}", one.question, why) for one in _MEASURES]
    axes = read_axes(history, axes_of(history))
    scene = Scene(axes, Palette.of(dict.fromkeys(history["strategy"])))
    names = series_names(history)
    frame = place(history, axes)
    frame["v"] = [list(names).index(key) for key in zip(*(frame[name] for name in SERIES), strict=True)]
    calendar = Calendar.of(frame["night"].tolist())
    marks = [
        {"v": number, "d": calendar.place(day)}
        for number, key in enumerate(names)
        for day in sorted(set(accepted.get(key, ())))
        if day <= max(frame["night"])
    ]
    return [_figure(measure, frame, list(names.values()), calendar, marks, scene) for measure in _MEASURES]


def _figure(
    measure: _Measure,
    frame: pd.DataFrame,
    names: Sequence[str],
    calendar: Calendar,
    marks: Sequence[dict[str, int]],
    scene: Scene,
) -> Figure:
    name = f"nights-{measure.column}"
    known = frame.dropna(subset=[measure.column])
    if known.empty:
        return missing(name, measure.question, "No night measured it.")
    data = pd.concat(_lines(known, measure.column, calendar, scene), ignore_index=True)
    controls = _controls(data, names, scene)
    fit = _SCALES.get(measure.column, logarithmic)
    scale = ChosenScale.over(data, controls, partial(fit, columns=["y"]))
    data = scale.place(data, ["y"])
    strategies = scene.strategies(data)
    across = alt.X("d:Q", scale=alt.Scale(domain=[0, calendar.last], padding=12, nice=False), axis=calendar.axis())
    drawn = scene.chart(name, controls).encode(
        x=across,
        y=alt.Y("y:Q", scale=scale.scale(), axis=scale.axis(measure.title)),
        color=alt.Color("s:N", scale=scene.palette.colours(strategies), legend=None),
    )
    who = [alt.Tooltip("s:N", title="strategy"), alt.Tooltip("night:N", title="night")]
    value = alt.Tooltip("t:N", title=measure.title.split(" (")[0])
    points = drawn.transform_filter("isValid(datum.y)").encode(
        shape=alt.Shape("s:N", scale=scene.palette.shapes(strategies), legend=None),
        tooltip=[*who, value, alt.Tooltip("run:N", title="run")],
    )
    rings = drawn.transform_filter("datum.step !== ''").encode(tooltip=[*who, alt.Tooltip("step:N", title="changed")])
    chart = alt.layer(
        drawn.mark_line(strokeWidth=1.75, aria=False),
        points.mark_point(filled=True, size=30, opacity=1),
        rings.mark_point(filled=False, size=220, strokeWidth=2, opacity=1),
        *_baselines(marks, across, controls),
    )
    words = f"Line chart: {measure.title} over the nights, one line for each strategy."
    accepted = " Dashed: a baseline was accepted." if marks else ""
    return Figure(
        name,
        measure.question,
        f"{measure.better} Lines break where nights were missed; a ring is the first night at a level that changed for "
        f"good.{accepted}",
        (scene.finish(chart, controls, words, params=[scale.param()], height=240),),
        scene.groups(data),
        controls,
        scene.strategy_keys(data),
        {name: data},
    )


def _controls(data: pd.DataFrame, names: Sequence[str], scene: Scene) -> tuple[Control, ...]:
    """Which series, and at which setting."""
    present = sorted(set(data["v"]))
    series = Control("v", "where", tuple((names[one], one) for one in present), present[0])
    depths = sorted(data["x"].unique().tolist()) if scene.axes.along else []
    return (
        *((series,) if len(present) > 1 else ()),
        *(scene.choose("x", scene.along, depths, depths[-1]) if depths else ()),
        *scene.other_controls(data),
    )


def _lines(known: pd.DataFrame, column: str, calendar: Calendar, scene: Scene) -> Iterator[pd.DataFrame]:
    """A frame for each line: g, x, o*, s, v, d, night, run, y, t, and at a lasting change `step` in words."""
    others = [f"o{number}" for number in range(len(scene.axes.others))]
    keys = ["g", *(["x"] if scene.axes.along else []), *others, "s", "v"]
    nights = {int(series): with_missed(known["night"][known["v"] == series]) for series in known["v"].unique()}
    groups = [(key, group.set_index("night")) for key, group in known.groupby(keys, sort=False)]
    lasting = adjusted([step_p(group[column]) for _, group in groups]) <= _RATE
    for (key, group), changed in zip(groups, lasting, strict=True):
        place = dict(zip(keys, key, strict=True))
        line = group[[column, "run"]].reindex(nights[int(str(place["v"]))])
        found = (
            {one.night: one for one in steps(group[column], rate=_RATE, decibels=column in _DECIBELS)}
            if changed
            else {}
        )
        yield pd.DataFrame(
            {
                **place,
                "night": line.index,
                "d": [calendar.place(night) for night in line.index],
                "run": line["run"].to_numpy(),
                "y": line[column].to_numpy(),
                "t": line[column].map(number).to_numpy(),
                "step": [
                    f"{number(found[night].before)} to {number(found[night].after)}" if night in found else ""
                    for night in line.index
                ],
            }
        )


def _baselines(marks: Sequence[dict[str, int]], across: alt.X, controls: Sequence[Control]) -> list[alt.Chart]:
    """A dashed line at each day on which a baseline was accepted."""
    if not marks:
        return []
    chart = alt.Chart(alt.InlineData(values=list(marks)))
    if any(control.name == "v" for control in controls):
        chart = chart.transform_filter("datum.v === choice_v")
    return [chart.mark_rule(aria=False, strokeDash=[4, 3], color="var(--ink-3)").encode(x=across)]
