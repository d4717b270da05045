"""What the gradients were held against, in words, where that is not stored training."""

from __future__ import annotations

import pandas as pd

from gradbench.analysis.tables import Run

__all__ = ["held_against", "the_reference"]


def held_against(run: Run) -> tuple[str, ...]:
    """Say for each reference other than `stored` where it is that. Runs of before schema 3 have no other."""
    cells = run.tables["cells"]
    references = _references(cells)
    sentences = []
    for reference in references[references != "stored"].unique():
        where = _where(cells[references == reference], cells, run.axes)
        sentences.append(
            f"{where or 'Throughout'}, gradients are held against those of {reference}, not of stored training: "
            f"{reference} itself is not judged there."
        )
    return tuple(sentences)


def the_reference(cells: pd.DataFrame) -> str:
    """Return what all cells are held against, by its name, or "reference" where that is not the same for all."""
    names = _references(cells).unique()
    return str(names[0]) if len(names) == 1 else "reference"


def _references(cells: pd.DataFrame) -> pd.Series:
    return cells["reference"].replace("", "stored").fillna("stored")


def _where(some: pd.DataFrame, cells: pd.DataFrame, axes: tuple[str, ...]) -> str:
    """The axes' values that tell these cells from the others: "At batch size 25000 and 50000"."""
    parts = []
    for axis in axes:
        values = list(dict.fromkeys(some[axis]))
        if len(values) < cells[axis].nunique():
            parts.append(f"{axis.replace('_', ' ').replace('.', ' ')} {' and '.join(map(str, values))}")
    return f"At {', '.join(parts)}" if parts else ""
