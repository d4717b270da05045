"""A source's values in a chart beside ours: a dashed line in the colour of the series that it belongs to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
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
#: Pixels from a curve to the first line of words, from line to line, of a line and around it, and of a panel's height.
_FIRST, _LINE, _TALL, _MARGIN, _HEIGHT = 9, 13, 9, 3, 280
#: What a letter takes of a panel's width, and what a panel has of height beyond what is drawn, in shares.
_LETTER, _OUTSIDE = 4.8 / 320, 0.1
#: At how many places along words it is asked what runs through them, and how many labels are placed in every order.
_SAMPLES, _ORDERED = 25, 3
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
        `label`, `t` (for tooltips), and where the words stand: `words` is whether they stand at this row, and `line` in
        which line from it (1 is the first below, -1 the first above).
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
    found = pd.DataFrame(rows, columns=[*columns, across.column, "y", "lo", "hi", "t", "f", "label", "name"])
    return _with_words(found, frame, [name for name in columns if name != series], across.column, logarithmic, besides)


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

    `reach` is what the horizontal axis spans: words go to that side of the end on which there is more room.
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
    words = base.transform_filter("datum.words").encode(text="label:N", color=alt.value("var(--ink-2)"))
    curves = [
        base.mark_line(strokeDash=[5, 4], strokeWidth=1.5, aria=False),
        base.mark_point(filled=False, size=26, strokeWidth=1.25, opacity=1).encode(tooltip=tooltip),
    ]
    return curves, [
        words.transform_filter(f"datum.line === {line} && datum.{across.column} {side} {middle}").mark_text(
            align=align,
            baseline="top" if line > 0 else "bottom",
            dx=shift,
            dy=(_FIRST + _LINE * (abs(line) - 1)) * (1 if line > 0 else -1),
            fontSize=11,
            aria=False,
            **edge,
        )
        for line in sorted(set(rows.loc[rows["words"], "line"]))
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


@dataclass(frozen=True)
class _Panel:
    """The scales of a panel, to shares of its width and height.

    Attributes:
        reach: the ends of the horizontal scale.
        heights: the lowest and the highest that the vertical one holds.
        wide: whether the horizontal one is logarithmic, as in `banded`.
        logarithmic: whether the vertical one is.
    """

    reach: tuple[float, float]
    heights: tuple[float, float]
    wide: bool
    logarithmic: bool

    @classmethod
    def of(cls, places: Iterable[float], heights: Iterable[float], logarithmic: bool) -> _Panel:
        """That of what is drawn: finite numbers, and above 0 on a logarithmic scale."""
        across, up = np.array(list(places), np.float64), np.array(list(heights), np.float64)
        up = up[np.isfinite(up) & ((up > 0) | (not logarithmic))]
        reach = float(across.min()), float(across.max())
        ends = (float(up.min()), float(up.max())) if len(up) else (0.0, 1.0)
        return cls(reach, ends, reach[0] > 0 and reach[1] / reach[0] > 20, logarithmic)

    def curve(self, places: pd.Series, heights: pd.Series) -> tuple[np.ndarray, np.ndarray]:
        """The points of a curve from left to right; those without a number are left out."""
        across = _shares(places, self.reach, self.wide)
        up = _shares(heights, self.heights, self.logarithmic)
        kept = np.isfinite(up) & np.isfinite(across)
        order = np.argsort(across[kept], kind="stable")
        return across[kept][order], up[kept][order]


def _shares(values: pd.Series, ends: tuple[float, float], logarithmic: bool) -> np.ndarray:
    """Where numbers lie between two ends: 0 at the first, 1 at the second."""
    numbers = np.array([*ends, *values], np.float64)
    if logarithmic:
        numbers = np.log(np.where(numbers > 0, numbers, np.nan))
    low, high = numbers[:2]
    shares: np.ndarray = (numbers[2:] - low) / ((high - low) or 1.0)
    return shares


@dataclass(frozen=True)
class _Words:
    """A place for a label: beside which row, in which line from it, and the box that it takes of the panel."""

    row: Any
    line: int
    left: float
    right: float
    low: float
    high: float

    @classmethod
    def beside(cls, row: Any, line: int, place: tuple[float, float], letters: int) -> _Words:
        """Words go to the side on which there is more room."""
        across, up = place
        wide = letters * _LETTER
        left = across if across <= 0.5 else across - wide
        near, far = ((_FIRST + _LINE * (abs(line) - 1) + reach) / _HEIGHT for reach in (-_MARGIN, _TALL + _MARGIN))
        low, high = (up - far, up - near) if line > 0 else (up + near, up + far)
        return cls(row, line, left, left + wide, low, high)

    def in_the_way(self, curves: Iterable[tuple[np.ndarray, np.ndarray]], others: Iterable[_Words]) -> float:
        """How much of them curves run through, other words cover and the panel has no room for: 0 is nothing.

        A line further from the curve counts as a tenth.
        """
        at = np.linspace(self.left, self.right, _SAMPLES)
        through = 0.0
        for across, up in curves:
            if len(across) > 1:
                height = np.interp(at, across, up, left=np.nan, right=np.nan)
                through += float(np.mean((height >= self.low) & (height <= self.high)))
        over = sum(
            self.left < one.right and one.left < self.right and self.low < one.high and one.low < self.high
            for one in others
        )
        outside = max(0.0, -self.left) + max(0.0, self.right - 1)
        outside += max(0.0, -_OUTSIDE - self.low) + max(0.0, self.high - 1 - _OUTSIDE)
        return through + 2 * over + 10 * outside + 0.1 * (abs(self.line) - 1)


def _with_words(
    rows: pd.DataFrame,
    ours: pd.DataFrame,
    shown_apart: Sequence[str],
    across: str,
    logarithmic: bool,
    besides: Iterable[float],
) -> pd.DataFrame:
    """`rows` with `words` and `line`: of what is shown at once each label has one place, where least is in its way."""
    rows = rows.assign(words=False, line=0)
    if rows.empty:
        return rows
    edges = [ours.assign(y=ours[name], name=name) for name in ("lo", "hi") if name in ours]
    every = pd.concat([rows, *edges], ignore_index=True)
    panel = _Panel.of(every[across], [*every["y"], *besides], logarithmic)
    curve = [*shown_apart, *(name for name in every if name in ("s", "name") or _is_axis(str(name)))]
    drawn = _places(every, shown_apart)
    for here, found in _places(rows, shown_apart).items():
        shown = every.iloc[drawn[here]]
        curves = [
            panel.curve(one[across], one["y"]) for _, one in shown.groupby(list(dict.fromkeys(curve)), sort=False)
        ]
        labels = [
            list(_tried(theirs, panel, across, len(str(label))))
            for label, theirs in rows.iloc[found].groupby("label", sort=False)
        ]
        for words in _placed([tried for tried in labels if tried], curves):
            rows.loc[words.row, ["words", "line"]] = [True, words.line]
    return rows


def _placed(labels: Sequence[Sequence[_Words]], curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[_Words]:
    """One of the places of each label. One after the other takes the best; of their orders that of least is taken."""
    best, least = list[_Words](), math.inf
    for order in permutations(labels) if len(labels) <= _ORDERED else [tuple(labels)]:
        taken: list[_Words] = []
        total = 0.0
        for tried in order:
            costs = [round(words.in_the_way(curves, taken), 1) for words in tried]
            total += min(costs)
            taken.append(tried[costs.index(min(costs))])
        if total < least:
            best, least = taken, total
    return best


def _places(frame: pd.DataFrame, columns: Sequence[str]) -> dict[tuple[Any, ...], list[int]]:
    """The rows, counted from 0, of each combination of values of some columns."""
    found: dict[tuple[Any, ...], list[int]] = {}
    values = zip(*(frame[name] for name in columns), strict=True) if columns else [()] * len(frame)
    for row, key in enumerate(values):
        found.setdefault(key, []).append(row)
    return found


def _tried(rows: pd.DataFrame, panel: _Panel, across: str, letters: int) -> Iterator[_Words]:
    """Where the words of a source could stand: beside both ends of its curves, the one that ends highest first.

    Of one end, first where the curve does not come from or go to.
    """
    drawn = rows[np.isfinite(_shares(rows["y"], panel.heights, panel.logarithmic))]
    curves = [one.sort_values(across, kind="stable") for _, one in drawn.groupby("name", sort=False)]
    for one in sorted(curves, key=lambda one: -float(one["y"].iloc[-1])):
        heights = one["y"].tolist()
        away = 1 if len(heights) > 1 and heights[-1] < heights[-2] else -1
        back = 1 if len(heights) > 1 and heights[0] < heights[1] else -1
        at, up = panel.curve(one[across], one["y"])
        for end, side in ((-1, away), (0, back)):
            for line in (side, -side, 2 * side, -2 * side):
                yield _Words.beside(one.index[end], line, (float(at[end]), float(up[end])), letters)
