"""Every cell for the page: what was measured in it, its layers, and the command that runs it alone."""

from __future__ import annotations

import shlex
from functools import partial
from typing import Any

import pandas as pd

from gradbench.analysis.axes import axis_value, is_size
from gradbench.analysis.tables import Run
from gradbench.report.pack import by_column
from gradbench.shell import command_line

__all__ = ["packed_cells"]

_COLUMNS = (
    "strategy",
    "status",
    "reason",
    "notes",
    "verdict",
    "worst_parameter",
    "worst_step",
    "worst_noise_ratio",
    "noise_ratio",
    "rel_error",
    "min_snr_db",
    "accuracy",
    "time_ratio",
    "bytes_per_pixel",
    "counted_bytes_per_pixel",
    "changed_buffers",
    "repeat_error",
)
#: A page holds the layers of its cells up to so many rows; beyond, they are in the CSV files alone.
_MOST_ROWS = 60_000


def packed_cells(run: Run, command: str) -> dict[str, Any]:
    """What the page's script shows of a cell.

    Args:
        run: its tables.
        command: the command that repeats the run; empty if it is not known.
    """
    cells, gradients, activations = (run.tables[name] for name in ("cells", "gradients", "activations"))
    weights = gradients[(gradients["kind"] == "weight") & (gradients["strategy"] != "stored")]
    fits = len(weights) + len(activations) <= _MOST_ROWS
    places = cells[["cell", *run.axes, "seed", *_COLUMNS]]
    places = places.assign(**{axis: cells[axis].map(partial(axis_value, axis)) for axis in filter(is_size, run.axes)})
    return {
        "axes": list(run.axes),
        "command": _of_all_cells(command),
        "rows": by_column(places, digits=3, infinite=True),
        "gradients": _layers(weights, "parameter", "noise_ratio", "verdict") if fits else None,
        "activations": _layers(activations, "layer", "snr_db") if fits else None,
        "note": ""
        if fits
        else "The run has too many layers for this page: gradients.csv and activations.csv have them.",
    }


def _layers(frame: pd.DataFrame, name: str, value: str, verdict: str = "") -> dict[str, Any]:
    """The columns cell, s (strategy), step, name, y and, if there is one, v (verdict)."""
    columns = {"cell": "cell", "strategy": "s", "step": "step", name: "name", value: "y"}
    columns |= {verdict: "v"} if verdict else {}
    return by_column(frame[list(columns)].rename(columns=columns), digits=2 if verdict else 3, infinite=True)


def _of_all_cells(command: str) -> str:
    """The command without the cells that it chooses."""
    words = shlex.split(command)
    chosen = {place for place, word in enumerate(words) if word == "--cell"}
    return command_line(word for place, word in enumerate(words) if not {place, place - 1} & chosen)
