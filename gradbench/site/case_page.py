"""The page of a case: its newest verdict and claims, its numbers over the nights, and all its runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd

from gradbench.report.build import charts
from gradbench.report.pack import compressed
from gradbench.report.page import render
from gradbench.report.rows import claim_rows
from gradbench.site.figures.over_nights import Accepted, night_figures
from gradbench.site.links import INDEX, case_path, link
from gradbench.site.listed import Listed

__all__ = ["case_page"]


def case_page(case: str, runs: Sequence[Listed], history: pd.DataFrame, accepted: Accepted, versions: str) -> str:
    """The HTML of the page of a case.

    Args:
        case: the folder of its runs.
        runs: the oldest first, at least one.
        history: its nights, see `gradbench.history.table.read_history`.
        accepted: when its baselines were accepted.
        versions: the page that compares PyTorch versions, or nothing.
    """
    to = partial(link, case_path(case))
    figures = night_figures(history, accepted)
    return render(
        "case",
        scripts=to("scripts"),
        package="gradbench.site",
        trail=(("gradbench", to(INDEX)),),
        place=case,
        newest=runs[-1],
        rows=runs[::-1],
        claims=claim_rows(runs[-1].summary.claims),
        figures=figures,
        versions=versions,
        to=to,
        charts=compressed(charts(figures)) if any(figure.charts for figure in figures) else "",
    )
