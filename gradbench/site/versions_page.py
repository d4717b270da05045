"""The page of a case by PyTorch version: a chart and a table for each profile and device that has several versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pandas as pd

from gradbench.analysis.settings import ordered
from gradbench.report.build import charts
from gradbench.report.pack import compressed
from gradbench.report.page import render
from gradbench.report.words import ABSENT, axis_name, number
from gradbench.site.figures.over_versions import version_figure
from gradbench.site.links import link
from gradbench.site.versions import Versions

__all__ = ["versions_page", "versions_path"]


def versions_path(case: str) -> str:
    """The page's path from the root of the site."""
    return f"torch/{case}.html"


def versions_page(case: str, title: str, axes: Sequence[str], groups: Sequence[Versions]) -> str:
    """The HTML of the page of a case's `groups`; `axes` are those of its newest run."""
    to = partial(link, versions_path(case))
    settings = [group.settings() for group in groups]
    figures = [
        version_figure(f"versions-{place}", f"Does the error depend on PyTorch? {group.where}", rows, axes)
        for place, (group, rows) in enumerate(zip(groups, settings, strict=True))
    ]
    shown = [
        {
            "where": group.where,
            "figure": figure,
            "columns": [{"version": version, "url": to(row.entry.page)} for version, row in group.runs.items()],
            "rows": list(_rows(rows, axes, list(group.runs))),
        }
        for group, rows, figure in zip(groups, settings, figures, strict=True)
    ]
    return render(
        "versions",
        scripts=to("scripts"),
        package="gradbench.site",
        title=title,
        trail=(("gradbench", to("index.html")), (title, to(f"cases/{case}.html"))),
        place="by PyTorch version",
        axes=[axis_name(axis) for axis in axes],
        groups=shown,
        charts=compressed(charts(figures)) if any(figure.charts for figure in figures) else "",
    )


def _rows(settings: pd.DataFrame, axes: Sequence[str], versions: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row a setting and strategy, a field a version."""
    keys = [*axes, "strategy"]
    known = {
        (*(row[key] for key in keys), row["torch"]): (row["rel_error"], row["verdict"])
        for row in settings.to_dict("records")
    }
    rows = ordered(settings[settings["strategy"] != "stored"][keys].drop_duplicates(), axes)
    for row in rows.to_dict("records"):
        place = tuple(row[key] for key in keys)
        fields = [known.get((*place, version), (float("nan"), "")) for version in versions]
        yield {
            "place": [value if isinstance(value, str) else f"{value:g}" for value in place[:-1]],
            "strategy": place[-1],
            "errors": [
                {"text": number(error), "key": "" if number(error) == ABSENT else f"{error:.6g}", "verdict": verdict}
                for error, verdict in fields
            ],
        }
