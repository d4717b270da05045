"""Write `report.html` and `summary.md` for a run."""

from __future__ import annotations

import base64
import hashlib
import os
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from gradbench.analysis.summary import summarise_run
from gradbench.analysis.tables import read_run
from gradbench.errors import EnvironmentError
from gradbench.report.bundle import vega
from gradbench.report.facts import facts
from gradbench.report.figure import Figure, Scene
from gradbench.report.figures import figures
from gradbench.report.markdown import markdown
from gradbench.report.pack import by_column, compressed, for_script
from gradbench.report.palette import Palette
from gradbench.report.rows import claim_rows, setting_rows
from gradbench.report.words import axis_name
from gradbench.results import TABLES, VERDICTS

__all__ = ["build"]


def build(run_folder: Path) -> Path:
    """Write `report.html` and `summary.md` into the run's folder and return the path of the page.

    Raises:
        UsageError: the folder, a file or a column is missing.
        EnvironmentError: the folder cannot be written to.
    """
    run = read_run(run_folder)
    summary, said = summarise_run(run), facts(run)
    strategies = [str(name) for name in run.tables["cells"]["strategy"].unique()]
    palette = Palette.of(strategies)
    shown = figures(run, Scene(summary.axes, palette))
    colours = {name: palette.colour(name) for name in strategies}
    html = _render(
        facts=said,
        summary=summary,
        claims=claim_rows(summary.claims),
        figures=shown,
        axes=[axis_name(axis) for axis in run.axes],
        settings=setting_rows(summary, run.tables["cells"], run.axes, colours),
        failures=summary.failures.to_dict("records"),
        axis_keys=run.axes,
        strategies=strategies,
        tables=[table for table in TABLES.values() if table.name != "claims"],
        verdicts=VERDICTS,
        charts=compressed(_charts(shown)),
        folder=run_folder.name,
    )
    _write(run_folder / "summary.md", markdown(summary, said, run.axes))
    return _write(run_folder / "report.html", html)


def _charts(shown: list[Figure]) -> dict[str, Any]:
    """What the page's script needs: the datasets once, and the charts of each figure."""
    return {
        "data": {name: by_column(frame) for figure in shown for name, frame in figure.data.items()},
        "figures": {
            figure.id: {
                "controls": [{"name": one.name, "value": one.value} for one in figure.controls],
                "groups": figure.groups,
                "charts": [
                    {"variant": chart.variant, "data": chart.data, "spec": chart.spec} for chart in figure.charts
                ],
            }
            for figure in shown
            if figure.charts
        },
    }


def _render(**values: Any) -> str:
    assets = resources.files("gradbench.report") / "assets"
    scripts = [vega(), (assets / "page.js").read_text(encoding="utf-8")]
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["tojson"] = for_script
    template = environment.from_string((assets / "page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        **values,
        style=(assets / "page.css").read_text(encoding="utf-8"),
        scripts=scripts,
        script_hashes=[_hash(script) for script in scripts],
    )


def _hash(script: str) -> str:
    """The script's hash for the page's content security policy, so that no other script can run in it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _write(path: Path, text: str) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise EnvironmentError(f"{path}: cannot write it: {(error.strerror or str(error)).lower()}") from error
    return path
