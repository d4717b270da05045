"""Cells for nights: numbers that depend on the cell alone, with what `behaviour.json` plants beside the data.

`run_cell` invents them; `run_real_cell` measures a real network and plants into what it found. Every execution leaves a
line in `executions.txt`.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Rows = dict[str, list[dict[str, Any]]]


def probe(device: str, say: Callable[[str], None]) -> dict[str, Any]:
    found = {"device": "cpu", "devices": ["cpu"], "device_name": "a test", "torch": "2.13.0"}
    return {**found, "gpus": {}, "variables": {}}


def old_probe(device: str, say: Callable[[str], None]) -> dict[str, Any]:
    return {**probe(device, say), "torch": "2.9.0"}


def no_gpu(device: str, say: Callable[[str], None]) -> dict[str, Any]:
    from gradbench.errors import EnvironmentError

    raise EnvironmentError("--device cuda: torch finds no GPU here")


def fetch(settings: Any, say: Callable[[str], None]) -> None:
    """There is nothing to fetch."""


def report(folder: Path) -> Path:
    path = folder / "report.html"
    path.write_text("<p>A report.</p>")
    return path


def run_cell(cell: Any, begun: Path, device: str, gate: Any, say: Callable[[str], None]) -> Rows:
    with gate.shared():
        return _planted(cell, _invented(cell))


def run_real_cell(cell: Any, begun: Path, device: str, gate: Any, say: Callable[[str], None]) -> Rows:
    from gradbench.measure.cell import run_cell as measure

    return _planted(cell, measure(cell, begun, device, gate, say))


def _planted(cell: Any, rows: Rows) -> Rows:
    folder = Path(cell.settings.data.path).parent
    with (folder / "executions.txt").open("a") as file:
        file.write(f"{cell.id}\n")
    for behaviour in json.loads((folder / "behaviour.json").read_text()):
        _BEHAVIOURS[behaviour](cell, rows)
    return rows


def _invented(cell: Any) -> Rows:
    numbers = random.Random(f"{cell.settings.model.depth} {cell.seed}")
    names = ["stored", *cell.settings.measure.strategies]
    counts = {"missing_gradients": 0, "changed_buffers": 0, "repeat_error": 0.0, "saved_bytes": 1e6}
    rows: Rows = {"cells": [], "gradients": []}
    for name in names:
        error = 0.0 if name == "stored" else 10 ** numbers.uniform(-3, -2)
        verdict = "exact" if name == "stored" else "below-noise"
        cells = {"strategy": name, "status": "ok", "reason": "", "verdict": verdict, "rel_error": error, **counts}
        rows["cells"].append({**cells, "worst_parameter": "0.weight", "time_ratio": 1 + numbers.random()})
        for layer in range(cell.settings.model.depth if error else 0):
            rows["gradients"].append(
                {
                    "strategy": name, "step": 0, "parameter": f"{layer}.weight", "layer": layer, "kind": "weight",
                    "verdict": verdict, "rel_error": error * numbers.uniform(0.9, 1.1), "excess": 1e3,
                    "rel_error_truth": error, "noise_ratio": 1e-3, "noise_low": 9e-4, "noise_high": 1.1e-3,
                }
            )  # fmt: skip
    return rows


def _of(rows: Rows, table: str, strategy: str) -> list[dict[str, Any]]:
    return [row for row in rows[table] if row["strategy"] == strategy]


def _worse(cell: Any, rows: Rows) -> None:
    """30 % more error, give or take."""
    for row in (*_of(rows, "gradients", "approximate:4"), *_of(rows, "cells", "approximate:4")):
        row["rel_error"] *= random.Random(cell.seed).uniform(1.3, 1.31)


def _noisy(cell: Any, rows: Rows) -> None:
    """Other numbers of the same size every time, as where the machine does not repeat itself."""
    for row in _of(rows, "gradients", "approximate:4"):
        row["rel_error"] *= random.uniform(0.98, 1.02)


def _unrepeatable(cell: Any, rows: Rows) -> None:
    for row in _of(rows, "cells", "reconstruct"):
        row["repeat_error"] = 1e-6


def _buffers(cell: Any, rows: Rows) -> None:
    for row in _of(rows, "cells", "reconstruct"):
        row["changed_buffers"] = 2


def _raise(cell: Any, rows: Rows) -> None:
    if cell.settings.model.depth == 2 and cell.seed == 1:
        raise ValueError("planted")


def _hang(cell: Any, rows: Rows) -> None:
    if cell.settings.model.depth == 2 and cell.seed == 2:
        time.sleep(3600)


_BEHAVIOURS: dict[str, Callable[[Any, Rows], None]] = {
    "worse": _worse,
    "noisy": _noisy,
    "unrepeatable": _unrepeatable,
    "buffers": _buffers,
    "raise": _raise,
    "hang": _hang,
}
