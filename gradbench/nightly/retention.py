"""What of earlier nights is removed: their runs and cells. Baselines, the newest run and the history stay."""

from __future__ import annotations

import shutil
from pathlib import Path

from gradbench.history.baselines import baselines
from gradbench.history.find import find_run, runs_of
from gradbench.history.series import read_manifest, series_of
from gradbench.runner.store import cells_folder

__all__ = ["forget"]

#: A folder gets this name before its files go one by one, so that no reader meets half a run.
_GOING = ".removed-"


def forget(case_folder: Path, keep: int) -> list[Path]:
    """Remove the runs and cells of all nights but the newest `keep`, and return the folders of the runs.

    Of a night that was run twice, the earlier run goes too. A run that no night wrote is never touched, nor is an
    accepted baseline or the newest run.
    """
    for left in case_folder.glob(f"{_GOING}*"):  # by a night that was killed
        shutil.rmtree(left)
    runs = {run: read_manifest(run) for run in runs_of(case_folder)}
    nights = {run: str(manifest["night"]) for run, manifest in runs.items() if manifest.get("night")}
    kept_nights = sorted(set(nights.values()))[-keep:]
    last = {(night, series_of(runs[run])): run for run, night in nights.items()}
    stay = {one.run for one in baselines(case_folder)}
    if (case_folder / "latest").is_file():
        stay.add(find_run(str(case_folder), case_folder.parent).name)
    gone = [
        run
        for run, night in nights.items()
        if run.name not in stay and (night not in kept_nights or run not in last.values())
    ]
    for run in gone:
        _remove(run)
    for cells in cells_folder(case_folder).glob("*/"):
        if kept_nights and cells.name < kept_nights[0]:
            _remove(cells)
    return gone


def _remove(folder: Path) -> None:
    hidden = folder.with_name(f"{_GOING}{folder.name}")
    folder.rename(hidden)
    shutil.rmtree(hidden)
