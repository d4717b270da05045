"""An audit as the folder of a run, which the report and everything else that reads runs can read."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradbench
from gradbench.case.expand import Cell
from gradbench.case.schema import Settings
from gradbench.files import make_writable, write_atomic
from gradbench.results import SCHEMA
from gradbench.runner.manifest import commit, now, run_id
from gradbench.runner.probe import describe
from gradbench.runner.tables import write_claims, write_tables

__all__ = ["write_folder"]


def write_folder(
    folder: Path,
    rows: dict[str, list[dict[str, Any]]],
    *,
    title: str,
    device: str,
    strategies: Sequence[str],
    seconds: float,
    command: str = "",
) -> None:
    """Write tables and manifest: a run of one cell.

    Args:
        folder: is created if it is not there.
        rows: of every measured table.
        title: what the report calls it.
        device: where the model is.
        strategies: those that were compared, in order.
        seconds: how long the measurement took.
        command: the command line that repeats it, if there is one.

    Raises:
        EnvironmentError: the folder cannot be written to.
    """
    make_writable(folder)
    run = run_id("audit")
    write_tables(folder, (), [(Cell(run[-6:], "audit", {}, 0, Settings()), rows)])
    write_claims(folder, [])
    manifest = {
        "schema": SCHEMA,
        "run": run,
        "state": "complete",
        "case": "audit",
        "title": title,
        "question": "Are the weight gradients still right, layer by layer, and at what cost?",
        "command": command,
        "gradbench": gradbench.__version__,
        "git": commit(),
        "axes": {},
        "seeds": [0],
        "settings": {"data": {"name": "the caller's minibatches"}, "measure": {"strategies": list(strategies)}},
        "environment": describe(device),
        "host": platform.node(),
        "finished": now(),
        "wall_seconds": round(seconds, 1),
    }
    write_atomic(folder / "manifest.json", json.dumps(manifest, indent=2) + "\n")
