"""A run in one record: the verdict, the claims, the settings, what failed. Every output is a reader of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from gradbench.analysis.answer import answer
from gradbench.analysis.axes import Axes, read_axes
from gradbench.analysis.divergence import diverged_trainings
from gradbench.analysis.extrapolation import changes
from gradbench.analysis.faults import Fault, faults
from gradbench.analysis.floors import floors
from gradbench.analysis.held_against import held_against
from gradbench.analysis.noise import below_noise, too_few_minibatches
from gradbench.analysis.settings import by_setting, failures
from gradbench.analysis.tables import Run, read_run
from gradbench.analysis.units import claims_of
from gradbench.analysis.verdict import other_lines, verdict_sentence

__all__ = ["Summary", "summarise", "summarise_run"]


@dataclass(frozen=True)
class Summary:
    """What a run says.

    Attributes:
        sentence: what the run says first: the verdict on the strategy that the case names first, or for a case that
            asks of something else the claims that answer it.
        others: the verdicts on the other strategies, in lines that their names begin.
        footing: what the verdicts rest on: a reference other than stored training, the floors under every error, how
            far errors are below SGD's noise, and where that would change.
        warnings: which trainings diverged, and how many verdicts want more minibatches than the run measured.
        faults: what one step of a strategy leaves behind other than stored training does.
        claims: rows of `results.CLAIMS`, each with its `unit`.
        counts: rows of `cells` (a cell and a strategy) by status.
        by_setting: a row a setting, see `gradbench.analysis.settings.by_setting`.
        failures: a row for everything that is not ok, with its reason.
        axes: the roles of the matrix's axes.
    """

    sentence: str
    others: tuple[str, ...]
    footing: tuple[str, ...]
    warnings: tuple[str, ...]
    faults: tuple[Fault, ...]
    claims: tuple[dict[str, Any], ...]
    counts: dict[str, int]
    by_setting: pd.DataFrame
    failures: pd.DataFrame
    axes: Axes


def summarise(run_folder: Path) -> Summary:
    """Read the run in `run_folder` and summarise it.

    Raises:
        UsageError: the folder, a file or a column is missing.
    """
    return summarise_run(read_run(run_folder))


def summarise_run(run: Run) -> Summary:
    """Summarise a run that was read before."""
    cells = run.tables["cells"]
    axes = read_axes(cells, run.axes)
    settings = by_setting(cells, run.axes)
    first = next(iter(run.manifest.get("settings", {}).get("measure", {}).get("strategies", [])), "")
    answered = answer(run)
    return Summary(
        sentence=answered or verdict_sentence(settings, axes, first),
        others=other_lines(settings, axes, None if answered else first),
        footing=(*held_against(run), *floors(run), *below_noise(run), *changes(run)),
        warnings=(*diverged_trainings(run), *too_few_minibatches(run)),
        faults=faults(run),
        claims=tuple(claims_of(run)),
        counts={str(status): int(count) for status, count in cells["status"].value_counts().items()},
        by_setting=settings,
        failures=failures(cells, run.axes),
        axes=axes,
    )
