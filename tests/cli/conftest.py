"""The command line called as a user calls it, and a small run to look at."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gradbench.cli.main import cli
from gradbench.results import TABLES

Call = Callable[..., Result]


@pytest.fixture
def call() -> Call:
    """Call `gradbench` with these arguments."""
    return lambda *arguments: CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="gradbench")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two cells, two strategies, a claim and a fault, in `tmp_path/reports/mine/first`."""
    folder = tmp_path / "reports/mine/first"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(
        json.dumps({"axes": {"model": ["hybrid"], "depth": [3, 5]}}), encoding="utf-8"
    )
    ok = {"status": "ok", "verdict": "exact", "rel_error": 0.0, "accuracy": 0.75}
    worse = {**ok, "verdict": "harmful", "rel_error": 0.125, "noise_ratio": 2.5, "accuracy": 0.25}
    failed = {"status": "oom", "reason": "out of memory: 2.1 GiB wanted"}
    rows = [
        {"cell": f"c{depth}", "model": "hybrid", "depth": depth, "seed": 0, "strategy": strategy, **results}
        for depth, strategy, results in (
            (3, "stored", ok),
            (3, "reconstruct", worse),
            (5, "stored", ok),
            (5, "reconstruct", failed),
        )
    ]
    claim = {
        "claim": "c", "says": "Right at depth 3", "source": "Figure 1", "status": "not held", "value": 2.5,
        "low": 2.25, "high": 2.75, "test": "<= 1", "seeds": 3,
    }  # fmt: skip
    state = [
        {**{name: row[name] for name in ("cell", "model", "depth", "seed", "strategy")}, "check": check, **found}
        for row in rows
        if row["strategy"] == "reconstruct"
        for check, found in (
            ("buffers", {"outcome": "exact", "says": "", "amount": 0.0}),
            ("masks", {"outcome": "fault", "says": "dropout draws another mask", "amount": 1.0}),
        )
    ]
    for name, table in TABLES.items():
        lead = [] if name == "claims" else ["cell", "model", "depth", "seed"]
        with (folder / table.file).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [*lead, *(column.name for column in table.columns)], restval="")
            writer.writeheader()
            writer.writerows({"cells": rows, "claims": [claim], "state": state}.get(name, []))
    (folder.parent / "latest").write_text("first\n", encoding="utf-8")
    return folder
