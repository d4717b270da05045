"""Runs made of invented numbers with the noise of real ones: the tensors of a cell move together, and a bit alone."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gradbench.analysis.tables import Run, read_run
from gradbench.results import CHECKS, SCHEMA, TABLES

DEPTHS = (2, 4, 6)
SEEDS = 4
TENSORS = 5
STEPS = (0, 20)
#: Relative error, excess and verdict of each strategy's weight gradients.
STRATEGIES = {
    "stored": (0.0, 1.0, "exact"),
    "checkpoint": (0.0, 1.0, "exact"),
    "reconstruct": (4e-7, 1.3, "rounding"),
    "approximate:4": (0.16, 4e5, "below-noise"),
}
PLAIN = 3e-7  # plain autograd's own relative error
Simulate = Callable[..., Run]


@pytest.fixture
def simulate() -> Simulate:
    """`simulate(jitter=0.1, seed=3)`: a run whose numbers are those of every other one, times exp(jitter * normal)."""
    return _simulate


@cache
def _simulate(jitter: float = 0.0, seed: int = 0, depths: tuple[int, ...] = DEPTHS, seeds: int = SEEDS) -> Run:
    rng = np.random.default_rng(seed)
    cells, gradients, activations, state = [], [], [], []
    for number, depth in itertools.product(range(seeds), depths):
        lead = {"cell": f"cell-{depth}-{number}", "depth": depth, "seed": number}
        of_cell = np.random.default_rng([depth, number])
        for strategy, (error, excess, verdict) in STRATEGIES.items():
            level = 1 + 0.1 * of_cell.normal()
            moved = np.exp(jitter * rng.normal())
            rows = []
            for tensor, step in itertools.product(range(TENSORS), STEPS):
                own = moved * np.exp(jitter / 2 * rng.normal())
                rows.append(
                    {
                        "strategy": strategy,
                        "step": step,
                        "parameter": f"block{tensor}.weight",
                        "layer": tensor,
                        "kind": "weight",
                        "verdict": verdict,
                        "rel_error": error * level * own * (1 + tensor),
                        "rel_error_truth": PLAIN * excess * (own if error else 1.0),
                        "excess": excess * (own if error else 1.0),
                        "noise_ratio": (error * level * own) ** 2,
                        "noise_low": 0.8 * (error * level * own) ** 2,
                        "noise_high": 1.2 * (error * level * own) ** 2,
                    }
                )
            gradients += [{**lead, **row} for row in rows]
            if strategy == "reconstruct":
                snr = 80 + 8 * jitter * rng.normal()
                activations += [
                    {**lead, "strategy": strategy, "step": 0, "layer": f"norm{layer}", "position": layer, "snr_db": snr}
                    for layer in range(TENSORS)
                ]
            if number == 0:
                left = {"outcome": "exact", "says": "", "amount": 0.0}
                state += [{**lead, "strategy": strategy, "check": check, **left} for check in CHECKS]
            accuracy = 0.7 + 0.05 * of_cell.normal() + 0.1 * jitter * rng.normal()
            cost = {"peak_bytes": 1e6 * depth, "saved_bytes": 5e5, "left_bytes": 0.0, "step_seconds": 0.1}
            cells.append(
                {
                    **lead,
                    "strategy": strategy,
                    "status": "ok",
                    "reason": "",
                    "verdict": verdict,
                    "worst_parameter": "block0.weight",
                    "worst_step": 0,
                    "rel_error": float(np.median([row["rel_error"] for row in rows])),
                    "accuracy": accuracy,
                    "loss": 2 - 2 * accuracy,
                    "missing_gradients": 0,
                    "changed_buffers": 0,
                    "repeat_error": 0.0,
                    **(cost if number == 0 else {}),
                }
            )
    claim = {"claim": "right", "says": "It is right", "status": "held", "value": 0.5, "low": 0.4, "high": 0.6}
    claims = [{**claim, "test": "< 1", "seeds": seeds, "source": "", "reason": ""}]
    rows_of = {"cells": cells, "gradients": gradients, "activations": activations, "state": state, "claims": claims}
    tables = {name: _typed(name, rows_of.get(name, [])) for name in TABLES}
    return Run(Path(f"run-{seed}"), _manifest(depths, seeds, f"run-{seed}"), ("depth",), tables)


def _typed(name: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Every column of the table, as `read_table` types it."""
    lead = [] if name == "claims" else ["cell", "depth", "seed"]
    frame = pd.DataFrame(rows, columns=[*lead, *(column.name for column in TABLES[name].columns)])
    words = {column.name for column in TABLES[name].columns if column.dtype == "string"}
    kinds = {column: "object" if column in words | {"cell"} else "float64" for column in frame}
    kinds |= {column.name: "Int64" for column in TABLES[name].columns if column.dtype == "int"}
    kinds |= {column: "Int64" for column in ("seed", "depth") if column in frame}
    return frame.astype(kinds)


def _manifest(depths: tuple[int, ...], seeds: int, run: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "run": run,
        "case": "planted",
        "axes": {"depth": list(depths)},
        "seeds": list(range(seeds)),
        "settings": {"model": {"name": "hybrid"}, "train": {"steps": 20}, "measure": {"at": [0, 20]}},
        "environment": {"device": "cpu", "device_name": "a test", "torch": "2.13.0", "numpy": "2.4.6"},
        "threads": 1,
        "git": {"commit": "0123456789abcdef", "dirty": False},
    }


Edit = Callable[[pd.DataFrame], pd.Series]


@pytest.fixture
def edited() -> Callable[..., Run]:
    """`edited(run, "cells", where, status="oom")`: a copy in which the rows for which `where(frame)` holds differ.

    A value that can be called is given the old values of the column.
    """

    def edit(run: Run, table: str, where: Edit, **values: Any) -> Run:
        frame = run.tables[table].copy()
        rows = where(frame)
        for column, value in values.items():
            frame.loc[rows, column] = value(frame.loc[rows, column]) if callable(value) else value
        return replace(run, tables={**run.tables, table: frame})

    return edit


@pytest.fixture
def with_manifest() -> Callable[..., Run]:
    """A run with other entries in its manifest."""

    def change(run: Run, **entries: Any) -> Run:
        return replace(run, manifest={**run.manifest, **entries})

    return change


@pytest.fixture
def stored_on_disk(tmp_path: Path) -> Callable[[Run, str], Run]:
    """Write a run into a folder and read it back, as the command line does."""

    def through(run: Run, name: str) -> Run:
        folder = tmp_path / name
        folder.mkdir()
        for table, frame in run.tables.items():
            frame.to_csv(folder / f"{table}.csv", index=False, float_format="%.6g", na_rep="")
        (folder / "manifest.json").write_text(json.dumps(run.manifest), encoding="utf-8")
        return read_run(folder)

    return through
