"""A run of this night held against the baseline of its series, as an `Outcome`."""

from __future__ import annotations

import importlib.metadata
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from gradbench.analysis.claims import NOT_HELD
from gradbench.analysis.summary import summarise_run
from gradbench.analysis.tables import Run, read_run
from gradbench.analysis.units import claims_of
from gradbench.compare.compare import compare
from gradbench.compare.comparison import Comparison, Finding, Rules
from gradbench.compare.match import label
from gradbench.errors import EXIT
from gradbench.history.baselines import baseline_of, find_baseline
from gradbench.history.changes import changes
from gradbench.history.series import Series, last_words, place, series_of
from gradbench.history.table import read_history, texts_of
from gradbench.nightly.outcome import Check, Outcome, State
from gradbench.runner.store import FINISHED

__all__ = ["failed", "judge"]

#: A lasting change is told for so long after it is known.
_TOLD = timedelta(days=14)


def judge(run: Run, night: str, rules: Rules, seconds: float) -> Outcome:
    """Hold a run against its baseline.

    Args:
        run: of this night; the history has its rows already.
        night: the date.
        rules: by which it is compared.
        seconds: how long the night worked on the case.

    Raises:
        UsageError: the baseline is gone, or cannot be read.
    """
    series = series_of(run.manifest)
    accepted = find_baseline(run.folder.parent, series)
    base = None if accepted is None else read_run(baseline_of(run.folder))
    comparison = None if base is None else compare(base, run, rules)
    unfinished = _unfinished(run) if base is None else _unfinished(run, base)
    missing = tuple(dict.fromkeys([*(comparison.coverage.missing if comparison else ()), *unfinished]))
    state, code = _state(comparison, missing)
    claims = run.tables["claims"]["status"]
    summary = summarise_run(run)
    return Outcome(
        case=series.case,
        state=state,
        code=code,
        sentence=_sentence(run, comparison, missing),
        torch=str((run.manifest.get("environment") or {}).get("torch", "")),
        place=place(run.manifest),
        profile=series.profile,
        sets=series.sets,
        environment=series.environment,
        run=run.folder.name,
        baseline=accepted.run if accepted else "",
        verdict=summary.sentence,
        seconds=round(seconds, 1),
        regressions=_says(comparison, "regression"),
        improvements=_says(comparison, "improvement"),
        advisory=_says(comparison, "advisory"),
        missing=missing,
        claims={str(status): int(count) for status, count in claims.value_counts().sort_index().items()},
        not_held=tuple(_not_held(run, base)),
        changes=tuple(_changes(run.folder.parent, series, night)),
        checks=_checks(comparison),
    )


def failed(case: str, sets: tuple[str, ...], sentence: str, code: int, seconds: float) -> Outcome:
    """The outcome of a case that has no run of this night, or none that could be judged."""
    try:
        torch = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        torch = ""
    return Outcome(case, "failed", code, sentence, torch, sets=last_words(sets), seconds=round(seconds, 1))


def _state(comparison: Comparison | None, missing: tuple[str, ...]) -> tuple[State, int]:
    if comparison is not None and comparison.regressions:
        return "regression", EXIT.FAILED
    if missing:
        return "incomplete", EXIT.INCOMPLETE
    return ("no baseline" if comparison is None else "no regression"), EXIT.OK


def _sentence(run: Run, comparison: Comparison | None, missing: tuple[str, ...]) -> str:
    if comparison is not None:
        return comparison.sentence
    cells = f"{len(missing)} rows of cells did not finish; " if missing else ""
    accept = f"gradbench baseline accept {run.folder} --reason TEXT"
    return f"{cells}no baseline was accepted here yet, so nothing was compared; `{accept}` makes this run one."


def _says(comparison: Comparison | None, kind: str) -> tuple[str, ...]:
    findings: tuple[Finding, ...] = comparison.findings if comparison else ()
    return tuple(finding.says for finding in findings if finding.kind == kind)


def _unfinished(run: Run, base: Run | None = None) -> list[str]:
    """What did not finish, cell by cell and strategy by strategy, unless the baseline's did not finish either."""
    names = ["cell", "strategy"]
    rows = [table.tables["cells"] for table in (run, *((base,) if base else ()))]
    bad = [cells[~cells["status"].isin(FINISHED)] for cells in rows]
    known = {tuple(row) for cells in bad[1:] for row in cells[names].itertuples(index=False)}
    return [
        f"{label({axis: row[axis] for axis in run.axes})} seed={row['seed']} {row['strategy']}: {row['status']}"
        for row in bad[0].to_dict("records")
        if (row["cell"], row["strategy"]) not in known
    ]


def _not_held(run: Run, base: Run | None) -> list[str]:
    """The claims that are not held, each with what it was in the baseline."""
    before: dict[str, str] = (
        {} if base is None else dict(base.tables["claims"][["claim", "status"]].itertuples(index=False))
    )
    lost = [(row, row["unit"]) for row in claims_of(run) if row["status"] == NOT_HELD]
    return [
        f"{row['says']} ({unit.amount(row['value'])}, test {unit.test(row['test'])}){_then(before.get(row['claim']))}"
        for row, unit in lost
    ]


def _then(status: str | None) -> str:
    if status is None:
        return ""
    return ", nor in the baseline" if status == NOT_HELD else f", {status} in the baseline"


def _changes(case_folder: Path, series: Series, night: str) -> list[str]:
    """The lasting changes of this series that became known lately, the newest first."""
    history = read_history(case_folder)
    ours = history[history["night"] <= night]
    for name, text in texts_of(series).items():
        ours = ours[ours[name] == text]
    since = (date.fromisoformat(night) - _TOLD).isoformat()
    return [
        f"since {change.step.night}: {change.column} of {change.strategy}{_at(change.setting)} is "
        f"{change.step.after:.3g}, was {change.step.before:.3g}"
        for change in changes(ours)
        if change.step.night > since
    ]


def _at(setting: dict[str, Any]) -> str:
    return f" at {label(setting)}" if setting else ""


def _checks(comparison: Comparison | None) -> tuple[Check, ...]:
    """Everything that was looked at, by strategy and setting; the claims together."""
    if comparison is None:
        return ()
    found: dict[str, list[str]] = {}
    for test in comparison.tests.to_dict("records"):
        name = f"{test['strategy']}{_at(test['setting']) or ' at all settings'}" if test["strategy"] else "claims"
        regressions = found.setdefault(name, [])
        if test["outcome"] == "regression":
            regressions.append(str(test["says"]))
    return tuple(Check(name, tuple(regressions)) for name, regressions in found.items())
