"""Error by PyTorch version: the newest nightly run of each version side by side, each held against the one before."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from gradbench.analysis.tables import Run, read_run
from gradbench.compare.compare import compare
from gradbench.compare.comparison import Comparison
from gradbench.compare.match import plain
from gradbench.errors import UsageError, did_you_mean
from gradbench.files import make_writable, write_atomic
from gradbench.history.find import runs_of
from gradbench.history.series import read_manifest, series_of
from gradbench.history.table import rows_of
from gradbench.nightly.record import FOLDER
from gradbench.report.markdown import plain as escaped
from gradbench.report.markdown import table
from gradbench.report.words import number
from gradbench.results import CELLS

__all__ = ["LEGEND", "MARKS", "Entry", "Row", "Torches", "by_torch", "header_of", "markdown", "texts_of", "write"]

Change = Literal["", "identical", "differs", "improvement", "regression"]
#: A setting, as its axes with their values, and a strategy.
_Key = tuple[tuple[tuple[str, Any], ...], str]
#: How a table writes what became of a number since the version to its left.
MARKS: dict[Change, str] = {"": "", "identical": "=", "differs": "~", "improvement": "better", "regression": "WORSE"}
LEGEND = (
    "The numbers are the median relative error of the weight gradients over seeds, with the verdict. Against the "
    "version to the left: = every firm number is the same bit for bit; ~ some differ, and no gate says that it "
    "matters; WORSE and better: a gate does (a status, a verdict, a missing gradient, a changed buffer, repeatability)."
)


@dataclass(frozen=True)
class Entry:
    """One number: the error, its verdict, and what became of it since the version to its left."""

    rel_error: float
    verdict: str
    change: Change


@dataclass(frozen=True)
class Row:
    """A setting and a strategy; an entry for each version, None where the version has no such row."""

    setting: Mapping[str, Any]
    strategy: str
    entries: tuple[Entry | None, ...]


@dataclass(frozen=True)
class Torches:
    """The versions of one case, profile and sets on one device.

    Attributes:
        case: its name.
        profile: the profile's name.
        sets: what `--set` changed.
        device: the device's name.
        versions: the oldest first.
        nights: of each version's newest run.
        runs: the names of their folders.
        rows: a setting and a strategy each; `stored`, which is held against itself, is left out.
        sentences: for each version but the first, how it compares with the one before.
    """

    case: str
    profile: str | None
    sets: tuple[str, ...]
    device: str
    versions: tuple[str, ...]
    nights: tuple[str, ...]
    runs: tuple[str, ...]
    rows: tuple[Row, ...]
    sentences: tuple[str, ...]


def by_torch(out: Path, cases: Sequence[str] = ()) -> list[Torches]:
    """The newest nightly run of each torch version in `out`, for each case, profile, sets and device.

    Raises:
        UsageError: no night was run there, or none of a case that is named.
    """
    groups: dict[tuple[Any, ...], dict[str, Path]] = {}
    for folder in sorted(path for path in out.glob("[!.]*") if path.is_dir()):
        for run in runs_of(folder):
            manifest = read_manifest(run)
            if manifest.get("night"):
                environment, series = manifest.get("environment") or {}, series_of(manifest)
                threads = manifest.get("threads") if environment.get("device") == "cpu" else None
                where = (environment.get("device_name", ""), threads)
                versions = groups.setdefault((series.case, series.profile, series.sets, *where), {})
                versions[str(environment.get("torch", ""))] = run  # the oldest first, so that the newest stays
    known = {key[0] for key in groups}
    for case in cases:
        if case not in known:
            raise UsageError(f"--case {case}: {out} has no night of it{did_you_mean(case, known)}")
    chosen = {key: versions for key, versions in groups.items() if not cases or key[0] in cases}
    if not chosen:
        raise UsageError(f"{out}: no night was run there yet; `gradbench nightly` runs one")
    return [_side_by_side(versions) for _, versions in sorted(chosen.items(), key=lambda group: str(group[0]))]


def _side_by_side(versions: Mapping[str, Path]) -> Torches:
    ordered = sorted(versions, key=lambda version: [int(part) for part in re.findall(r"\d+", version)[:3]])
    runs = [read_run(versions[version]) for version in ordered]
    first, series = runs[0], series_of(runs[0].manifest)
    changed: list[dict[_Key, Change]] = [{}]
    sentences = []
    for left, right in pairwise(runs):
        comparison = compare(left, right)
        sentences.append(comparison.sentence)
        changed.append({**_identical(left, right), **_gates(right, comparison)})
    errors: list[dict[_Key, tuple[float, str]]] = [
        {
            _key({axis: row[axis] for axis in run.axes}, row["strategy"]): (row["rel_error"], row["verdict"])
            for row in rows_of(run, "").to_dict("records")
            if row["strategy"] != "stored"
        }
        for run in runs
    ]
    keys = dict.fromkeys(key for of_run in errors for key in of_run)
    rows = []
    for key in keys:
        entries = [
            Entry(*of_run[key], change.get(key, "differs" if index else "")) if key in of_run else None
            for index, (of_run, change) in enumerate(zip(errors, changed, strict=True))
        ]
        setting, strategy = key
        rows.append(Row(dict(setting), strategy, tuple(entries)))
    return Torches(
        case=series.case,
        profile=series.profile,
        sets=series.sets,
        device=str((first.manifest.get("environment") or {}).get("device_name", "")),
        versions=tuple(ordered),
        nights=tuple(str(run.manifest["night"]) for run in runs),
        runs=tuple(run.folder.name for run in runs),
        rows=tuple(rows),
        sentences=tuple(sentences),
    )


def _gates(run: Run, comparison: Comparison) -> dict[_Key, Change]:
    """What the gates found at each setting; a test names no axis that has one value only."""
    tests = [test for test in comparison.tests.to_dict("records") if test["kind"] == "gate" and test["strategy"]]
    found: dict[_Key, Change] = {}
    for row in run.tables["cells"][[*run.axes, "strategy"]].drop_duplicates().to_dict("records"):
        outcomes = {
            test["outcome"]
            for test in tests
            if all(row.get(name) == value for name, value in {**test["setting"], "strategy": test["strategy"]}.items())
        }
        for outcome in ("regression", "improvement"):
            if outcome in outcomes:
                found[_key({axis: row[axis] for axis in run.axes}, row["strategy"])] = outcome
                break
    return found


def _key(setting: Mapping[Any, Any], strategy: Any) -> _Key:
    return tuple((str(axis), plain(value)) for axis, value in setting.items()), str(strategy)


def _identical(left: Run, right: Run) -> dict[_Key, Change]:
    """The settings and strategies of which every firm number of every seed is the same in both runs."""
    firm = [column.name for column in CELLS.columns if column.firm and column.name not in ("strategy", "reason")]
    axes = [axis for axis in left.axes if axis in right.axes]
    cells = [run.tables["cells"].set_index(["seed", *axes, "strategy"])[firm] for run in (left, right)]
    ours, theirs = (frame.sort_index() for frame in cells)
    both = ours.index.intersection(theirs.index)
    same = ((ours.loc[both] == theirs.loc[both]) | (ours.loc[both].isna() & theirs.loc[both].isna())).all(axis=1)
    groups = same.groupby(level=[*axes, "strategy"]).all() if len(same) else same
    found: dict[_Key, Change] = {}
    for point, identical in groups.items():
        values = point if isinstance(point, tuple) else (point,)
        found[_key(dict(zip(axes, values, strict=False)), values[-1])] = "identical" if identical else "differs"
    return found


def header_of(one: Torches) -> list[str]:
    """The columns of a table: axes, strategy, a version each."""
    return [*(one.rows[0].setting if one.rows else ()), "strategy", *one.versions]


def texts_of(one: Torches) -> list[list[str]]:
    """The rows of a table."""
    return [
        [*(str(value) for value in row.setting.values()), row.strategy, *map(_text, row.entries)] for row in one.rows
    ]


def _text(entry: Entry | None) -> str:
    if entry is None:
        return ""
    return " ".join(part for part in (number(entry.rel_error), entry.verdict, MARKS[entry.change]) if part)


def markdown(tables: Sequence[Torches]) -> str:
    """The tables in Markdown."""
    parts = ["# Error by PyTorch version", LEGEND]
    for one in tables:
        kind = " ".join((f"profile {one.profile}" if one.profile else "", *one.sets)).strip()
        parts.append(f"## {escaped(one.case)}" + (f", {escaped(kind)}" if kind else "") + f", {escaped(one.device)}")
        parts.append(table(header_of(one), texts_of(one)))
        lines = [
            f"{version}: run {run}, night of {night}"
            for version, run, night in zip(one.versions, one.runs, one.nights, strict=True)
        ]
        said = [
            f"{right} against {left}: {sentence}"
            for (left, right), sentence in zip(pairwise(one.versions), one.sentences, strict=True)
        ]
        parts.append("\n".join(f"- {escaped(line)}" for line in (*lines, *said)))
    return "\n\n".join(parts) + "\n"


def write(tables: Sequence[Torches], out: Path, date: str | None = None) -> Path:
    """Write `torch.md` into the folder of a night, by default the newest that the tables show, and return its path.

    Raises:
        EnvironmentError: it cannot be written.
    """
    folder = out / FOLDER / (date or max(night for one in tables for night in one.nights))
    make_writable(folder)
    write_atomic(folder / "torch.md", markdown(tables))
    return folder / "torch.md"
