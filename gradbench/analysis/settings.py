"""Each setting (a point of the matrix and a strategy) summarised over its seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gradbench.analysis.statistics import median
from gradbench.results import VERDICTS

__all__ = ["by_setting", "failures", "ordered", "typical_verdict"]

#: Columns of which a setting shows the median over seeds.
MEDIANS = (
    "rel_error",
    "noise_ratio",
    "worst_noise_ratio",
    "min_snr_db",
    "time_ratio",
    "step_seconds",
    "peak_bytes",
    "saved_bytes",
    "bytes_per_pixel",
    "counted_bytes_per_pixel",
)


def by_setting(cells: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """One row a setting: axes, `strategy`, then what its seeds say.

    `judged` tells the others from the reference; `seeds` and `failed` count rows of `cells`; `verdict` is the typical
    one over seeds (see `typical_verdict`) and `verdicts` lists them all; numbers are medians over the seeds that have
    one; `accuracy` is the mean with its standard deviation `accuracy_sd`; `settled_by` is the weight tensor that most
    often decides the verdict.
    """
    rows = []
    keys = [*axes, "strategy"]
    for point, group in cells.groupby(keys, sort=False, dropna=False):
        verdicts = [verdict for verdict in group["verdict"] if isinstance(verdict, str) and verdict]
        accuracy = group["accuracy"].dropna()
        decides = group["worst_parameter"].dropna()
        decides = decides[decides != ""]
        rows.append(
            {
                **dict(zip(keys, point, strict=True)),
                "judged": bool((group["strategy"] != group["reference"]).any()),
                "seeds": group["seed"].nunique(),
                "failed": int((group["status"] != "ok").sum()),
                "verdict": typical_verdict(verdicts),
                "verdicts": _tally(verdicts),
                "settled_by": decides.mode().iloc[0] if len(decides) else "",
                **{name: median(group[name].dropna()) for name in MEDIANS},
                "accuracy": float(accuracy.mean()) if len(accuracy) else np.nan,
                "accuracy_sd": float(accuracy.std()) if len(accuracy) > 1 else np.nan,
            }
        )
    frame = pd.DataFrame(rows)
    return frame if frame.empty else ordered(frame, axes)


def ordered(frame: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """Sorted by the axes: numbers by size, names and strategies as they first appear."""
    keys = {}
    for name in (*axes, "strategy"):
        numeric = pd.api.types.is_numeric_dtype(frame[name])
        keys[name] = frame[name] if numeric else pd.Series(pd.factorize(frame[name])[0], frame.index)
    order = pd.DataFrame(keys).sort_values(list(keys), kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def typical_verdict(verdicts: Sequence[str]) -> str:
    """The median in the order of `VERDICTS`, the worse of the middle two; empty for none.

    >>> typical_verdict(["exact", "harmful", "comparable"])
    'comparable'
    """
    if not verdicts:
        return ""
    ranks = sorted(VERDICTS.index(verdict) for verdict in verdicts)
    return VERDICTS[ranks[len(ranks) // 2]]


def _tally(verdicts: Sequence[str]) -> str:
    counts = {verdict: verdicts.count(verdict) for verdict in VERDICTS if verdict in verdicts}
    return ", ".join(f"{verdict} {count}" for verdict, count in counts.items())


def failures(cells: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """The rows of `cells` that are not ok: `cell`, axes, `seed`, `strategy`, `status`, `reason`."""
    return cells.loc[cells["status"] != "ok", ["cell", *axes, "seed", "strategy", "status", "reason"]].reset_index(
        drop=True
    )
