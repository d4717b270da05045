"""The whole night: each case run, recorded, judged; what is old forgotten; GitHub told; an exit code."""

from __future__ import annotations

import os
import time
import traceback
from pathlib import Path

from gradbench.analysis.tables import read_run
from gradbench.compare.comparison import Rules
from gradbench.errors import EXIT, CaseError, EnvironmentError, UsageError
from gradbench.history.table import add_night, rows_of
from gradbench.nightly.github import tell_github
from gradbench.nightly.judge import failed, judge
from gradbench.nightly.options import NightOptions, cases_of, check
from gradbench.nightly.outcome import Outcome, in_short, worst
from gradbench.nightly.record import record
from gradbench.nightly.retention import forget
from gradbench.runner.run import RunOptions, Targets, run_cases

__all__ = ["run_night"]

_TARGETS = Targets()


def run_night(options: NightOptions, targets: Targets = _TARGETS) -> int:
    """Run the cases of a night one after another and return its exit code.

    It is 1 if anything regressed, else 3 or 4 if a case did not finish or this machine cannot run it, else 0. A case
    that fails does not stop the others. An interrupted night goes on when it is started again with the same date.

    Raises:
        UsageError: a name that means no case, or a value that is not allowed.
        EnvironmentError: the reports cannot be written.
    """
    check(options)
    outcomes: list[Outcome] = []
    for path in cases_of(options):
        outcome = _one(path, options, targets)
        if outcome is None:
            print(f"interrupted: `gradbench nightly --date {options.date}` with the same options goes on")
            return EXIT.INTERRUPTED
        outcomes.append(outcome)
        print(f"{outcome.case}: {outcome.state}: {outcome.sentence}")
        for line in outcome.regressions:
            print(f"  regression: {line}")
        folder = record(options.out, options.date, outcome)
        forget(options.out / outcome.case, options.keep)
    print(f"night of {options.date}: {in_short(outcomes)}; {folder / 'summary.md'}")
    tell_github(options.date, outcomes, os.environ)
    return worst(outcomes)


def _one(path: Path, options: NightOptions, targets: Targets) -> Outcome | None:
    """What the night finds about one case; None if it was interrupted.

    Raises:
        UsageError: an option with a value that is not allowed.
    """
    started = time.monotonic()
    folders: list[Path] = []
    try:
        if run_cases(_run_options(path, options), targets, folders.append) == EXIT.INTERRUPTED:
            return None
        return _look(folders[-1], options, started)
    except (CaseError, EnvironmentError) as error:
        sentence, code = " ".join(str(error).split()), error.exit_code
    except UsageError:
        raise
    except Exception as error:  # a fault of one case, or of gradbench on it, is told, and the others go on
        traceback.print_exc()
        sentence, code = f"{type(error).__name__}: {' '.join(str(error).split())}", EXIT.INCOMPLETE
    return failed(path.stem, options.sets, sentence, code, time.monotonic() - started)


def _look(folder: Path, options: NightOptions, started: float) -> Outcome:
    """Add a run to the history and hold it against its baseline."""
    try:
        run = read_run(folder)
        add_night(folder.parent, rows_of(run, options.date))
        return judge(run, options.date, Rules(timings=options.timings), time.monotonic() - started)
    except UsageError as error:  # of a file in the case's folder, not of this command
        return failed(folder.parent.name, options.sets, str(error), EXIT.FAILED, time.monotonic() - started)


def _run_options(path: Path, options: NightOptions) -> RunOptions:
    return RunOptions(
        cases=(str(path),),
        profile=options.profile,
        sets=options.sets,
        device=options.device,
        out=options.out,
        jobs=options.jobs,
        timeout=options.timeout,
        verbosity=options.verbosity,
        argv=options.argv,
        night=options.date,
    )
