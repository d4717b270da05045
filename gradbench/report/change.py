"""What changed since the run before: the same case, profile, settings and environment."""

from __future__ import annotations

from gradbench.analysis.tables import Run, read_run
from gradbench.compare.compare import compare
from gradbench.compare.comparison import Comparison
from gradbench.errors import UsageError
from gradbench.history.find import earlier

__all__ = ["change_since"]


def change_since(run: Run) -> Comparison | None:
    """The run held against the newest one before it whose tables can be read; None if there is none."""
    for folder in earlier(run.folder):
        try:
            before = read_run(folder)
        except UsageError:
            continue
        return compare(before, run)
    return None
