"""The page of a case by PyTorch version: a chart and a table for each profile and device that has several versions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from gradbench.analysis.axes import axis_value
from gradbench.analysis.settings import ordered
from gradbench.report.build import charts
from gradbench.report.pack import compressed
from gradbench.report.page import render
from gradbench.report.rows import Field
from gradbench.report.words import ABSENT, axis_name, number
from gradbench.site.figures.over_versions import version_figure
from gradbench.site.links import INDEX, case_path, link, versions_path
from gradbench.site.listed import Listed
from gradbench.site.shelf import Entry
from gradbench.site.versions import Versions

__all__ = ["versions_page"]


def versions_page(case: str, groups: Sequence[Versions], rows: Mapping[str, Listed]) -> str:
    """The HTML of the page of a case's `groups`; `rows` are its runs by their pages."""
    to = partial(link, versions_path(case))
    newest = [rows[entry.page] for group in groups for entry in group.runs.values()]
    axes = list(dict.fromkeys(axis for row in newest for axis in row.entry.manifest["axes"]))
    settings = [_settings(group, rows) for group in groups]
    figures = [
        version_figure(f"versions-{place}", f"Does the error depend on PyTorch? {group.where}", found, axes)
        for place, (group, found) in enumerate(zip(groups, settings, strict=True))
    ]
    shown = [
        {
            "where": group.where,
            "figure": figure,
            "columns": [{"version": version, "url": to(entry.page)} for version, entry in group.runs.items()],
            "rows": list(_rows(found, axes, list(group.runs))),
            "outcomes": [
                {
                    "version": version,
                    "url": to(one.pair.page),
                    "against": _torch(one.pair.base),
                    "sentence": one.sentence,
                }
                for version, entry in group.runs.items()
                for one in rows[entry.page].outcomes
                if "version" in one.pair.why
            ],
        }
        for group, found, figure in zip(groups, settings, figures, strict=True)
    ]
    return render(
        "versions",
        scripts=to("scripts"),
        package="gradbench.site",
        title=newest[-1].title,
        trail=(("gradbench", to(INDEX)), (newest[-1].title, to(case_path(case)))),
        place="by PyTorch version",
        axes=[axis_name(axis) for axis in axes],
        groups=shown,
        charts=compressed(charts(figures)) if any(figure.charts for figure in figures) else "",
    )


def _settings(group: Versions, rows: Mapping[str, Listed]) -> pd.DataFrame:
    """`by_setting`'s rows of all versions, with the column `torch`."""
    frames = [rows[entry.page].summary.by_setting.assign(torch=version) for version, entry in group.runs.items()]
    return pd.concat(frames, ignore_index=True)


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
            "place": [axis_value(axis, value) for axis, value in zip(axes, place[:-1], strict=True)],
            "strategy": place[-1],
            "errors": [
                {"text": number(error), "key": "" if number(error) == ABSENT else f"{error:.6g}", "verdict": verdict}
                for error, verdict in fields
            ],
            "spread": _spread([error for error, _ in fields]),
        }


def _torch(entry: Entry) -> str:
    return str((entry.manifest.get("environment") or {}).get("torch", ""))


def _spread(errors: Sequence[float]) -> Field:
    """The largest of some errors over the smallest."""
    known = [error for error in errors if not math.isnan(error)]
    if not known or max(known) == min(known):
        return Field("same" if len(known) > 1 else ABSENT, "1")
    ratio = max(known) / min(known) if min(known) > 0 else math.inf
    return Field(number(ratio), f"{ratio:.6g}")
