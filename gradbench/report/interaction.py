"""What a reader can do with any chart: bring one entry of the key to the fore, and zoom.

Both are parameters that a chart gets on top of what it draws, so that a figure need not know of them. The page's script
sets them: `focus`, the values of the key's entries in the fore (empty: all are), and `zoom`, null or an object with the
limits `x` and `y`, and with `ticks` and `texts` for a vertical axis whose own ticks would no longer do.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gradbench.report.figure import Key

__all__ = ["focus_field", "interactive", "legend_labels", "with_legend", "zooms"]

#: How much remains to be seen of what is not in the fore.
_DIM = 0.12


def focus_field(spec: dict[str, Any]) -> str:
    """The field that the entries of a chart's key are values of: the one that decides colours; "" if none does."""
    return next((colour["field"] for layer in _layers(spec) if (colour := _coloured(layer))), "")


def interactive(spec: dict[str, Any]) -> dict[str, Any]:
    """A copy of the Vega-Lite `spec` with the parameters `focus` and `zoom`, which its marks and scales heed."""
    spec = copy.deepcopy(spec)
    field = focus_field(spec)
    for layer in _layers(spec):
        mark = layer["mark"] = {"type": layer["mark"]} if isinstance(layer["mark"], str) else layer["mark"]
        encoding = layer.setdefault("encoding", {})
        if mark["type"] == "text":
            _hide_outside(encoding)
        else:
            mark["clip"] = {"expr": "zoom !== null"}
            if field and "opacity" not in encoding and field in _fields(encoding):
                _dim(encoding, field, mark.get("opacity", 1))
        for channel in ("x", "y"):
            if _is_of_numbers(layer, channel):
                _zoomable(encoding[channel], channel)
    spec["params"] = [*spec.get("params", []), {"name": "focus", "value": []}, {"name": "zoom", "value": None}]
    return spec


def zooms(spec: dict[str, Any]) -> list[str]:
    """The axes on which a chart can be zoomed, "x" and "y": those of numbers."""
    found = {channel for layer in _layers(spec) for channel in ("x", "y") if _is_of_numbers(layer, channel)}
    return sorted(found)


def legend_labels(keys: Sequence[Key]) -> str:
    """The expression that names the values of a legend as the key of the figure does."""
    values = json.dumps([key.means for key in keys if key.selects], ensure_ascii=False)
    names = json.dumps([key.name for key in keys if key.selects], ensure_ascii=False)
    return f"indexof({values}, datum.value) < 0 ? datum.label : {names}[indexof({values}, datum.value)]"


#: Of a legend in points: a line below a chart that is saved, what a symbol takes of it, and a letter.
_LINE, _SYMBOL, _LETTER = 380, 30, 5.5


def with_legend(spec: dict[str, Any], keys: Sequence[Key], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A copy of `spec` with a legend inside the chart for figures that are saved, without series that `rows` lack.

    The classes of a heat map are a scale, and all of them stand in it.
    """
    spec = copy.deepcopy(spec)
    names = {key.means: key.name for key in keys if key.selects}
    for layer in _layers(spec):
        for channel in ("color", "shape"):
            encoding = layer.get("encoding", {}).get(channel, {})
            if "field" in encoding and encoding.get("scale"):
                legend: dict[str, Any] = {"labelExpr": legend_labels(keys), "title": None}
                shown = names
                found = {row.get(encoding["field"]) for row in rows} - {None}
                if found and found <= set(names) and not _is_heat_map(layer):
                    shown = {value: name for value, name in names.items() if value in found}
                    legend["values"] = list(shown)
                encoding["legend"] = {**legend, "columns": _columns(list(shown.values()))}
    return spec


def _columns(names: Sequence[str]) -> int:
    """How many of these entries of a legend stand beside each other below a chart that is saved, four at most.

    >>> _columns(["stored", "checkpoint"]), _columns(["negative slope 0.05"] * 4), _columns([])
    (4, 2, 4)
    """
    wide = {
        count: sum(_SYMBOL + _LETTER * max(map(len, names[place::count]), default=0) for place in range(count))
        for count in (2, 3, 4)
    }
    return max((count for count, points in wide.items() if points <= _LINE), default=1)


def _is_heat_map(layer: dict[str, Any]) -> bool:
    mark = layer["mark"]
    return bool((mark["type"] if isinstance(mark, dict) else mark) == "rect")


def _layers(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The single views of a chart."""
    if "layer" in spec:
        for layer in spec["layer"]:
            yield from _layers(layer)
    elif "mark" in spec:
        yield spec


def _fields(encoding: dict[str, Any]) -> set[str]:
    """The fields that an encoding reads."""
    channels = [one for channel in encoding.values() for one in (channel if isinstance(channel, list) else [channel])]
    return {one["field"] for one in channels if "field" in one}


def _is_of_numbers(layer: dict[str, Any], channel: str) -> bool:
    return bool(layer.get("encoding", {}).get(channel, {}).get("type") == "quantitative")


def _coloured(layer: dict[str, Any]) -> dict[str, Any] | None:
    """The encoding of colour by a field through a scale, if the layer has one."""
    colour: dict[str, Any] = layer.get("encoding", {}).get("color", {})
    return colour if "field" in colour and colour.get("scale") else None


def _dim(encoding: dict[str, Any], field: str, full: float) -> None:
    test = f"!length(focus) || indexof(focus, datum[{json.dumps(field)}]) >= 0"
    encoding["opacity"] = {"condition": {"test": test, "value": full}, "value": full * _DIM}


def _hide_outside(encoding: dict[str, Any]) -> None:
    """Words beside a line go where the line goes when the reader zooms past it."""
    field = encoding.get("y", {}).get("field")
    if field and "opacity" not in encoding:
        test = f"zoom === null || !zoom.y || inrange(datum[{json.dumps(field)}], zoom.y)"
        encoding["opacity"] = {"condition": {"test": test, "value": 1}, "value": 0}


def _zoomable(encoding: dict[str, Any], channel: str) -> None:
    scale = encoding["scale"] = dict(encoding.get("scale") or {})
    scale["domainRaw"] = {"expr": f"zoom && zoom.{channel} ? zoom.{channel} : null"}
    axis = encoding.get("axis")
    if channel == "y" and axis and "values" in axis and "labelExpr" in axis:
        values = axis["values"]["expr"] if isinstance(axis["values"], dict) else json.dumps(axis["values"])
        axis["values"] = {"expr": f"zoom && zoom.ticks ? zoom.ticks : {values}"}
        axis["labelExpr"] = f"zoom && zoom.ticks ? zoom.texts[indexof(zoom.ticks, datum.value)] : {axis['labelExpr']}"
