"""Write a folder of reports with invented numbers: several cases, runs, nights, versions of PyTorch, and a baseline."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradbench.analysis.tables import read_run
from gradbench.history.baselines import accept
from gradbench.history.table import add_night, rows_of

write_run: Callable[..., Path] = runpy.run_path(str(Path(__file__).parents[1] / "report" / "synthetic_run.py"))[
    "write_run"
]

SMALL = {"depths": (3, 5), "slopes": (0.2,), "seeds": 6, "steps": (0,), "train": False}
#: A folder's name that a careless author might choose.
HOSTILE = "odd & <i>case #1 50%"
FIRST = date(2026, 10, 1)


def write_reports(reports: Path) -> Path:
    """Write the folder and return it.

    `steady` is the same run under an old PyTorch, then twice under a new one; `worse` has a baseline, then a run with
    1.5 times its errors of `reconstruct`, and 24 nights, of which two are missed, with a step at the thirteenth;
    `HOSTILE` is one unfinished run. Two nights are recorded, and one run is a reference.
    """
    first = add_run(reports, "steady", "run-1", 0, title="Steady <b>case</b>", torch="2.9.1")
    copy_run(first, "run-2", 1, torch="2.13.0")
    copy_run(first, "run-3", 2, torch="2.13.0")
    base = add_run(reports, "worse", "run-1", 0, title="A case that got worse")
    accept(base, "looked at <each> layer")
    change(copy_run(base, "run-2", 25), "reconstruct", 1.5)
    add_nights(reports / "worse", base)
    add_run(reports, HOSTILE, "run #1 & <u>", 3, state="interrupted", title=HOSTILE)
    add_run(reports / "reference", "lone", "", 0, title="A reference")
    record_night(reports, "2026-10-25", "steady", "gone", "no regression")
    record_night(reports, "2026-10-26", "worse", "run-2", "regression")
    return reports


def record_night(reports: Path, night: str, case: str, run: str, state: str) -> None:
    """Write what a night says of one case."""
    folder = reports / "nightly" / night
    folder.mkdir(parents=True)
    entry = {"case": case, "place": "AMD EPYC", "run": run, "state": state, "sentence": f"{state} <u>at night</u>"}
    (folder / "nightly.json").write_text(json.dumps({"date": night, "cases": [entry]}), encoding="utf-8")


def add_run(reports: Path, folder: str, name: str, day: int, **manifest: Any) -> Path:
    """Write a small run that began on a day; without a name into the folder of the case."""
    run = write_run(reports / folder / name if name else reports / folder, **SMALL)
    _date(run, day, **{"case": folder, **manifest})
    return run


def copy_run(run: Path, name: str, day: int, torch: str = "") -> Path:
    """The same run again on another day, perhaps with another version of PyTorch."""
    folder = Path(shutil.copytree(run, run.with_name(name)))
    _date(folder, day, **({"torch": torch} if torch else {}))
    return folder


def _date(folder: Path, day: int, torch: str = "2.13.0", **more: Any) -> None:
    path, when = folder / "manifest.json", FIRST + timedelta(days=day)
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest |= {
        "run": folder.name,
        "state": "complete",
        "profile": "quick",
        "question": "Does <em>it</em> hold?",
        "started": f"{when}T03:30:00Z",
        "finished": f"{when}T03:40:00Z",
        "threads": 1,
        "environment": {"device": "cpu", "device_name": "AMD EPYC", "torch": torch, "numpy": "2.5.2"},
        "settings": {"measure": {"strategies": ["reconstruct", "checkpoint"]}},
        **more,
    }
    path.write_text(json.dumps(manifest), encoding="utf-8")


def change(run: Path, strategy: str, factor: float) -> None:
    """Make every error of a strategy larger."""
    _scale(run / "gradients.csv", strategy, {"rel_error": factor, "rel_error_truth": factor, "noise_ratio": factor**2})
    _scale(run / "cells.csv", strategy, {"rel_error": factor, "noise_ratio": factor**2})


def _scale(path: Path, strategy: str, factors: dict[str, float]) -> None:
    frame = pd.read_csv(path, keep_default_na=False)
    rows = frame["strategy"] == strategy
    for column, factor in factors.items():
        numbers = pd.to_numeric(frame[column], errors="coerce")
        frame[column] = frame[column].where(~rows | numbers.isna(), (numbers * factor).astype("object"))
    frame.to_csv(path, index=False)


def add_nights(case: Path, base: Path, nights: int = 24, missed: Sequence[int] = (7, 8), step: int = 12) -> None:
    """A history with noise, in which the error of `reconstruct` rises for good at a night."""
    rng, rows = np.random.default_rng(0), rows_of(read_run(base), "")
    for night in range(nights):
        if night in missed:
            continue
        factor = np.exp(0.02 * rng.normal(size=len(rows)))
        factor[(rows["strategy"] == "reconstruct") & (night >= step)] *= 2.25
        numbers = {name: rows[name] * factor for name in ("noise_ratio", "rel_error")}
        numbers["accuracy"] = rows["min_snr_db"] / 200
        numbers |= {"min_snr_db": rows["min_snr_db"] + rng.normal(size=len(rows))}
        add_night(case, rows.assign(night=str(FIRST + timedelta(days=night)), run=f"night-{night}", **numbers))
