"""Accepted baselines: for each series of runs the one that its later runs are held against, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gradbench.errors import UsageError
from gradbench.files import write_atomic
from gradbench.history.series import Series, place, read_manifest, series_of

__all__ = ["FILE", "Baseline", "accept", "baseline_of", "baselines", "find_baseline"]

#: The file in the folder of a case.
FILE = "baselines.json"


@dataclass(frozen=True)
class Baseline:
    """An accepted run.

    Attributes:
        run: the name of its folder.
        series: the runs that are held against it.
        where: its environment in words.
        reason: why it was accepted.
        state: "complete", or what its manifest says instead.
        accepted: when, UTC.
    """

    run: str
    series: Series
    where: str
    reason: str
    state: str
    accepted: str


def baselines(case_folder: Path) -> list[Baseline]:
    """Every baseline that was accepted in the folder of a case, the oldest first; the newest of a series counts.

    Raises:
        UsageError: the file cannot be read.
    """
    path = case_folder / FILE
    if not path.is_file():
        return []
    try:
        return [_baseline(entry) for entry in json.loads(path.read_text(encoding="utf-8"))["baselines"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: damaged ({error}); move it away and accept the baselines again") from error


def find_baseline(case_folder: Path, series: Series) -> Baseline | None:
    """The baseline that counts for `series`: the newest that was accepted, or None."""
    return next((one for one in reversed(baselines(case_folder)) if one.series == series), None)


def baseline_of(run_folder: Path) -> Path:
    """The folder of the baseline of the run in `run_folder`: same case, profile, sets and environment.

    Raises:
        UsageError: none was accepted, or its folder is gone.
    """
    manifest, case = read_manifest(run_folder), run_folder.resolve().parent
    found = find_baseline(case, series_of(manifest))
    if found is None:
        others = len(baselines(case))
        elsewhere = f" ({others} for other profiles, sets or environments)" if others else ""
        here = f"{manifest['case']}, profile {manifest.get('profile')}, {place(manifest)}"
        accept = f"`gradbench baseline accept {run_folder} --reason TEXT` accepts one"
        raise UsageError(f"no baseline was accepted for {here}{elsewhere}; {accept}")
    if not (case / found.run / "manifest.json").is_file():
        raise UsageError(f"{case / found.run}: the baseline accepted on {found.accepted} is gone; accept another run")
    return run_folder.parent / found.run


def accept(run_folder: Path, reason: str, incomplete: bool = False) -> Baseline:
    """Make the run in `run_folder` the baseline of its series.

    Args:
        run_folder: where it lies, in the folder of its case.
        reason: why it is right; not empty.
        incomplete: accept a run of which cells are missing too.

    Raises:
        UsageError: no reason, not a run, an incomplete one, or one that lies apart from the runs of its case.
        EnvironmentError: the file cannot be written.
    """
    if not reason.strip():
        raise UsageError("--reason: say why this run is right, for whoever asks later")
    manifest, folder = read_manifest(run_folder), run_folder.resolve()
    state = str(manifest.get("state", "complete"))
    if state != "complete" and not incomplete:
        counts = ", ".join(f"{count} {status}" for status, count in manifest.get("cells_by_status", {}).items())
        raise UsageError(f"{run_folder}: the run is {state} ({counts}); --incomplete accepts it all the same")
    if folder.parent.name != manifest["case"]:
        there = folder.parent.parent / manifest["case"]
        raise UsageError(f"{run_folder}: lies apart from the runs of its case; copy it into {there}/ first")
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    one = Baseline(folder.name, series_of(manifest), place(manifest), " ".join(reason.split()), state, time)
    entries = [asdict(each) for each in (*baselines(folder.parent), one)]
    write_atomic(folder.parent / FILE, json.dumps({"baselines": entries}, indent=2) + "\n")
    return one


def _baseline(entry: Mapping[str, Any]) -> Baseline:
    series: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in entry["series"].items()
    }
    return Baseline(**{**entry, "series": Series(**series)})
