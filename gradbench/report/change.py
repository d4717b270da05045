"""What changed since the run before: the same case, profile, settings and environment."""

from __future__ import annotations

from gradbench.analysis.tables import Run, read_run
from gradbench.compare.compare import compare
from gradbench.compare.comparison import Comparison
from gradbench.history.find import previous

__all__ = ["change_since"]


def change_since(run: Run) -> Comparison | None:
    """The run held against the one before it; None if it is the first.

    Raises:
        UsageError: the run before cannot be read.
    """
    before = previous(run.folder)
    return None if before is None else compare(read_run(before), run)
