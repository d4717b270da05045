"""A source's values in a chart beside ours: a dashed line in the colour of the series that it belongs to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd

from gradbench.case.schema import Reference
from gradbench.report.figure import Control, Key, Scene
from gradbench.report.words import number

__all__ = ["Across", "Quantities", "source_keys", "source_layers", "source_rows"]

#: Tables and columns whose values a chart shows, each with what more is known of the rows that show it.
Quantities = Mapping[tuple[str, str], Mapping[str, Any]]

#: Where the words stand at an end in the left half and in the right half of a chart.
_SIDES: tuple[tuple[str, Literal["left", "right"], int], ...] = (("<=", "left", 2), (">", "right", 0))
#: The words of ends within this share of the panel's height stand in two lines, so many pixels apart.
_NEXT_TO, _LINE = 0.06, 13
#: What keeps words legible where a line runs through them.
_HALO: Mapping[str, Any] = {"stroke": "var(--paper)", "strokeWidth": 4, "strokeJoin": "round"}
_OTHER = "var(--ink-2)"
_DASHES = "M0 5h3v2h-3zM4.5 5h3v2h-3zM9 5h3v2h-3z"


@dataclass(frozen=True)
class Across:
    """What a chart runs along: what a reference calls it, its column of the chart's data, and its words."""

    name: str
    column: str
    title: str

    @classmethod
    def the_axis(cls, scene: Scene) -> Across:
        """The axis that the page's figures run along."""
        return cls(scene.axes.along, "x", scene.along)


def source_rows(
    references: Sequence[Reference],
    quantities: Quantities,
    frame: pd.DataFrame,
    scene: Scene,
    series: str = "",
    colours: Mapping[Any, str] = MappingProxyType({}),
    across: Across | None = None,
    logarithmic: bool = False,
    besides: Iterable[float] = (),
) -> pd.DataFrame:
    """A row for each value and each panel, choice and series of `frame` that it belongs to.

    Args:
        references: of the case.
        quantities: what the chart shows.
        frame: its data; columns g, that of `across` and those of its choices.
        scene: what the page's figures share.
        series: the column that decides colours, if there is one.
        colours: the colour of each of its values.
        across: what the chart runs along, by default the axis.
        logarithmic: whether its other scale is.
        besides: what that scale holds besides `lo` and `hi` of `frame` and the sources' values.

    Returns:
        the columns of `frame` that tell panels, choices and series apart, that of `across`, y, lo, hi, `f` (colour),
        `label`, `t` (for tooltips), `first` (whether the row's curve carries the words) and `line` (where they stand
        at its end: 1 is the first line below it, -1 the first above).
    """
    across = across or Across.the_axis(scene)
    apart = {"g", "s", "step", "part", "x"} - {across.column}
    columns = [name for name in map(str, frame) if name in apart or _is_axis(name)]
    ends = [float(frame[across.column].min()), float(frame[across.column].max())]
    rows: list[dict[str, Any]] = []
    for reference in references:
        known = quantities.get((reference.value.table, reference.value.column))
        if known is None or (reference.along or across.name) != across.name:
            continue
        points = reference.points or [(x, float(reference.level or 0)) for x in ends]
        options = [list(_options(name, frame, reference, known, scene, series)) for name in columns]
        for place in product(*options):
            here = dict(zip(columns, place, strict=True))
            colour = colours.get(here.get(series), _OTHER)
            for x, y in points:
                value = {across.column: x, "y": y, "lo": y, "hi": y, "t": number(y)}
                rows.append({**here, **value, "f": colour, "label": reference.label, "name": reference.name})
                rows[-1]["line"] = 1 if points[-1][1] < points[-2][1] else -1
    found = pd.DataFrame(rows, columns=[*columns, across.column, "y", "lo", "hi", "t", "f", "label", "name", "line"])
    apart_from_series = [name for name in columns if name != series]
    found["first"] = _carries_the_words(found, apart_from_series, across.column)
    ours = [frame[name] for name in ("lo", "hi") if name in frame]
    heights = np.concatenate([found["y"], *ours, list(besides)]).astype(np.float64)
    heights = np.log10(heights[heights > 0]) if logarithmic else heights
    heights = heights[np.isfinite(heights)]
    near = _NEXT_TO * float(np.ptp(heights)) if len(heights) else 0.0
    return _words_apart(found, apart_from_series, across.column, near, logarithmic)


