"""A figure: a question, how to read the answer, one panel for each group, and what the reader may choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt
import pandas as pd

from gradbench.analysis.axes import Axes, axis_value, is_size, setting
from gradbench.report.palette import Palette
from gradbench.report.words import axis_name

__all__ = ["Chart", "Control", "Figure", "Key", "Scene", "missing"]


@dataclass(frozen=True)
class Control:
    """A choice above a figure: it sets the charts' parameter `choice_NAME` or, named "variant", picks the chart."""

    name: str
    label: str
    options: tuple[tuple[str, Any], ...]
    value: Any

    @property
    def chosen(self) -> str:
        """The choice that the page begins with, in words.

        >>> Control("step", "after steps", (("0", 0), ("150", 150)), 150).chosen
        'after 150 steps'
        >>> Control("part", "layers", (("all", "all"), ("the stem", "stem")), "stem").chosen
        'layers: the stem'
        """
        words = next(words for words, value in self.options if value == self.value)
        if self.name == "step":
            return f"after {words} step{'s' * (words != '1')}"
        return f"{self.label}{':' if isinstance(self.value, str) else ''} {words}"


@dataclass(frozen=True)
class Key:
    """One entry of a figure's key.

    Attributes:
        name: its words.
        colour: for CSS.
        symbol: an SVG path in a box of 12 by 12.
        value: what the field that decides colours holds where it is meant; None where it holds the name.
        selects: whether a reader can bring it to the fore.
    """

    name: str
    colour: str
    symbol: str
    value: Any = None
    selects: bool = True

    @property
    def means(self) -> Any:
        """The value of the field that decides colours."""
        return self.name if self.value is None else self.value


@dataclass(frozen=True)
class Chart:
    """One Vega-Lite specification, drawn once for each group, its dataset and the variant to which it belongs."""

    spec: dict[str, Any]
    data: str
    variant: str = ""


@dataclass(frozen=True)
class Figure:
    """What the page shows under one heading.

    Attributes:
        id: for links.
        question: the heading.
        reading: how to read it, with the direction that is better.
        charts: what is drawn; none where `missing` says why.
        groups: the panels: each chart is drawn for each group.
        controls: the reader's choices.
        keys: colours and symbols.
        data: the datasets that the panels name.
        missing: why there is no chart.
    """

    id: str
    question: str
    reading: str
    charts: tuple[Chart, ...] = ()
    groups: tuple[str, ...] = ()
    controls: tuple[Control, ...] = ()
    keys: tuple[Key, ...] = ()
    data: dict[str, pd.DataFrame] = field(default_factory=dict)
    missing: str = ""

    @property
    def chosen(self) -> list[str]:
        """The columns of its data that the reader's choices are compared with."""
        return [control.name for control in self.controls]


def missing(figure: str, question: str, why: str) -> Figure:
    """The figure without its chart, and why."""
    return Figure(figure, question, "", missing=why)


@dataclass(frozen=True)
class Scene:
    """What all figures of a page share: the axes' roles and the strategies' colours.

    Of a figure along an axis that crosses that of the page, `crossing` is true.
    """

    axes: Axes
    palette: Palette
    crossing: bool = False

    def named(self, figure: str) -> str:
        """The id of a figure, and the name of its dataset."""
        return f"{figure}-{self.axes.along}" if self.crossing else figure

    @property
    def against(self) -> str:
        """What a crossing figure runs along, and where, for the end of its question."""
        return f", against {self.along}{self.held}" if self.crossing else ""

    @property
    def held(self) -> str:
        """The values of all other axes at which a crossing figure stands, for the end of its question."""
        return f" ({setting(self.axes.reference)})" if self.crossing else ""

    @property
    def along(self) -> str:
        """The axis to run along, for axis titles."""
        return axis_name(self.axes.along)

    @property
    def label(self) -> str:
        """How a chart writes a value of that axis beside a tick, as an expression of Vega."""
        return "format(datum.value, '.4~s') + 'B'" if is_size(self.axes.along) else "toString(datum.value)"

    @property
    def place(self) -> alt.Tooltip:
        """The value of that axis, column `x`, where the reader points."""
        written = ".4~s" if is_size(self.axes.along) else alt.Undefined
        return alt.Tooltip("x:Q", title=self.along, format=written)

    def groups(self, frame: pd.DataFrame) -> tuple[str, ...]:
        """The panels' names, as they first appear."""
        return tuple(str(group) for group in frame["g"].unique())

    def strategies(self, frame: pd.DataFrame) -> list[str]:
        """The strategies of `frame` in the order of the run."""
        present = set(frame["s"])
        return [name for name in self.palette.places if name in present]

    def other_controls(self, frame: pd.DataFrame) -> tuple[Control, ...]:
        """A choice for each of the other numeric axes of which `frame` has several values."""
        controls = []
        for place, name in enumerate(self.axes.others):
            values = sorted(frame[f"o{place}"].unique().tolist())
            reference = self.axes.reference[name]
            if len(values) > 1:
                options = tuple((axis_value(name, value), value) for value in values)
                chosen = reference if reference in values else values[0]
                controls.append(Control(f"o{place}", axis_name(name), options, chosen))
        return tuple(controls)

    def choose(self, column: str, label: str, values: Sequence[Any], value: Any) -> tuple[Control, ...]:
        """A choice among the values of a column; none where there is no choice."""
        axis = self.axes.along if column == "x" else ""
        options = tuple((axis_value(axis, one), one) for one in values)
        return (Control(column, label, options, value),) if len(options) > 1 else ()

    def fullest(self, frame: pd.DataFrame, column: str) -> Any:
        """The last of a column's values at which as much of the panels and of the axis is filled as at any."""
        filled = frame.drop_duplicates(["g", "x", column])[column].value_counts()
        return max(filled[filled == filled.max()].index.tolist())

    def strategy_keys(self, frame: pd.DataFrame) -> tuple[Key, ...]:
        """The key of the strategies of `frame`."""
        return tuple(Key(name, self.palette.colour(name), self.palette.symbol(name)) for name in self.strategies(frame))

    def chart(self, data: str, controls: Sequence[Control]) -> alt.Chart:
        """A chart over the dataset `data`, filtered to one group and to the reader's choices."""
        return self.filtered(alt.Chart(alt.NamedData(name=data)), controls)

    def filtered(self, chart: alt.Chart, controls: Sequence[Control]) -> alt.Chart:
        """`chart` with only the rows of the panel's group and of the reader's choices."""
        chart = chart.transform_filter("datum.g === choice_group")
        for control in controls:
            if control.name != "variant":
                chart = chart.transform_filter(f"datum.{control.name} === choice_{control.name}")
        return chart

    def finish(
        self,
        chart: alt.Chart | alt.LayerChart | alt.FacetChart,
        controls: Sequence[Control],
        words: str,
        variant: str = "",
        height: int = 280,
        params: Sequence[dict[str, str]] = (),
    ) -> Chart:
        """The chart, as wide as its place on the page, with the group and the choices as parameters.

        `words` describe it to who cannot see it; `params` are further parameters, which may rest on the choices.
        """
        spec: dict[str, Any] = chart.to_dict(validate=False)
        spec |= {"width": "container", "height": height, "description": words}
        choices = [{"name": f"choice_{one.name}", "value": one.value} for one in controls if one.name != "variant"]
        spec["params"] = [{"name": "choice_group", "value": ""}, *choices, *params]
        for name in ("$schema", "config"):
            spec.pop(name, None)
        source = spec["data"] if "data" in spec else spec["layer"][0]["data"]
        return Chart(spec, source["name"], variant)
