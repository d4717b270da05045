"""A run's figures as files for a paper: SVG, PNG at 300 dots an inch, and PDF, in the light palette with their keys."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import vl_convert

from gradbench.analysis.summary import summarise_run
from gradbench.analysis.tables import Run
from gradbench.errors import UsageError, did_you_mean
from gradbench.files import make_writable, write_atomic
from gradbench.report.figure import Figure, Scene
from gradbench.report.figures import figures
from gradbench.report.interaction import with_legend
from gradbench.report.pack import by_row
from gradbench.report.palette import Palette
from gradbench.report.style import CONFIG, resolved

__all__ = ["FORMATS", "formats_in", "write_figures"]

_LOWERED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
#: Width of a panel in points, so that two stand beside each other on a page; 300 dots an inch.
_WIDTH, _DOTS = 320, 300

#: Each format, and how it is made of an SVG.
FORMATS: Mapping[str, Callable[[str], str | bytes]] = {
    "svg": lambda svg: svg,
    "png": lambda svg: bytes(vl_convert.svg_to_png(svg, scale=1, ppi=_DOTS)),
    "pdf": lambda svg: bytes(vl_convert.svg_to_pdf(svg)),
}


def formats_in(text: str) -> list[str]:
    """The formats in a text such as "svg,pdf".

    Raises:
        UsageError: one of them is unknown.
    """
    found = list(dict.fromkeys(word.strip().lower() for word in text.split(",")))
    for word in found:
        if word not in FORMATS:
            near = did_you_mean(word, FORMATS)
            raise UsageError(f"--figures {word}: allowed are {', '.join(FORMATS)}, with commas between{near}")
    return found


def write_figures(run: Run, folder: Path, formats: Collection[str] = tuple(FORMATS)) -> list[Path]:
    """Write every panel of every figure of the run, with the choices that the page begins with and something at them.

    Args:
        run: its tables.
        folder: gets `FIGURE[-MEASURE][-PANEL].FORMAT`, for example `errors-noise-ratio-hybrid.pdf`.
        formats: some of `FORMATS`.

    Returns:
        the files.

    Raises:
        EnvironmentError: the folder cannot be written to.
    """
    make_writable(folder)
    cells = run.tables["cells"]
    scene = Scene(summarise_run(run).axes, Palette.of(cells["strategy"].unique()))
    written = []
    for name, spec in _panels(figures(run, scene)):
        svg = vl_convert.vegalite_to_svg(spec)
        for form in formats:
            path = folder / f"{name}.{form}"
            write_atomic(path, FORMATS[form](svg))
            written.append(path)
    return written


def _panels(shown: list[Figure]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the whole Vega-Lite specification of every panel that has something; no name comes twice."""
    taken: dict[str, int] = {}
    for figure in shown:
        for chart in figure.charts:
            rows = by_row(figure.data[chart.data], figure.chosen)
            inline = [layer.get("data", {}).get("values", []) for layer in chart.spec.get("layer", [])]
            for group in figure.groups:
                shown_here = [row for row in chain(rows, *inline) if _is_shown(row, figure, group)]
                if not shown_here:
                    continue
                name = _slug(figure.id, chart.variant, group)
                taken[name] = taken.get(name, 0) + 1
                spec = _panel(figure, with_legend(chart.spec, figure.keys, shown_here), group)
                spec["datasets"] = {**spec.get("datasets", {}), chart.data: rows}
                yield (name if taken[name] == 1 else f"{name}-{taken[name]}"), spec


def _is_shown(row: Mapping[str, Any], figure: Figure, group: str) -> bool:
    """Whether a panel has the row at the choices that the page begins with."""
    chosen = all(row.get(control.name, control.value) == control.value for control in figure.controls)
    return row.get("g") == group and chosen


def _panel(figure: Figure, spec: dict[str, Any], group: str) -> dict[str, Any]:
    """The specification of a chart for one panel, without its dataset."""
    values = {f"choice_{control.name}": control.value for control in figure.controls} | {"choice_group": group}
    chosen = [control.chosen for control in figure.controls if control.name != "variant"]
    spec = _in_plain_type(spec)
    return resolved(
        {
            **spec,
            "width": _WIDTH,
            "title": {"text": group or figure.question, "subtitle": ", ".join(chosen)},
            "params": [
                {**param, "value": values[param["name"]]} if param["name"] in values else param
                for param in spec["params"]
            ],
            "config": {**CONFIG, "background": "#ffffff"},
        }
    )


def _in_plain_type(spec: dict[str, Any]) -> dict[str, Any]:
    """`spec` with powers of ten as 1e-6: the fonts of many a machine, and of vl-convert itself, lack raised digits."""
    text = re.sub(
        "(·?)10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)",
        lambda found: f"{'' if found[1] else '1'}e{found[2].translate(_LOWERED)}",
        json.dumps(spec, ensure_ascii=False),
    )
    plain: dict[str, Any] = json.loads(text)
    return plain


def _slug(*parts: str) -> str:
    """Small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-")
