"""Write `report.html` and `summary.md` for a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradbench.analysis.extrapolation import batch_size_checks
from gradbench.analysis.held_against import the_reference
from gradbench.analysis.summary import Summary, summarise_run
from gradbench.analysis.tables import Run, read_run
from gradbench.compare.comparison import Comparison
from gradbench.files import write_atomic
from gradbench.report.beside import beside_the_source
from gradbench.report.cells import packed_cells
from gradbench.report.change import change_since
from gradbench.report.facts import facts
from gradbench.report.figure import Figure, Scene
from gradbench.report.figures import figures
from gradbench.report.interaction import focus_field, interactive, legend_labels, zooms
from gradbench.report.markdown import markdown
from gradbench.report.pack import by_column, compressed
from gradbench.report.page import render
from gradbench.report.palette import Palette
from gradbench.report.rows import failure_rows, has_counts, setting_rows
from gradbench.report.state import state_section
from gradbench.report.style import CONFIG, light
from gradbench.report.words import axis_name, number
from gradbench.results import TABLES, VERDICTS

__all__ = ["Link", "build", "charts", "render_run"]

#: The words of a link, and its URL relative to the page.
Link = tuple[str, str]


def build(run_folder: Path) -> Path:
    """Write `report.html` and `summary.md` into the run's folder and return the path of the page.

    Raises:
        UsageError: the folder, a file or a column is missing.
        EnvironmentError: the folder cannot be written to.
    """
    run = read_run(run_folder)
    summary, change = summarise_run(run), change_since(run)
    beside = beside_the_source(run, summary.claims)
    text = markdown(summary, facts(run), run.axes, beside, change)
    write_atomic(run_folder / "summary.md", text)
    write_atomic(run_folder / "report.html", render_run(run, change=change, summary=summary))
    return run_folder / "report.html"


def render_run(
    run: Run,
    scripts: str | None = None,
    trail: Sequence[Link] = (),
    related: Sequence[Link] = (),
    change: Comparison | None = None,
    summary: Summary | None = None,
) -> str:
    """Return a run's page.

    Args:
        run: its tables.
        scripts: the folder of shared scripts, see `page.render`.
        trail: of a site, the pages above this one.
        related: of a site, other pages about this run.
        change: the run held against the one before it, see `change_since`.
        summary: of the run, where it is known.
    """
    summary, said = summary or summarise_run(run), facts(run)
    strategies = [str(name) for name in run.tables["cells"]["strategy"].unique()]
    palette = Palette.of(strategies)
    shown = figures(run, Scene(summary.axes, palette))
    colours = {name: palette.colour(name) for name in strategies}
    return render(
        "run",
        scripts=scripts,
        facts=said,
        change=change,
        summary=summary,
        beside=beside_the_source(run, summary.claims),
        figures=shown,
        axes=[axis_name(axis) for axis in run.axes],
        counted=has_counts(summary),
        settings=setting_rows(summary, run.tables["cells"], run.axes, colours),
        failures=failure_rows(summary.failures, run.axes),
        state=state_section(run),
        checks=batch_size_checks(run),
        number=number,
        tally=_tally(summary.claims),
        strategies=strategies,
        reference=the_reference(run.tables["cells"]),
        tables=[table for table in TABLES.values() if table.name != "claims"],
        verdicts=VERDICTS,
        charts=compressed(charts(shown) | {"cells": packed_cells(run, said.command)}),
        folder=run.folder.name,
        trail=trail,
        related=related,
    )


def charts(shown: Sequence[Figure]) -> dict[str, Any]:
    """What the page's script needs: the datasets once, the charts of each figure, and the look of all of them."""
    return {
        "config": CONFIG,
        "palette": light(),
        "data": {
            name: by_column(frame, exact=figure.chosen) for figure in shown for name, frame in figure.data.items()
        },
        "figures": {figure.id: _packed(figure) for figure in shown if figure.charts},
    }


def _packed(figure: Figure) -> dict[str, Any]:
    return {
        "controls": [{"name": one.name, "value": one.value} for one in figure.controls],
        "groups": figure.groups,
        "focus": focus_field(figure.charts[0].spec),
        "legend": legend_labels(figure.keys),
        "charts": [
            {
                "variant": chart.variant,
                "data": chart.data,
                "zooms": zooms(chart.spec),
                "spec": interactive(chart.spec),
            }
            for chart in figure.charts
        ],
    }


def _tally(claims: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    """How many claims have which status."""
    statuses = [str(claim["status"]) for claim in claims]
    return [(status, statuses.count(status)) for status in dict.fromkeys(statuses)]
