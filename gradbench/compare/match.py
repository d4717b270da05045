"""Which row of one run belongs to which of the other: cells by their id, else by point and seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gradbench.analysis.tables import Run
from gradbench.compare.comparison import Coverage
from gradbench.compare.differences import deciding_settings, has_anywhere
from gradbench.results import TABLES

__all__ = ["BASE", "NEW", "Matched", "by", "label", "match", "plain"]

#: The endings of a joined table's columns.
BASE, NEW = "_base", "_new"
#: A row of `cells` with one of these statuses is final: the next run does not run it again.
_FINISHED = ("ok", "diverged", "excluded")
#: The tables that have several rows of a measurement.
_IN_DETAIL = ("gradients", "activations", "state", "training")


@dataclass(frozen=True)
class Matched:
    """Two runs joined.

    Attributes:
        axes: of the case's matrix, those that both have and that have more than one value.
        tables: for each table of `results` the rows that both have: `cell`, axes and `seed` as the base has them, the
            other key columns, then every column twice, with the endings `BASE` and `NEW`.
        coverage: how much that is.
        searched: whether a step's memory was measured with the convolutions that cuDNN found fastest, in either run.
    """

    axes: tuple[str, ...]
    tables: dict[str, pd.DataFrame]
    coverage: Coverage
    searched: bool


def match(base: Run, new: Run) -> Matched:
    """Join the tables of two runs of one case."""
    axes = tuple(axis for axis in base.axes if axis in new.axes)
    names = _new_names(base, new, axes)
    varied = [run.tables["cells"][list(axes)].nunique() > 1 for run in (base, new)]
    tables = {}
    for name, table in TABLES.items():
        ours, theirs = base.tables[name], new.tables[name]
        if name != "claims":
            theirs = theirs.assign(cell=theirs["cell"].replace(names)) if names else theirs
            theirs = theirs.drop(columns=[*new.axes, "seed"])
            tables[name] = ours.merge(theirs, on=list(table.key), suffixes=(BASE, NEW))
        else:
            tables[name] = ours.merge(theirs, on=list(table.key), suffixes=(BASE, NEW), how="left", indicator=True)
    told = tuple(axis for axis in axes if any(each[axis] for each in varied))
    searched = any(_searches(run.manifest) for run in (base, new))
    return Matched(told, tables, _coverage(base, new, told, names, tables), searched)


def label(point: Mapping[Any, Any]) -> str:
    """A setting in words: "hybrid depth=3 negative_slope=0.2".

    >>> label({"model": "hybrid", "depth": 3})
    'hybrid depth=3'
    """
    return " ".join(str(value) if isinstance(value, str) else f"{axis}={value}" for axis, value in point.items())


def by(rows: pd.DataFrame, axes: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows with each combination of values of some axes; all of them where there is no axis."""
    if not axes:
        yield {}, rows
        return
    for values, some in rows.groupby(list(axes), sort=False):
        yield {axis: plain(value) for axis, value in zip(axes, values, strict=True)}, some


def plain(value: Any) -> Any:
    """A number of numpy as Python's own."""
    return value.item() if hasattr(value, "item") else value


def _new_names(base: Run, new: Run, axes: Sequence[str]) -> dict[str, str]:
    """The base's id for each cell of the new run that is called otherwise, though nothing that decides numbers differs.

    An id is a hash of all settings, those too that only say what else is measured or that a later version added.
    """
    known = set(base.tables["cells"]["cell"]) & set(new.tables["cells"]["cell"])
    if known == set(new.tables["cells"]["cell"]):
        return {}
    ours, theirs = (run.tables["cells"].drop_duplicates("cell") for run in (base, new))
    same = deciding_settings(base.manifest) == deciding_settings(new.manifest)
    if not same or len(axes) < max(len(base.axes), len(new.axes)):
        return {}
    places = [*axes, "seed"]
    left, right = (cells.loc[~cells["cell"].isin(known), ["cell", *places]] for cells in (ours, theirs))
    both = left.merge(right, on=places, suffixes=(BASE, NEW))
    return dict(zip(both[f"cell{NEW}"], both[f"cell{BASE}"], strict=True))


def _searches(manifest: Mapping[str, Any]) -> bool:
    """Whether cuDNN timed its convolutions in any cell of a run: what it takes differs from one run to the next."""
    on_gpu = str((manifest.get("environment") or {}).get("device") or "").startswith("cuda")
    return on_gpu and has_anywhere(manifest.get("settings") or {}, "train.cudnn_benchmark")


def _coverage(
    base: Run, new: Run, axes: Sequence[str], names: Mapping[str, str], tables: Mapping[str, pd.DataFrame]
) -> Coverage:
    ours, theirs = base.tables["cells"], new.tables["cells"]
    fates = {
        (names.get(cell, cell), strategy): status
        for cell, strategy, status in zip(theirs["cell"], theirs["strategy"], theirs["status"], strict=True)
        if status != "missing"
    }
    places = [*axes, "seed"]
    compared, planned, missing = 0, 0, []
    for row in ours[ours["status"].isin(_FINISHED)].to_dict("records"):
        planned += 1
        status = fates.get((row["cell"], row["strategy"]))
        compared += status in _FINISHED
        if status is None:
            missing.append(f"{label({place: plain(row[place]) for place in places})} {row['strategy']}")
    known = set(zip(ours["cell"], ours["strategy"], strict=True))
    missing += [*_lost_rows(base, tables, places), *_lost_columns(new, tables)]
    return Coverage(compared, tuple(missing), sum(key not in known for key in fates), planned)


def _lost_rows(base: Run, tables: Mapping[str, pd.DataFrame], places: Sequence[str]) -> Iterator[str]:
    """Of which measurements that both finished the new run has fewer rows in a table than the base."""
    cells = tables["cells"]
    done = cells.loc[(cells[f"status{BASE}"] == "ok") & (cells[f"status{NEW}"] == "ok")].set_index(["cell", "strategy"])
    for name in _IN_DETAIL:
        had, has = (rows.groupby(["cell", "strategy"]).size() for rows in (base.tables[name], tables[name]))
        had = had[had.index.isin(done.index)]
        has = has.reindex(had.index, fill_value=0)
        for key in had.index[has < had]:
            where = f"{label({place: plain(done.at[key, place]) for place in places})} {key[1]}"
            yield f"{where}: {had[key] - has[key]} of {had[key]} rows of {TABLES[name].file}"


def _lost_columns(new: Run, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """The columns of which the new run has no number at all where the base has some."""
    schema = new.manifest.get("schema", 1)
    for name in ("cells", *_IN_DETAIL):
        table, rows = TABLES[name], tables[name]
        for column in table.columns:
            if column.name in table.key or not column.firm or column.since > schema:
                continue
            had, has = (_given(rows[f"{column.name}{side}"]) for side in (BASE, NEW))
            if had.any() and not has.any():
                yield f"{column.name} of {table.file}"


def _given(values: pd.Series) -> pd.Series:
    """Which fields of a column hold anything."""
    return values.notna() & (values != "")
