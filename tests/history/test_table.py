"""A night's rows: what they hold, that there is one set of them, and that they outlive the case's shape."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gradbench.analysis.tables import Run
from gradbench.errors import UsageError
from gradbench.history.table import ADVISORY, FILE, FIRM, add_night, axes_of, read_history, rows_of
from gradbench.results import CELLS


def _run(folder: str, cells: list[dict[str, object]], axes: tuple[str, ...] = ("depth",), torch: str = "2.13.0") -> Run:
    """A run whose cells hold what they are given."""
    environment = {"device": "cpu", "device_name": "a CPU", "torch": torch}
    manifest = {"case": "mine", "profile": None, "sets": ["a=1", "b=2"], "threads": 1, "environment": environment}
    frame = pd.DataFrame([{"status": "ok", "verdict": "exact", "seed": 0, **cell} for cell in cells])
    for column in CELLS.columns:
        if column.name not in frame:
            frame[column.name] = "" if column.dtype == "string" else np.nan
    return Run(Path(folder), manifest, axes, {"cells": frame})


def test_a_row_is_a_setting_and_a_strategy_over_its_seeds() -> None:
    errors = [0.25, 4.0, 0.5]
    cells: list[dict[str, object]] = [
        {"strategy": "reconstruct", "depth": 3, "seed": seed, "rel_error": error, "changed_buffers": seed}
        for seed, error in enumerate(errors)
    ]
    cells[1]["verdict"] = "harmful"
    cells.append({"strategy": "reconstruct", "depth": 3, "seed": 3, "status": "oom", "verdict": ""})
    rows = rows_of(_run("out/mine/r1", cells), "2026-01-05").to_dict("records")
    assert len(rows) == 1
    row = rows[0]
    expected = {"night": "2026-01-05", "profile": "", "sets": "a=1 b=2", "run": "r1", "torch": "2.13.0"}
    expected |= {"device": "a CPU", "depth": 3, "strategy": "reconstruct", "verdict": "exact", "seeds": 4, "failed": 1}
    assert {name: row[name] for name in expected} == expected
    assert row["rel_error"] == np.median(errors)
    assert row["changed_buffers"] == 2
    assert math.isnan(row["accuracy"])


def test_only_columns_of_the_cells_are_kept_and_each_is_what_it_is_said_to_be() -> None:
    firm = {column.name: column.firm for column in CELLS.columns}
    assert all(firm[name] for name in FIRM)
    assert not any(firm[name] for name in ADVISORY)


def test_a_night_run_twice_has_one_set_of_rows(tmp_path: Path) -> None:
    def add(folder: str, night: str, error: float, torch: str = "2.13.0") -> None:
        cells: list[dict[str, object]] = [{"strategy": "stored", "depth": d, "rel_error": error * d} for d in (3, 12)]
        add_night(tmp_path, rows_of(_run(folder, cells, torch=torch), night))

    add("r2", "2026-01-06", 0.5)
    add("r1", "2026-01-05", 0.25)
    add("r3", "2026-01-06", np.inf)
    add("r4", "2026-01-06", 1 / 3, torch="2.9.0")
    add("r5", "2026-01-06", 2 / 3, torch="2.9.0")
    history = read_history(tmp_path)
    assert list(history["run"]) == ["r1", "r1", "r3", "r3", "r5", "r5"]
    assert list(history["night"]) == ["2026-01-05"] * 2 + ["2026-01-06"] * 4
    assert list(history["rel_error"]) == [0.25 * 3, 0.25 * 12, np.inf, np.inf, 2.0, 8.0]
    assert list(history["depth"]) == [3, 12] * 3
    assert history["accuracy"].isna().all()
    text = (tmp_path / FILE).read_bytes()
    add("r5", "2026-01-06", 2 / 3, torch="2.9.0")
    assert (tmp_path / FILE).read_bytes() == text


def test_a_case_that_gained_an_axis_keeps_its_history(tmp_path: Path) -> None:
    add_night(tmp_path, rows_of(_run("r1", [{"strategy": "stored", "depth": 3}]), "2026-01-05"))
    cell: dict[str, object] = {"strategy": "stored", "depth": 3, "model": "hybrid"}
    add_night(tmp_path, rows_of(_run("r2", [cell], axes=("depth", "model")), "2026-01-06"))
    add_night(tmp_path, rows_of(_run("r3", [cell], axes=("model",)), "2026-01-07"))
    history = read_history(tmp_path)
    assert axes_of(history) == ("depth", "model")
    assert history["depth"].tolist()[:2] == [3, 3]
    assert math.isnan(history["depth"][2])
    assert pd.isna(history["model"][0])
    assert list(history["model"][1:]) == ["hybrid", "hybrid"]


def test_no_history_is_an_empty_one(tmp_path: Path) -> None:
    history = read_history(tmp_path)
    assert history.empty
    assert {"night", "environment", "strategy", "rel_error"} <= set(history.columns)
    assert axes_of(history) == ()


@pytest.mark.parametrize("text", ["", "night,run\n", 'night,"run\n'])
def test_what_is_no_history_is_said_and_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    rows = rows_of(_run("r1", [{"strategy": "stored", "depth": 3}]), "2026-01-05")
    with pytest.raises(UsageError, match="history.csv"):
        add_night(tmp_path, rows)
    assert (tmp_path / FILE).read_text() == text