def source_layers(
    rows: pd.DataFrame,
    scene: Scene,
    controls: Sequence[Control],
    up: alt.Y,
    x: alt.X,
    reach: tuple[float, float],
    across: Across | None = None,
) -> tuple[list[Any], list[Any]]:
    """The layers that draw `rows`: dashed lines with hollow points to hover, and the words at an end, for the top.

    `reach` is what the horizontal axis spans: words go to that side of the end on which there is more room, and below
    the end of a curve that comes from above.
    """
    if rows.empty:
        return [], []
    across = across or Across.the_axis(scene)
    rows = rows.drop(columns=["lo", "hi"])
    values = [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]
    base = scene.filtered(alt.Chart(alt.InlineData(values=values)), controls).encode(
        x=x, y=up, color=alt.Color("f:N", scale=None), detail=[*_series(rows), alt.Detail("name:N")]
    )
    tooltip = [
        alt.Tooltip("label:N", title="source"),
        alt.Tooltip(f"{across.column}:Q", title=across.title),
        alt.Tooltip("t:N", title="its value"),
    ]
    middle = sum(reach) / 2
    words = (
        base.transform_filter("datum.first")
        .transform_joinaggregate(end=f"max({across.column})", groupby=["name"])
        .transform_filter(f"datum.{across.column} === datum.end")
        .encode(text="label:N", color=alt.value("var(--ink-2)"))
    )
    curves = [
        base.mark_line(strokeDash=[5, 4], strokeWidth=1.5, aria=False),
        base.mark_point(filled=False, size=26, strokeWidth=1.25, opacity=1).encode(tooltip=tooltip),
    ]
    return curves, [
        words.transform_filter(f"datum.line === {line} && datum.{across.column} {side} {middle}").mark_text(
            align=align,
            baseline="top" if line > 0 else "bottom",
            dx=shift,
            dy=(9 + _LINE * (abs(line) - 1)) * (1 if line > 0 else -1),
            fontSize=11,
            aria=False,
            **edge,
        )
        for line in sorted(set(rows["line"]))
        for side, align, shift in _SIDES
        for edge in (_HALO, {})
    ]


def source_keys(*frames: pd.DataFrame) -> tuple[Key, ...]:
    """An entry of the key for each source in what `source_rows` returned for the charts of a figure."""
    labels = dict.fromkeys(label for rows in frames for label in rows["label"])
    return tuple(Key(f"dashed: {label}", _OTHER, _DASHES, selects=False) for label in labels)


def _series(rows: pd.DataFrame) -> list[alt.Detail]:
    return [alt.Detail(f"{name}:N") for name in map(str, rows) if name == "s" or _is_axis(name)]


def _is_axis(column: str) -> bool:
    """Whether a column is one of the other axes, `o0`, `o1`, ..."""
    return column[0] == "o" and column[1:].isdigit()


def _options(
    column: str, frame: pd.DataFrame, reference: Reference, known: Mapping[str, Any], scene: Scene, series: str
) -> Iterator[Any]:
    """The values of a column of `frame` for which the reference speaks."""
    present = frame[column].unique().tolist()
    where = reference.value.where
    if column == "g":
        for group in present:
            names = dict(zip(scene.axes.groups, str(group).split(" · "), strict=False))
            if all(value in map(str, _listed(where[axis])) for axis, value in names.items() if axis in where):
                yield group
        return
    if column in known:
        yield from (value for value in present if value == known[column])
        return
    named = {"s": "strategy", "step": "step", "x": scene.axes.along}
    axis = named.get(column) or scene.axes.others[int(column[1:])]
    if axis in where:
        yield from (value for value in present if value in _listed(where[axis]))
    elif column == "s" and series == "s":
        yield ""  # of no strategy in particular
    else:
        yield from present


def _listed(wanted: Any) -> list[Any]:
    return wanted if isinstance(wanted, list) else [wanted]


def _carries_the_words(rows: pd.DataFrame, shown_apart: Sequence[str], along: str) -> pd.Series:
    """Of the curves of a source that are shown at once, the one that ends highest, where most room is."""
    keys = [*shown_apart, "label"]
    ends = rows.sort_values(along, kind="stable").drop_duplicates([*keys, "name"], keep="last")
    highest = ends.sort_values("y", ascending=False, kind="stable").drop_duplicates(keys)
    curves = pd.MultiIndex.from_frame(highest[[*keys, "name"]])
    return pd.Series(pd.MultiIndex.from_frame(rows[[*keys, "name"]]).isin(curves), index=rows.index, dtype=bool)


def _words_apart(
    rows: pd.DataFrame, shown_apart: Sequence[str], along: str, close: float, logarithmic: bool
) -> pd.DataFrame:
    """`rows` where the words of curves that end `close`, shown at once, stand in lines of their own."""
    ends = rows[rows["first"]].sort_values(along, kind="stable").drop_duplicates([*shown_apart, "name"], keep="last")
    for _, panel in ends.groupby(list(shown_apart), sort=False):
        for side in (1, -1):
            taken: float | None = None
            line = 0
            # From the curves outwards: below them from the highest, above them from the lowest.
            for _, one in panel[panel["line"] == side].sort_values("y", ascending=side < 0).iterrows():
                height = math.log10(one["y"]) if logarithmic and one["y"] > 0 else float(one["y"])
                near = taken is not None and abs(taken - height) <= close
                taken, line = height, line + side if near else side
                there = (rows[[*shown_apart, "name"]] == one[[*shown_apart, "name"]]).all(axis=1)
                rows.loc[there, "line"] = line
    return rows
