"""`history.csv` of a case: a row for each night, series, setting and strategy. It outlives the runs."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from gradbench.analysis.settings import ordered, typical_verdict
from gradbench.analysis.statistics import median
from gradbench.analysis.tables import Run
from gradbench.errors import UsageError
from gradbench.files import atomic, cannot_write
from gradbench.history.series import Series, series_of

__all__ = [
    "ADVISORY",
    "FILE",
    "FIRM",
    "SERIES",
    "add_night",
    "axes_of",
    "locked",
    "read_history",
    "rows_of",
    "texts_of",
]

#: The file in the folder of a case.
FILE = "history.csv"
#: The columns that say to which series of nights a row belongs.
SERIES = ("profile", "sets", "environment")
#: What follows from settings, seed and arithmetic; medians over seeds, but for the counts, which are their maxima.
FIRM = (
    "rel_error",
    "noise_ratio",
    "worst_noise_ratio",
    "min_snr_db",
    "accuracy",
    "loss",
    "missing_gradients",
    "changed_buffers",
    "repeat_error",
    "peak_bytes",
    "saved_bytes",
    "left_bytes",
    "bytes_per_pixel",
)
#: What depends on the load of the machine as well: medians over seeds, shown and not judged.
ADVISORY = ("step_seconds", "time_ratio")
_LARGEST = ("missing_gradients", "changed_buffers", "repeat_error")
#: The columns before the axes and those after them.
_LEAD = ("night", *SERIES, "run", "torch", "device")
_TAIL = ("strategy", "verdict", "seeds", "failed", *FIRM, *ADVISORY)
_TEXTS = {*_LEAD, "strategy", "verdict"}


def rows_of(run: Run, night: str) -> pd.DataFrame:
    """The rows that `run` adds for `night`: axes, strategy, the typical verdict over seeds, and their numbers.

    `seeds` counts the seeds that were planned and `failed` those that are not ok.
    """
    series, environment = series_of(run.manifest), run.manifest.get("environment") or {}
    where = (str(environment.get("torch", "")), str(environment.get("device_name", "")))
    lead = dict(zip(_LEAD, (night, *texts_of(series).values(), run.folder.name, *where), strict=True))
    rows = []
    for point, group in run.tables["cells"].groupby([*run.axes, "strategy"], sort=False, dropna=False):
        verdicts = [verdict for verdict in group["verdict"] if isinstance(verdict, str) and verdict]
        rows.append(
            {
                **lead,
                **dict(zip((*run.axes, "strategy"), point, strict=True)),
                "verdict": typical_verdict(verdicts),
                "seeds": group["seed"].nunique(),
                "failed": int((group["status"] != "ok").sum()),
                **{name: _over_seeds(group[name].dropna(), name) for name in (*FIRM, *ADVISORY)},
            }
        )
    frame = pd.DataFrame(rows, columns=[*_LEAD, *run.axes, *_TAIL])
    return frame if frame.empty else ordered(frame, run.axes)


def texts_of(series: Series) -> dict[str, str]:
    """What the columns `SERIES` say of a series."""
    return dict(zip(SERIES, (series.profile or "", " ".join(series.sets), series.environment), strict=True))


def add_night(case_folder: Path, rows: pd.DataFrame) -> None:
    """Add `rows` of one night and series to the history, in place of what it has of them.

    Raises:
        UsageError: the history cannot be read.
        EnvironmentError: it cannot be written.
    """
    with locked(case_folder):
        before = read_history(case_folder)
        same = pd.Series(True, index=before.index)
        for name in ("night", *SERIES):
            same &= before[name] == rows[name].iloc[0]
        kept = before[~same]
        axes = list(dict.fromkeys([*axes_of(kept), *axes_of(rows)]))
        table = rows if kept.empty else pd.concat([kept, rows], ignore_index=True)
        table = table[[*_LEAD, *axes, *_TAIL]].sort_values("night", kind="stable")
        with atomic(case_folder / FILE) as file:
            table.to_csv(file, index=False, float_format="%.6g", lineterminator="\n")


def read_history(case_folder: Path) -> pd.DataFrame:
    """Every night of a case, the oldest first; empty before the first.

    Columns: `night` (YYYY-MM-DD), `SERIES` (texts, empty for no profile and no sets), `run` (the name of its folder,
    which may be gone), `torch`, `device`, the axes of the case's matrix, `strategy`, `verdict`, `seeds`, `failed`,
    `FIRM`, `ADVISORY`. A number that does not exist is nan.

    Raises:
        UsageError: the file is not a history.
    """
    path = case_folder / FILE
    if not path.is_file():
        dtypes = {name: "object" if name in _TEXTS else "float64" for name in (*_LEAD, *_TAIL)}
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in dtypes.items()})
    try:
        header = pd.read_csv(path, nrows=0).columns
        if missing := [name for name in (*_LEAD, *_TAIL) if name not in header]:
            raise UsageError(f"{path}: column {missing[0]!r} is missing, so this is not the history of a case")
        absent = {name: ["", "nan"] for name in header if name not in _TEXTS}
        return pd.read_csv(path, dtype=dict.fromkeys(_TEXTS, "object"), na_values=absent, keep_default_na=False)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def axes_of(history: pd.DataFrame) -> tuple[str, ...]:
    """The axes of the matrix: the columns that not every history has."""
    return tuple(name for name in history.columns if name not in (*_LEAD, *_TAIL))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the only one who changes what two nights at once would both change in `folder`.

    Raises:
        EnvironmentError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise cannot_write(folder, error) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _over_seeds(values: pd.Series, name: str) -> float:
    if name in _LARGEST:
        return float(values.max()) if len(values) else np.nan
    return median(values)
